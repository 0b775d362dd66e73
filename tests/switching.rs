//! Context switches where the kernel refuses a partner, or there is no CPU for it: what cannot be
//! measured says why, everything else is measured, and no process is left behind.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod common;
#[path = "common/group.rs"]
mod group;
#[path = "common/wait.rs"]
mod wait;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;

use card::file::Card;
use card::machine::Machine;
use card::metrics::{self, Metrics};
use card::record::Skip;
use common::{card_in, program};
use group::Group;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};
use wait::wait_for;

/// By this, processes know that they belong to a test: copies of a process have its environment.
const MARK: &str = "PROBECARD_TEST_MARK";

const ARGUMENTS: [&str; 5] = ["run", "--tier", "quick", "--only", "context-switch"];

/// Processes that a run has started, itself included. Those that have ended have no environment.
fn running(out: &Path) -> Vec<u32> {
    let mark = format!("{MARK}={}", out.display());
    let marked = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|variable| variable == mark.as_bytes())
    };
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|e| e.file_name().to_str()?.parse().ok()).filter(marked).collect()
}

struct Run {
    card: Card,
    metrics: Metrics,
}

/// A run that must succeed, and leave nothing behind.
fn run(mut command: Command, out: &Path) -> Run {
    let output = finish(&mut command, out);
    assert!(output.status.success(), "{output:?}");
    let card = Card::read(&card_in(out).unwrap()).unwrap();
    assert!(card.is_complete() && card.fails.is_empty(), "{:?}", card.fails);
    let metrics = metrics::evaluate(&card);
    let run = Run { card, metrics };
    // Whatever else there is, no switch needs a partner that does not make system calls.
    run.has(&["user_ns", "user_return_ns", "coroutine_ns", "async_ns"]);
    run.tells_what_is_missing();
    run
}

fn finish(command: &mut Command, out: &Path) -> Output {
    let _turn = TURN.lock();
    let output = command.arg("--out").arg(out).env(MARK, out).output().unwrap();
    assert_eq!(running(out), [] as [u32; 0], "left behind");
    output
}

fn ours() -> Command {
    let mut command = Command::new(program());
    command.args(ARGUMENTS);
    command
}

impl Run {
    fn has(&self, ids: &[&str]) {
        for id in ids {
            let value = self.metrics.get(&format!("context_switch.{id}")).unwrap();
            assert!(value.value.is_some_and(|v| v > 0.0), "{id}: {value:?}, {:?}", self.card.skips);
        }
    }

    /// Whatever has no value is named by a skip, which says why.
    fn tells_what_is_missing(&self) {
        for value in self.metrics.0.iter().filter(|value| value.value.is_none()) {
            let reason = value.reason.as_deref().unwrap_or_default();
            // The reason is that of the skip, without the ids in its need.
            let skips = |skip: &Skip| {
                skip.need.contains("context_switch.")
                    && reason.starts_with("needs ")
                    && reason.ends_with(&format!(": {}", skip.reason))
            };
            let skipped = self.card.skips.iter().any(skips);
            // Others may have needed the second CPU all the time.
            let two = ["no sample of spinning", "no sample of wakeup"];
            let disturbed = two.iter().any(|start| reason.starts_with(start));
            assert!(skipped || disturbed, "{value:?}");
        }
    }

    /// These have no value, and the reason for it says this.
    fn lacks(&self, ids: &[&str], why: &str) {
        for id in ids {
            let value = self.metrics.get(&format!("context_switch.{id}")).unwrap();
            assert_eq!(value.value, None, "{id}");
            let reason = value.reason.as_deref().unwrap_or_default();
            assert!(reason.contains(why), "{id}: {reason}");
        }
        let said = self.card.skips.iter().find(|s| s.reason.contains(why));
        assert!(!said.expect("a skip").remedy.is_empty());
    }
}

/// Runs in a thread to which filters belong, and which hands them on to what it starts.
fn filtered(filters: &[(SeccompFilter, &str)], run: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for (filter, what) in filters {
                let program: BpfProgram = filter.clone().try_into().expect(what);
                seccompiler::apply_filter(&program).expect(what);
            }
            run();
        });
    });
}

