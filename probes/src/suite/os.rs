//! The operating system's price list: what a program pays for asking the kernel.
//!
//! Method: each service by the system call itself, on one CPU, many times in a row, and counted by
//! whoever knows: faults by the kernel's own counter, signals by their handler, children by how
//! they ended, answers by their value. Calls: an answer that needs no work (getppid), by the C
//! library's function and by the instruction alone, a number that does not exist (entry and exit
//! alone), the clock without and with a call, a signal to oneself, mapping and protecting a page
//! (which splits its mapping and joins it again), writing a byte to a file in memory. Page faults:
//! the first touch of pages that this process had before and gave back, small and huge; of pages of
//! a file that is in memory, which come in bundles; of such pages that are written to and so
//! copied; and of memory that the guest has not used before, if there is any left. Tasks: a thread,
//! a fork, a program of two instructions. Timers: how much later than asked for a sleeper wakes up.
//! Blind spots: a new thread or child runs on the CPU of its parent here, which spares it the wake-up
//! of another one. Which memory a hypervisor has to find first cannot be asked for: only memory that
//! is plainly slower to touch is taken for it. A filter of system calls is part of every number.
//! Expect: a call 50 to 150 ns, more with mitigations; a fault 0.2 to 1 µs, several µs where the
//! host must find the memory; a thread 5 to 20 µs, a fork 50 to 200 µs; timers late by their slack.

use card::record::Skip;
use std::io;

use crate::harness::bench::Bench;
use crate::probe::Probe;
use crate::sys::errno;
use card::declare::{Better, Derive, Estimator, Metric, Text, Tier, Unit};
use card::declare::{metric, select, text};

mod calls;
mod faults;
mod row;
mod tasks;
mod timers;

/// The probe.
pub const PROBE: Probe = Probe {
    name: "os",
    summary: "the operating system's price list: calls, faults, tasks, timers",
    needs: &[],
    uses: &[],
    seconds: 1.2,
    metrics: &[
        call("os.syscall_ns", "syscall", "a system call that does next to nothing (getppid)"),
        call(
            "os.syscall_inline_ns",
            "syscall_inline",
            "the same without a function around it, whose return the CPU would guess wrong",
        ),
        call(
            "os.syscall_invalid_ns",
            "syscall_invalid",
            "a system call that does not exist: into the kernel and back",
        ),
        call("os.clock_gettime_ns", "clock_gettime", "reading the monotonic clock (vDSO)"),
        call(
            "os.clock_gettime_syscall_ns",
            "clock_gettime_syscall",
            "reading the monotonic clock by a real system call",
        ),
        call("os.signal_ns", "signal", "a signal to oneself: sending, handler and return"),
        call("os.write_1b_ns", "write_1b", "writing one byte to a file in memory (page cache)"),
        call("os.write_1b_null_ns", "write_1b_null", "writing one byte to /dev/null"),
        call(
            "os.write_1b_buffered_ns",
            "write_1b_buffered",
            "writing one byte to the same file through a buffer of 8 KiB",
        ),
        call("os.mmap_ns", "mmap", "mapping and unmapping a page that nobody touches"),
        call(
            "os.mprotect_ns",
            "mprotect",
            "changing the protection of a page in use: the mean of splitting and joining its mapping",
        ),
        fault("os.mmap_touch_ns", "mmap_touch", "mapping, touching and unmapping a page"),
        fault(
            "os.page_fault_4k_ns",
            "page_fault_4k",
            "first touch of 4 KiB that were in use before (guest-warm)",
        ),
        fault(
            "os.page_fault_cold_ns",
            "page_fault_cold",
            "first touch of 4 KiB that the host had to find first (host-cold)",
        ),
        fault("os.page_fault_2m_ns", "page_fault_2m", "first touch of a huge page of 2 MiB"),
        fault(
            "os.page_fault_file_ns",
            "page_fault_file",
            "first touch of pages of a file in memory: one fault, which maps its neighbours too",
        ),
        fault(
            "os.page_fault_cow_ns",
            "page_fault_cow",
            "first write to a shared page, which is copied",
        ),
        kernel("os.thread_create_ns", "thread_create", "starting a thread and waiting for its end"),
        kernel("os.fork_ns", "fork", "forking this small process and waiting for the child's end"),
        kernel("os.fork_64m_ns", "fork_64m", "the same with 64 MiB in use, in pages of 4 KiB"),
        kernel(
            "os.spawn_ns",
            "spawn",
            "starting a program of two instructions (posix_spawn) and waiting for its end",
        ),
        lateness(
            "os.timer_lateness_ns",
            "how much later than asked a sleep of 100 µs ends",
            AT_100_US,
            MEDIAN,
        ),
        lateness(
            "os.timer_lateness_p99_ns",
            "how much later the latest hundredth of such sleeps ends",
            AT_100_US,
            Estimator::P99,
        ),
        lateness(
            "os.timer_lateness_1us_ns",
            "how much later than asked a sleep of 1 µs ends",
            AT_1_US,
            MEDIAN,
        ),
        lateness(
            "os.timer_lateness_10ms_ns",
            "how much later than asked a sleep of 10 ms ends",
            AT_10_MS,
            MEDIAN,
        ),
        kernel(
            "os.timer_lateness_tight_ns",
            "timer_lateness_tight",
            "how much later a sleep of 100 µs ends that allows no slack",
        ),
    ],
    proofs: &[],
    in_kernel: true,
    declare: |_| (),
    run,
};

