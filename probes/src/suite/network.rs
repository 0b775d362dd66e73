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
use card::declare::{Better, Derive, Estimator, Metric, Text, Tier, Unit, metric, select, text};

/// The probe.
pub const PROBE: Probe = Probe {
    name: "network",
    summary: "messages over loopback and Unix sockets; round trips to --peer HOST:PORT",
    needs: &[],
    uses: &[],
    seconds: 0.4,
    metrics: &[
        local(
            "network.loopback_round_trip_ns",
            "1 byte there and back over TCP on 127.0.0.1, both ends on one CPU",
            ROUND_TRIP,
            TCP_SAME,
        ),
        local(
            "network.loopback_two_cpus_round_trip_ns",
            "1 byte there and back over TCP on 127.0.0.1, each end on its CPU",
            ROUND_TRIP,
            TCP_OTHER,
        ),
        local(
            "network.unix_round_trip_ns",
            "1 byte there and back over Unix sockets, both ends on one CPU",
            ROUND_TRIP,
            UNIX_SAME,
        ),
        local(
            "network.unix_two_cpus_round_trip_ns",
            "1 byte there and back over Unix sockets, each end on its CPU",
            ROUND_TRIP,
            UNIX_OTHER,
        ),
        local("network.loopback_connect_ns", "TCP connect on 127.0.0.1", CONNECT, &[]),
        local(
            "network.send_1k_ns",
            "1 KiB over loopback until its answer is here: no wire",
            SEND,
            KIB_1,
        ),
        local(
            "network.send_2k_ns",
            "2 KiB over loopback until its answer is here: no wire",
            SEND,
            KIB_2,
        ),
        local(
            "network.send_1m_ns",
            "1 MiB over loopback until its answer is here: no wire",
            SEND,
            MIB_1,
        ),
        remote(
            "network.peer_round_trip_ns",
            "TCP connect to --peer: one round trip",
            Estimator::Median,
        ),
        remote(
            "network.peer_round_trip_min_ns",
            "TCP connect to --peer: the shortest of a round",
            Estimator::Lowest,
        ),
        remote(
            "network.peer_round_trip_max_ns",
            "TCP connect to --peer: the longest of a round",
            Estimator::Highest,
        ),
    ],
    proofs: &[],
    in_kernel: true,
    declare: |_| (),
    run,
};

const ROUND_TRIP: &str = "round_trip";
const CONNECT: &str = "connect";
const SEND: &str = "send";
const PEER: &str = "peer_round_trip";

const VIA: Text = text("via");
const CPUS: Text = text("cpus");
const TCP_SAME: &[(Text, Text)] = &[(VIA, text("tcp")), (CPUS, text("one"))];
const TCP_OTHER: &[(Text, Text)] = &[(VIA, text("tcp")), (CPUS, text("two"))];
const UNIX_SAME: &[(Text, Text)] = &[(VIA, text("unix")), (CPUS, text("one"))];
const UNIX_OTHER: &[(Text, Text)] = &[(VIA, text("unix")), (CPUS, text("two"))];
const KIB_1: &[(Text, Text)] = &[(text("bytes"), text("1024"))];
const KIB_2: &[(Text, Text)] = &[(text("bytes"), text("2048"))];
const MIB_1: &[(Text, Text)] = &[(text("bytes"), text("1048576"))];

const fn local(
    id: &'static str,
    summary: &'static str,
    quantity: &'static str,
    params: &'static [(Text, Text)],
) -> Metric {
    let from = Derive::Value(select(quantity, params), Estimator::Median);
    metric(id, summary, Unit::Ns, Better::Lower, Tier::T4, "network", from)
}

const fn remote(id: &'static str, summary: &'static str, which: Estimator) -> Metric {
    let from = Derive::Value(select(PEER, &[]), which);
    metric(id, summary, Unit::Ns, Better::Lower, Tier::T4, "network", from)
}

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    local::measure(bench)?;
    remote::measure(bench)
}
