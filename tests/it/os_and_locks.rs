//! The prices of the kernel and of locks where the kernel refuses something: what it refuses says
//! so, with what would help, everything else is measured, and nothing is left behind.

use std::fs;
use std::process::Command;

use card::record::Skip;
use seccompiler::SeccompAction;

use crate::common::filter::{Call, EPERM, always, behind, refuse, when};
use crate::common::run::{Run, quick, quick_under, with_quick};
use crate::common::turn::alone;
use crate::common::user::{directory_for_everyone, is_root, program_in};
use crate::common::{first_cpu, program};

/// The calls, which are sampled in quiet moments only.
const QUIET: [&str; 11] = [
    "syscall",
    "syscall_inline",
    "syscall_invalid",
    "clock_gettime",
    "clock_gettime_syscall",
    "signal",
    "write_1b",
    "write_1b_null",
    "write_1b_buffered",
    "mmap",
    "mprotect",
];

/// The first skip that names this metric, or these by the same pattern.
fn skip<'a>(run: &'a Run, metric: &str) -> &'a Skip {
    let found =
        run.card.skips.iter().find(|s| s.names(metric) || s.metrics.iter().any(|m| m == metric));
    found.unwrap_or_else(|| panic!("{metric}: {:?}", run.card.skips))
}

/// Everything but these was measured, and these say why not.
fn lacks_only(run: &Run, lacking: &[&str]) {
    for value in &run.metrics.0 {
        if lacking.contains(&value.id.as_str()) {
            let reason = value.reason.as_deref().unwrap_or_default();
            assert!(value.value.is_none() && reason.starts_with("needs "), "{value:?}");
        } else if value.id != "os.page_fault_cold_ns" {
            // Only a guest that has not used its memory yet has cold memory; and a machine that is
            // busy with others' work may have no quiet moment for a call.
            let reason = value.reason.as_deref().unwrap_or_default();
            let waits = QUIET.iter().any(|id| value.id == format!("os.{id}_ns"));
            let disturbed = waits && reason.starts_with("no sample of ");
            assert!(value.value.is_some() || disturbed, "{value:?}");
        }
    }
}

/// Linux from 6.3 on may forbid programs in memory.
#[test]
fn without_programs_in_memory_the_setting_is_named() {
    if !is_root() || fs::metadata("/proc/sys/vm/memfd_noexec").is_err() {
        return;
    }
    let shell = "echo 2 > /proc/sys/vm/memfd_noexec && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-pf", "--mount-proc", "sh", "-c", shell, "sh"]).arg(program());
    let run = run(with_quick(command, &["os"]));
    let skip = skip(&run, "os.spawn_ns");
    assert!(skip.reason.starts_with("vm.memfd_noexec forbids"), "{skip:?}");
    assert!(skip.remedy.contains("vm.memfd_noexec"), "{skip:?}");
    lacks_only(&run, &["os.spawn_ns"]);
}

/// Runs this, which must leave no temporary file.
fn run(mut command: Command) -> Run {
    let _turn = alone();
    let (out, temporary) = (directory_for_everyone(), directory_for_everyone());
    let run = Run::into(out.path(), command.env("TMPDIR", temporary.path()));
    assert_eq!(temporary.path().read_dir().unwrap().count(), 0, "a file was left behind");
    run
}

/// The prices of the kernel behind a filter.
fn filtered(answer: SeccompAction, calls: impl IntoIterator<Item = Call>) -> Run {
    behind(&[refuse(answer, calls)], || run(quick(&["os"])))
}

#[test]
fn without_fork_programs_and_threads_are_still_started() {
    // A fork shares no memory with its parent; what posix_spawn and threads begin with does.
    let run = filtered(EPERM, [when(libc::SYS_clone, 0, libc::CLONE_VM as u64, 0)]);
    // Whether an unknown call would be the end can only be found out by a child.
    lacks_only(&run, &["os.fork_ns", "os.fork_64m_ns", "os.syscall_invalid_ns"]);
    let skip = skip(&run, "os.fork_ns");
    assert!(skip.reason.contains("not permitted") && skip.remedy.contains("seccomp"), "{skip:?}");
    if run.measured("os.syscall_ns").is_some() {
        let said = "a seccomp filter included";
        assert!(run.text().contains(said), "{}", run.text());
    }
}

