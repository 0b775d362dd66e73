//! Messages through the kernel's sockets, and round trips to another machine.
//!
//! Method: two threads exchange messages over TCP on 127.0.0.1 (TCP_NODELAY) and over a pair of Unix
//! sockets: so many bytes there, one byte back, timed from the first send until the answer is here.
//! Both on one CPU, so that no sleeping CPU must be woken, and once more on two. Connecting to a
//! listener on 127.0.0.1: `connect` alone. With `--peer`: connecting to that port, a few times, each
//! closed at once; the handshake is one round trip of the network.
//! Blind spots: loopback is memory and the scheduler, no wire; nothing here says what a wire takes for
//! 1 KB. A firewall or a proxy on the way may answer connects instead of the peer.
//! Expect: loopback 8 to 20 µs on one CPU, Unix sockets half of it; a datacenter 30 to 500 µs; the
//! same city 1 ms; across an ocean 80 to 150 ms.

mod local;
mod remote;

use crate::harness::bench::Bench;
use crate::probe::Probe;
use card::declare::{Declare, ReportOnly};

/// The probe.
pub const PROBE: Probe = Probe {
    name: "network",
    summary: "round trips over loopback TCP, Unix sockets, and to --peer HOST:PORT",
    needs: &[],
    uses: &[],
    seconds: 0.4,
    in_kernel: true,
    declare,
    run,
};

fn declare(d: &mut Declare) {
    d.family("network");
    d.report_only(Some(ReportOnly::Device));
    local::declare(d);
    remote::declare(d);
}

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    local::measure(bench)?;
    remote::measure(bench)
}
