//! The operating system's price list: what a program pays for asking the kernel.
//!
//! Method: each service by the system call itself, on one CPU, many times in a row, and counted by
//! whoever knows: faults by the kernel's own counter, signals by their handler, children by how
//! they ended, answers by their value. Calls: an answer that needs no work (getppid), by the C
//! library's function and by the instruction alone, a number that does not exist (entry and exit
//! alone), the clock without and with a call, a signal to oneself, mapping and protecting a page
//! (which splits its mapping and joins it again), writing a byte to a file in memory. Page faults:
//! the first touch of pages that this process had before and gave back, small and huge, few that the
//! caches hold and many that they do not; of pages of a file that is in memory, which come in
//! bundles; of such pages that are written to and so copied; and of memory that the guest has not
//! used before, if there is any left. Tasks: a thread, a fork, a program of two instructions.
//! Timers: how much later than asked for a sleeper wakes up.
//! Blind spots: a new thread or child runs on the CPU of its parent here, which spares it the wake-up
//! of another one. Which memory a hypervisor has to find first cannot be asked for: only memory that
//! is plainly slower to touch is taken for it. A filter of system calls is part of every number.
//! Expect: a call 50 to 150 ns, more with mitigations; a fault 0.2 to 1 µs, several µs where the
//! host must find the memory; a thread 5 to 20 µs, a fork 50 to 200 µs; timers late by their slack.

use std::io;

use crate::harness::bench::Bench;
use crate::probe::Probe;
use crate::sys::errno;
use crate::sys::memory::Pages;
use card::declare::{Declare, Estimator, NoiseClass, ReportOnly, Unit};
use card::machine::human_bytes;
use card::record::Skip;

mod calls;
mod faults;
mod row;
mod tasks;
mod timers;

/// The probe.
pub const PROBE: Probe = Probe {
    name: "os",
    summary: "latency of system calls, page faults, thread and process creation; timer overshoot",
    needs: &[],
    uses: &[],
    seconds: 1.2,
    in_kernel: true,
    declare,
    run,
};

/// What the core does on its own.
const CALLS: [(&str, &str); 11] = [
    ("syscall", "null system call (getppid)"),
    ("syscall_inline", "null system call (getppid), inline, without a mispredicted return"),
    ("syscall_invalid", "syscall entry/exit (ENOSYS)"),
    ("clock_gettime", "clock_gettime (vDSO)"),
    ("clock_gettime_syscall", "clock_gettime by system call"),
    ("signal", "signal delivery to the own thread: kill, handler, sigreturn"),
    ("write_1b", "1-byte write to a file in memory (page cache)"),
    ("write_1b_null", "1-byte write to /dev/null"),
    ("write_1b_buffered", "1-byte write through an 8 KiB buffer"),
    ("mmap", "mmap and munmap of an untouched page"),
    ("mprotect", "mprotect of a page in use: mean of VMA split and merge"),
];

/// What the kernel and the host do for memory; others can only add to it. Names and words say the
/// size that the kernel's pages have.
fn faults() -> [(String, String); 7] {
    let [small, huge] = [Pages::Small, Pages::Huge].map(|pages| human_bytes(pages.bytes() as u64));
    [
        ("mmap_touch".into(), "mmap, first touch and munmap of a page".into()),
        (faults::of_pages(Pages::Small), format!("minor page fault, {small}, memory in cache")),
        (faults::of_uncached(), format!("minor page fault, {small}, memory out of cache")),
        (
            "page_fault_cold".into(),
            format!("first touch of {small}, not yet backed by the host (EPT fault)"),
        ),
        (faults::of_pages(Pages::Huge), format!("huge-page fault, {huge}")),
        ("page_fault_file".into(), "minor file fault, fault-around included".into()),
        ("page_fault_cow".into(), "copy-on-write fault".into()),
    ]
}

/// What the scheduler decides.
const TASKS: [(&str, &str); 4] = [
    ("thread_create", "thread create and join"),
    ("fork", "fork and wait, small process"),
    ("fork_64m", "fork and wait, 64 MiB in use in small pages"),
    ("spawn", "posix_spawn and wait, smallest program"),
];

fn declare(d: &mut Declare) {
    d.family("os");
    let mut row = |name: &str, summary: String, tier, estimator| {
        let row = d.quantity(name.to_owned(), Unit::Ns, estimator);
        d.metric(metric(name), tier, row, summary);
    };
    for (name, summary) in CALLS {
        row(name, summary.into(), NoiseClass::T2, Estimator::LowerQuartile);
    }
    for (name, summary) in faults() {
        row(&name, summary, NoiseClass::T4, Estimator::LowerQuartile);
    }
    for (name, summary) in TASKS {
        row(name, summary.into(), NoiseClass::T4, Estimator::Median);
    }
    d.report_only(Some(ReportOnly::Tail));
    let late = d.quantity("timer_lateness", Unit::Ns, Estimator::Median);
    let at = |sleep: u32| late.with("sleep", sleep);
    let mut lateness = |id: &'static str, from, summary: &'static str| {
        d.metric(id, NoiseClass::T4, from, summary);
    };
    lateness(
        "os.timer_lateness_ns",
        at(timers::TYPICAL).value(),
        "timer overshoot of a 100 µs sleep, default slack",
    );
    lateness(
        "os.timer_lateness_p99_ns",
        at(timers::TYPICAL).statistic(Estimator::P99),
        "timer overshoot of a 100 µs sleep, p99",
    );
    lateness(
        "os.timer_lateness_1us_ns",
        at(timers::SHORTEST).value(),
        "timer overshoot of a 1 µs sleep",
    );
    lateness(
        "os.timer_lateness_10ms_ns",
        at(timers::LONGEST).value(),
        "timer overshoot of a 10 ms sleep",
    );
    let tight = d.quantity("timer_lateness_tight", Unit::Ns, Estimator::Median);
    d.metric(
        "os.timer_lateness_tight_ns",
        NoiseClass::T4,
        tight,
        "timer overshoot of a 100 µs sleep, slack 1 ns",
    );
}

/// The metric that comes of a quantity.
fn metric(quantity: &str) -> String {
    format!("os.{quantity}_ns")
}

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    // First, as it waits for a quiet moment; the others take what they take.
    calls::run(bench)?;
    faults::run(bench)?;
    tasks::run(bench)?;
    timers::run(bench)?;
    faults::cold(bench)
}

/// What stands on the card in the place of the metrics of these quantities when the kernel refuses
/// something.
fn refused<const N: usize>(quantities: [&str; N], what: &str, error: &io::Error) -> Skip {
    Skip::new(what, error.to_string(), errno::remedy(error)).of(quantities.map(metric))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_its_metrics_and_its_remedy() {
        let of = |code| refused(["fork"], "fork", &io::Error::from_raw_os_error(code));
        assert_eq!(
            (of(libc::EPERM).need, of(libc::EPERM).metrics),
            ("fork".into(), vec!["os.fork_ns".into()])
        );
        assert!(of(libc::EPERM).remedy.contains("seccomp"));
        assert!(of(libc::EAGAIN).remedy.contains("ulimit -u"));
        assert!(of(libc::ENOMEM).remedy.contains("memory"));
        assert!(of(libc::EMFILE).remedy.contains("ulimit -n"));
    }
}