#[test]
fn without_timers_memory_advice_and_signals_the_rest_is_measured() {
    let calls = [
        // The probe's sleeps; those of the standard library ask for the rest of their time.
        when(libc::SYS_clock_nanosleep, 3, u64::MAX, 0),
        when(libc::SYS_madvise, 2, u64::from(u32::MAX), libc::MADV_DONTNEED as u64),
        always(libc::SYS_tgkill),
    ];
    let run = filtered(EPERM, calls);
    lacks_only(
        &run,
        &[
            "os.timer_lateness_ns",
            "os.timer_lateness_p99_ns",
            "os.timer_lateness_1us_ns",
            "os.timer_lateness_10ms_ns",
            "os.timer_lateness_tight_ns",
            "os.page_fault_4k_ns",
            "os.page_fault_4k_uncached_ns",
            "os.page_fault_cold_ns",
            "os.page_fault_2m_ns",
            "os.page_fault_file_ns",
            "os.page_fault_cow_ns",
            "os.signal_ns",
        ],
    );
    for metric in ["os.timer_lateness*_ns", "os.page_fault_4k_ns", "os.signal_ns"] {
        assert!(skip(&run, metric).remedy.contains("seccomp"), "{:?}", skip(&run, metric));
    }
}

#[test]
fn a_filter_that_kills_for_unknown_calls_kills_no_round() {
    let run = filtered(SeccompAction::KillProcess, [always(100_000)]);
    lacks_only(&run, &["os.syscall_invalid_ns"]);
    assert!(skip(&run, "os.syscall_invalid_ns").reason.contains("kills"));
}

#[test]
fn within_200_mb_a_small_process_forks_as_ever() {
    let run = run(quick_under(&["prlimit", "--as=200000000"], &["os"]));
    lacks_only(&run, &["os.fork_64m_ns"]);
    assert!(skip(&run, "os.fork_64m_ns").remedy.contains("memory"));
}

/// The limit holds for users without privileges: 4 tasks are the program, its two readers and the
/// child that measures.
#[test]
fn where_no_more_tasks_may_be_started_all_else_is_measured() {
    use std::os::unix::process::CommandExt;
    const NOBODY: u32 = 54_322;
    if !is_root() {
        return eprintln!("only root may become a user of whom nothing else is running");
    }
    let dir = directory_for_everyone();
    let mut command = Command::new("prlimit");
    command.arg("--nproc=4").arg(program_in(dir.path())).uid(NOBODY).gid(NOBODY);
    let run = run(with_quick(command, &["os"]));
    lacks_only(&run, &["os.thread_create_ns", "os.fork_ns", "os.fork_64m_ns", "os.spawn_ns"]);
    let skip = skip(&run, "os.fork_ns");
    assert!(skip.remedy.contains("ulimit -u"), "{skip:?}");
}

#[test]
fn without_files_in_memory_the_rest_is_measured() {
    let run = filtered(EPERM, [always(libc::SYS_memfd_create)]);
    lacks_only(&run, &["os.write_1b_ns", "os.write_1b_buffered_ns", "os.spawn_ns"]);
    let skip = skip(&run, "os.write_1b_ns");
    assert!(skip.need.contains("in memory") && skip.remedy.contains("seccomp"), "{skip:?}");
}

#[test]
fn one_cpu_has_locks_that_no_one_else_wants() {
    // Beside a busy hyperthread sibling, no lock is measured; noise is.
    let run = run(quick_under(&["taskset", "-c", &first_cpu()], &["locks", "noise"]));
    let skip = skip(&run, "locks.handoff*_ns");
    assert!(skip.need.starts_with("2 CPUs") && skip.remedy.contains("taskset"), "{skip:?}");
    for id in ["mutex_uncontended", "rwlock_read", "spin_uncontended", "atomic"] {
        run.measured(&format!("locks.{id}_ns"));
    }
    for id in ["mutex_contended_ns", "spin_work_100_ns", "mutex_fairness_ratio", "handoff_spin_ns"]
    {
        run.lacks(&format!("locks.{id}"), "needs 2 CPUs");
    }
}