const FAMILY: &str = "os";
const MEDIAN: Estimator = Estimator::Median;
const AT_1_US: &[(Text, Text)] = &[(text("sleep"), text("1000"))];
const AT_100_US: &[(Text, Text)] = &[(text("sleep"), text("100000"))];
const AT_10_MS: &[(Text, Text)] = &[(text("sleep"), text("10000000"))];

/// What the core does on its own.
const fn call(id: &'static str, quantity: &'static str, summary: &'static str) -> Metric {
    let from = Derive::Value(select(quantity, &[]), Estimator::LowerQuartile);
    metric(id, summary, Unit::Ns, Better::Lower, Tier::T2, FAMILY, from)
}

/// What the kernel and the host do for memory; others can only add to it.
const fn fault(id: &'static str, quantity: &'static str, summary: &'static str) -> Metric {
    let from = Derive::Value(select(quantity, &[]), Estimator::LowerQuartile);
    metric(id, summary, Unit::Ns, Better::Lower, Tier::T4, FAMILY, from)
}

/// What the scheduler decides.
const fn kernel(id: &'static str, quantity: &'static str, summary: &'static str) -> Metric {
    let from = Derive::Value(select(quantity, &[]), MEDIAN);
    metric(id, summary, Unit::Ns, Better::Lower, Tier::T4, FAMILY, from)
}

const fn lateness(
    id: &'static str,
    summary: &'static str,
    at: &'static [(Text, Text)],
    which: Estimator,
) -> Metric {
    let from = Derive::Value(select("timer_lateness", at), which);
    metric(id, summary, Unit::Ns, Better::Lower, Tier::T4, FAMILY, from)
}

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    // First, as it waits for a quiet moment; the others take what they take.
    calls::run(bench)?;
    faults::run(bench)?;
    tasks::run(bench)?;
    timers::run(bench)?;
    faults::cold(bench)
}

/// What stands on the card in the place of these metrics when the kernel refuses something.
fn refused(metrics: &str, what: &str, error: &io::Error) -> Skip {
    Skip::new(format!("{what} ({metrics})"), error.to_string(), errno::remedy(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_its_metrics_and_its_remedy() {
        let of = |code| refused("os.fork_ns", "fork", &io::Error::from_raw_os_error(code));
        assert_eq!(of(libc::EPERM).need, "fork (os.fork_ns)");
        assert!(of(libc::EPERM).remedy.contains("seccomp"));
        assert!(of(libc::EAGAIN).remedy.contains("ulimit -u"));
        assert!(of(libc::ENOMEM).remedy.contains("memory"));
        assert!(of(libc::EMFILE).remedy.contains("ulimit -n"));
    }
}
