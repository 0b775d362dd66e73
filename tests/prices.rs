//! The prices of the kernel and of locks where the kernel refuses something: what it refuses says
//! so, with what would help, everything else is measured, and nothing is left behind.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Mutex;

use card::file::Card;
use card::machine::Machine;
use card::metrics;
use card::record::Skip;
use common::{card_in, program};
use seccompiler::{
    SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

const EPERM: u32 = libc::EPERM as u32;

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

struct Run {
    card: Card,
    output: Output,
}

impl Run {
    /// The only skip that names this metric.
    fn skip(&self, metric: &str) -> &Skip {
        let skips: Vec<&Skip> =
            self.card.skips.iter().filter(|s| s.need.contains(metric)).collect();
        assert!(!skips.is_empty(), "{metric}: {:?}", self.card.skips);
        skips[0]
    }

    /// Everything but these was measured, and these say why not.
    fn lacks_only(&self, lacking: &[&str]) {
        let metrics = metrics::evaluate(&self.card);
        for value in &metrics.0 {
            if lacking.contains(&value.id.as_str()) {
                let reason = value.reason.as_deref().unwrap_or_default();
                assert!(value.value.is_none() && reason.starts_with("needs "), "{value:?}");
            } else if value.id != "os.page_fault_cold_ns" {
                // Only a guest that has not used its memory yet has cold memory; and a machine that
                // is busy with other tests may have no quiet moment for a call.
                let reason = value.reason.as_deref().unwrap_or_default();
                let waits = QUIET.iter().any(|id| value.id == format!("os.{id}_ns"));
                let disturbed = waits && reason.starts_with("no sample of ");
                assert!(value.value.is_some() || disturbed, "{value:?}");
            }
        }
    }
}

/// A short run of one probe by a command that ends in the program.
fn run(mut command: Command, probe: &str, out: &Path) -> Run {
    // One at a time: each wants all CPUs.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock();
    let files = temporary_files();
    let output =
        command.args(["--tier", "quick", "--only", probe, "--out"]).arg(out).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let card = Card::read(&card_in(out).unwrap()).unwrap();
    assert!(card.is_complete() && card.fails.is_empty(), "{:?}", card.fails);
    assert_eq!(temporary_files(), files, "a file was left behind");
    Run { card, output }
}

/// Files of ours in the temporary directory.
fn temporary_files() -> usize {
    let all = std::fs::read_dir(std::env::temp_dir()).unwrap().flatten();
    all.filter(|f| f.file_name().to_string_lossy().starts_with(".probecard")).count()
}

fn plainly() -> Command {
    Command::new(program())
}

fn under(wrapper: &[&str]) -> Command {
    let mut command = Command::new(wrapper[0]);
    command.args(&wrapper[1..]).arg(program());
    command
}

/// In a thread of its own, to which a filter then belongs, and to what it starts.
fn filtered(answer: SeccompAction, calls: Vec<(i64, Vec<SeccompRule>)>, probe: &str) -> Run {
    let dir = tempfile::tempdir().unwrap();
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let rules: BTreeMap<i64, Vec<SeccompRule>> = calls.into_iter().collect();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, answer, arch).unwrap();
    let program: seccompiler::BpfProgram = filter.try_into().unwrap();
    std::thread::scope(|scope| {
        let inside = || {
            seccompiler::apply_filter(&program).unwrap();
            run(plainly(), probe, dir.path())
        };
        scope.spawn(inside).join().unwrap()
    })
}

/// Where an argument has this value, looked at through a mask.
fn when(argument: u8, mask: u64, value: u64) -> Vec<SeccompRule> {
    let op = SeccompCmpOp::MaskedEq(mask);
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Qword, op, value).unwrap();
    vec![SeccompRule::new(vec![condition]).unwrap()]
}

#[test]
fn without_fork_programs_and_threads_are_still_started() {
    // A fork shares no memory with its parent; what posix_spawn and threads begin with does.
    let fork = vec![(libc::SYS_clone, when(0, libc::CLONE_VM as u64, 0))];
    let run = filtered(SeccompAction::Errno(EPERM), fork, "os");
    // Whether an unknown call would be the end can only be found out by a child.
    run.lacks_only(&["os.fork_ns", "os.fork_64m_ns", "os.syscall_invalid_ns"]);
    let skip = run.skip("os.fork_ns");
    assert!(skip.reason.contains("not permitted") && skip.remedy.contains("seccomp"), "{skip:?}");
    let text = String::from_utf8(run.output.stdout).unwrap();
    assert!(text.contains("a seccomp filter is run at every system call"), "{text}");
}