/// Answers so to these calls, and lets all others pass.
fn refuse(calls: &[(i64, Vec<SeccompRule>)], errno: i32) -> SeccompFilter {
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let calls: BTreeMap<_, _> = calls.iter().cloned().collect();
    let (allow, deny) = (SeccompAction::Allow, SeccompAction::Errno(errno.cast_unsigned()));
    SeccompFilter::new(calls, allow, deny, arch).unwrap()
}

const SAME_CPU: [&str; 4] = [
    "pipe.thread.same_cpu.round_trip_ns",
    "futex.thread.same_cpu.round_trip_ns",
    "yield.thread.same_cpu.round_trip_ns",
    "direct_ns",
];

#[test]
fn on_one_cpu_there_is_no_partner_elsewhere() {
    let allowed = Machine::detect().allowed_cpus()[0].to_string();
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("taskset");
    command.args(["-c", &allowed]).arg(program()).args(ARGUMENTS);
    let run = run(command, dir.path());
    run.has(&SAME_CPU);
    run.has(&["pipe.process.same_cpu.round_trip_ns", "ring_0k_ns", "ring_1m_ns"]);
    let elsewhere = [
        "pipe.thread.other_cpu.round_trip_ns",
        "futex.process.other_cpu.round_trip_ns",
        "eventfd.thread.other_cpu.spinning_round_trip_ns",
        "wakeup_ns",
    ];
    run.lacks(&elsewhere, "affinity mask allows 1");
    let sibling = run.metrics.get("context_switch.pipe.thread.sibling.round_trip_ns").unwrap();
    assert!(sibling.reason.as_ref().is_some_and(|r| r.contains("sibling")), "{sibling:?}");
}

#[test]
fn where_processes_may_not_be_copied_threads_are_measured() {
    // A process that is started shares the memory of its parent until it is another program; a copy
    // does not. clone3 hides its flags from filters, so that container engines deny that it exists.
    let copies = SeccompCondition::new(
        0,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::MaskedEq(libc::CLONE_VM as u64),
        0,
    );
    let copies = SeccompRule::new(vec![copies.unwrap()]).unwrap();
    let mut calls = vec![(libc::SYS_clone, vec![copies])];
    #[cfg(target_arch = "x86_64")]
    calls.push((libc::SYS_fork, vec![]));
    let filters = [
        (refuse(&[(libc::SYS_clone3, vec![])], libc::ENOSYS), "clone3"),
        (refuse(&calls, libc::EPERM), "clone"),
    ];
    filtered(&filters, || {
        let dir = tempfile::tempdir().unwrap();
        let run = run(ours(), dir.path());
        run.has(&SAME_CPU);
        let processes = [
            "pipe.process.same_cpu.round_trip_ns",
            "eventfd.process.same_cpu.round_trip_ns",
            "yield.process.same_cpu.round_trip_ns",
            "process.direct_ns",
        ];
        run.lacks(&processes, "not permitted");
    });
}

#[test]
fn without_eventfds_pipes_and_futexes_are_measured() {
    let filters = [(refuse(&[(libc::SYS_eventfd2, vec![])], libc::EPERM), "eventfd2")];
    filtered(&filters, || {
        let dir = tempfile::tempdir().unwrap();
        let run = run(ours(), dir.path());
        run.has(&SAME_CPU);
        run.has(&["pipe.process.same_cpu.round_trip_ns", "ring_16k_ns"]);
        let counters = [
            "eventfd.thread.same_cpu.round_trip_ns",
            "eventfd.process.same_cpu.round_trip_ns",
            "eventfd.direct_ns",
        ];
        run.lacks(&counters, "not permitted");
    });
}

#[test]
fn a_partner_that_would_outlive_a_killed_run_is_not_started() {
    // Where no one tells a process that its parent has ended.
    let filters = [(refuse(&[(libc::SYS_prctl, vec![])], libc::EPERM), "prctl")];
    filtered(&filters, || {
        let dir = tempfile::tempdir().unwrap();
        let run = run(ours(), dir.path());
        run.has(&SAME_CPU);
        run.lacks(&["pipe.process.same_cpu.round_trip_ns"], "ended at once");
    });
}