#[test]
fn without_timers_memory_advice_and_signals_the_rest_is_measured() {
    let calls = vec![
        // The probe's sleeps; those of the standard library ask for the rest of their time.
        (libc::SYS_clock_nanosleep, when(3, u64::MAX, 0)),
        (libc::SYS_madvise, when(2, u64::from(u32::MAX), libc::MADV_DONTNEED as u64)),
        (libc::SYS_tgkill, vec![]),
    ];
    let run = filtered(SeccompAction::Errno(EPERM), calls, "os");
    run.lacks_only(&[
        "os.timer_lateness_ns",
        "os.timer_lateness_p99_ns",
        "os.timer_lateness_1us_ns",
        "os.timer_lateness_10ms_ns",
        "os.timer_lateness_tight_ns",
        "os.page_fault_4k_ns",
        "os.page_fault_cold_ns",
        "os.page_fault_2m_ns",
        "os.page_fault_file_ns",
        "os.page_fault_cow_ns",
        "os.signal_ns",
    ]);
    for metric in ["os.timer_lateness*_ns", "os.page_fault_4k_ns", "os.signal_ns"] {
        assert!(run.skip(metric).remedy.contains("seccomp"), "{:?}", run.skip(metric));
    }
}

#[test]
fn a_filter_that_kills_for_unknown_calls_kills_no_round() {
    let unknown = vec![(100_000, vec![])];
    let run = filtered(SeccompAction::KillProcess, unknown, "os");
    run.lacks_only(&["os.syscall_invalid_ns"]);
    assert!(run.skip("os.syscall_invalid_ns").reason.contains("kills"));
}

#[test]
fn within_200_mb_a_small_process_forks_as_ever() {
    let dir = tempfile::tempdir().unwrap();
    let run = run(under(&["prlimit", "--as=200000000"]), "os", dir.path());
    run.lacks_only(&["os.fork_64m_ns"]);
    assert!(run.skip("os.fork_64m_ns").remedy.contains("memory"));
}

/// The limit holds for users without privileges: 4 tasks are the program, its two readers and the
/// child that measures.
#[test]
fn where_no_more_tasks_may_be_started_all_else_is_measured() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    const NOBODY: u32 = 54_322;
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return eprintln!("only root may become a user of whom nothing else is running");
    }
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("probecard");
    std::fs::copy(program(), &copy).unwrap();
    let everybody = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(dir.path(), everybody).unwrap();
    let mut command = Command::new("prlimit");
    command.arg("--nproc=4").arg(copy).uid(NOBODY).gid(NOBODY);
    let out = dir.path().join("out");
    let run = run(command, "os", &out);
    run.lacks_only(&["os.thread_create_ns", "os.fork_ns", "os.fork_64m_ns", "os.spawn_ns"]);
    let skip = run.skip("os.fork_ns");
    assert!(skip.remedy.contains("ulimit -u"), "{skip:?}");
}

#[test]
fn without_files_in_memory_the_rest_is_measured() {
    let run = filtered(SeccompAction::Errno(EPERM), vec![(libc::SYS_memfd_create, vec![])], "os");
    run.lacks_only(&["os.write_1b_ns", "os.write_1b_buffered_ns", "os.spawn_ns"]);
    let skip = run.skip("os.write_1b_ns");
    assert!(skip.need.contains("in memory") && skip.remedy.contains("seccomp"), "{skip:?}");
}

#[test]
fn one_cpu_has_locks_that_no_one_else_wants() {
    let allowed = Machine::detect().allowed_cpus()[0].to_string();
    let dir = tempfile::tempdir().unwrap();
    let run = run(under(&["taskset", "-c", &allowed]), "locks", dir.path());
    let skip = run.skip("locks.handoff*_ns");
    assert!(skip.need.starts_with("2 CPUs") && skip.remedy.contains("taskset"), "{skip:?}");
    let metrics = metrics::evaluate(&run.card);
    for id in ["mutex_uncontended", "rwlock_read", "spin_uncontended", "atomic"] {
        assert!(metrics.number(&format!("locks.{id}_ns")).is_some(), "{id}");
    }
    for id in ["mutex_contended_ns", "spin_work_100_ns", "mutex_fairness_ratio", "handoff_spin_ns"]
    {
        let value = metrics.get(&format!("locks.{id}")).unwrap();
        let reason = value.reason.as_deref().unwrap_or_default();
        assert!(value.value.is_none() && reason.starts_with("needs 2 CPUs"), "{value:?}");
    }
}