/// One run at a time: each wants its CPUs for itself.
static TURN: Mutex<()> = Mutex::new(());

/// The program as a user that may have so many processes and threads, and may write to `out`. Each
/// test has a user of its own who has no processes yet, so that its limit is all ours.
fn limited(user: u32, processes: u32, dir: &Path) -> Command {
    let user = user.to_string();
    // The user may not reach the place where the program was built.
    let copy = dir.join("probecard");
    fs::copy(program(), &copy).unwrap();
    let everyone = fs::Permissions::from_mode(0o777);
    fs::set_permissions(dir, everyone).unwrap();
    let out = dir.join("out");
    fs::create_dir(&out).unwrap();
    fs::set_permissions(&out, fs::Permissions::from_mode(0o777)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &user, "--regid", &user, "--clear-groups", "--inh-caps=-all"]);
    command.args(["prlimit", &format!("--nproc={processes}")]).arg(copy).args(ARGUMENTS);
    command
}

/// Only root may become someone else; root itself has no limit on processes.
fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

#[test]
fn a_limit_on_processes_leaves_what_needs_no_partner() {
    if !is_root() {
        return eprintln!("only root may become a user that has no processes");
    }
    let dir = tempfile::tempdir().unwrap();
    // The run with its two readers, and a round.
    let run = run(limited(54_321, 4, dir.path()), &dir.path().join("out"));
    let partners = [
        "pipe.thread.same_cpu.round_trip_ns",
        "pipe.process.same_cpu.round_trip_ns",
        "direct_ns",
        "ring_0k_ns",
        "per_switch_ns",
        "thread_to_user_ratio",
    ];
    run.lacks(&partners, "limit on processes");
}

#[test]
fn where_not_even_a_round_can_be_started_the_run_says_so() {
    if !is_root() {
        return eprintln!("only root may become a user that has no processes");
    }
    let dir = tempfile::tempdir().unwrap();
    let output = finish(&mut limited(54_323, 1, dir.path()), &dir.path().join("out"));
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("ulimit -u"), "{said}");
}

/// The program in a control group of so many processes and threads; `None` where none can be made.
fn in_group(tasks: &str) -> Option<(Command, Group)> {
    let group = Group::with("pids", &[("pids.max", tasks)])?;
    let mut command = Command::new("sh");
    command.args(["-c", &group.enter(), "sh"]).arg(program()).args(ARGUMENTS);
    Some((command, group))
}

#[test]
fn within_a_limit_of_pids_what_needs_no_partner_is_measured() {
    let dir = tempfile::tempdir().unwrap();
    // The run with its two readers, and a round.
    let Some((command, _group)) = in_group("4") else {
        return eprintln!("no control group can be made here");
    };
    let run = run(command, dir.path());
    let partners = ["pipe.process.same_cpu.round_trip_ns", "direct_ns", "ring_0k_ns"];
    run.lacks(&partners, "limit on processes");
    let said = run.card.skips.iter().filter(|s| s.reason.contains("limit on processes"));
    assert!(said.into_iter().all(|s| s.remedy.contains("pids.max")), "{:?}", run.card.skips);
}

#[test]
fn without_a_pid_for_a_round_the_run_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let Some((mut command, _group)) = in_group("1") else {
        return eprintln!("no control group can be made here");
    };
    let output = finish(&mut command, dir.path());
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("pids.max"), "{said}");
}

#[test]
fn a_killed_run_leaves_no_partner() {
    let _turn = TURN.lock();
    let dir = tempfile::tempdir().unwrap();
    let mut command = ours();
    command.arg("--out").arg(dir.path()).env(MARK, dir.path());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut run = command.spawn().unwrap();
    // The run, a round, and at least one partner of it.
    wait_for("a partner", || (running(dir.path()).len() > 2).then_some(()));
    run.kill().unwrap();
    run.wait().unwrap();
    wait_for("all of them to end", || running(dir.path()).is_empty().then_some(()));
}
