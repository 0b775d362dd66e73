//! Context switches where the kernel refuses a partner, or there is no CPU for it: what cannot be
//! measured says why, everything else is measured, and no process is left behind.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use card::record::Skip;
use seccompiler::SeccompAction;

use crate::common::filter::{EPERM, always, behind, refuse, when};
use crate::common::first_cpu;
use crate::common::group::Group;
use crate::common::run::{Run, quick, quick_under, with_quick};
use crate::common::turn::alone;
use crate::common::user::{directory_for_everyone, is_root, program_in};
use crate::common::wait::wait_for;

/// By this, processes know that they belong to a test: copies of a process have its environment.
const MARK: &str = "PROBECARD_TEST_MARK";

const PROBE: [&str; 1] = ["context-switch"];

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

/// A run that must succeed, and leave nothing behind.
fn run(mut command: Command, out: &Path) -> Run {
    let run = Run::succeeded(finish(&mut command, out), out);
    // Whatever else there is, no switch needs a partner that does not make system calls.
    has(&run, &["user_ns", "user_return_ns", "coroutine_ns", "async_ns"]);
    tells_what_is_missing(&run);
    run
}

fn finish(command: &mut Command, out: &Path) -> Output {
    let _turn = alone();
    let output = command.arg("--out").arg(out).env(MARK, out).output().unwrap();
    assert_eq!(running(out), [] as [u32; 0], "left behind");
    output
}

fn has(run: &Run, ids: &[&str]) {
    for id in ids {
        let value = run.measured(&format!("context_switch.{id}"));
        assert!(value.is_none_or(|v| v > 0.0), "{id}: {value:?}, {:?}", run.card.skips);
    }
}

/// Whatever has no value is named by a skip, which says why.
fn tells_what_is_missing(run: &Run) {
    for value in run.metrics.0.iter().filter(|value| value.value.is_none()) {
        let reason = value.reason.as_deref().unwrap_or_default();
        let skips = |skip: &Skip| {
            skip.names(&value.id) && reason == format!("needs {}: {}", skip.need, skip.reason)
        };
        let skipped = run.card.skips.iter().any(skips);
        // Others may have needed the second CPU, or the hyperthread sibling, all the time.
        let two = ["no sample of spinning", "no sample of wakeup"];
        let disturbed = two.iter().any(|start| reason.starts_with(start));
        assert!(skipped || disturbed || run.measured(&value.id).is_none(), "{value:?}");
    }
}

/// These have no value, and the reason for it says this.
fn lacks(run: &Run, ids: &[&str], why: &str) {
    for id in ids {
        run.lacks(&format!("context_switch.{id}"), why);
    }
    let said = run.card.skips.iter().find(|s| s.reason.contains(why));
    assert!(!said.expect("a skip").remedy.is_empty());
}

const SAME_CPU: [&str; 4] = [
    "pipe.thread.same_cpu.round_trip_ns",
    "futex.thread.same_cpu.round_trip_ns",
    "yield.thread.same_cpu.round_trip_ns",
    "direct_ns",
];

#[test]
fn on_one_cpu_there_is_no_partner_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let run = run(quick_under(&["taskset", "-c", &first_cpu()], &PROBE), dir.path());
    has(&run, &SAME_CPU);
    has(&run, &["pipe.process.same_cpu.round_trip_ns", "ring_0k_ns", "ring_1m_ns"]);
    let elsewhere = [
        "pipe.thread.other_cpu.round_trip_ns",
        "futex.process.other_cpu.round_trip_ns",
        "eventfd.thread.other_cpu.spinning_round_trip_ns",
        "wakeup_ns",
    ];
    lacks(&run, &elsewhere, "affinity mask allows 1");
    let sibling = run.metrics.get("context_switch.pipe.thread.sibling.round_trip_ns").unwrap();
    assert!(sibling.reason.as_ref().is_some_and(|r| r.contains("sibling")), "{sibling:?}");
}

#[test]
fn where_processes_may_not_be_copied_threads_are_measured() {
    // A process that is started shares the memory of its parent until it is another program; a copy
    // does not. clone3 hides its flags from filters, so that container engines deny that it exists.
    let mut copies = vec![when(libc::SYS_clone, 0, libc::CLONE_VM as u64, 0)];
    #[cfg(target_arch = "x86_64")]
    copies.push(always(libc::SYS_fork));
    let unknown = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    let filters = [refuse(unknown, [always(libc::SYS_clone3)]), refuse(EPERM, copies)];
    behind(&filters, || {
        let dir = tempfile::tempdir().unwrap();
        let run = run(quick(&PROBE), dir.path());
        has(&run, &SAME_CPU);
        let processes = [
            "pipe.process.same_cpu.round_trip_ns",
            "eventfd.process.same_cpu.round_trip_ns",
            "yield.process.same_cpu.round_trip_ns",
            "process.direct_ns",
        ];
        lacks(&run, &processes, "not permitted");
    });
}

#[test]
fn without_eventfds_pipes_and_futexes_are_measured() {
    behind(&[refuse(EPERM, [always(libc::SYS_eventfd2)])], || {
        let dir = tempfile::tempdir().unwrap();
        let run = run(quick(&PROBE), dir.path());
        has(&run, &SAME_CPU);
        has(&run, &["pipe.process.same_cpu.round_trip_ns", "ring_16k_ns"]);
        let counters = [
            "eventfd.thread.same_cpu.round_trip_ns",
            "eventfd.process.same_cpu.round_trip_ns",
            "eventfd.direct_ns",
        ];
        lacks(&run, &counters, "not permitted");
    });
}

#[test]
fn a_partner_that_would_outlive_a_killed_run_is_not_started() {
    // Where no one tells a process that its parent has ended.
    behind(&[refuse(EPERM, [always(libc::SYS_prctl)])], || {
        let dir = tempfile::tempdir().unwrap();
        let run = run(quick(&PROBE), dir.path());
        has(&run, &SAME_CPU);
        lacks(&run, &["pipe.process.same_cpu.round_trip_ns"], "ended at once");
    });
}

/// The program as a user that may have so many processes and threads. Each test
/// has a user of its own who has no processes yet, so that its limit is all ours.
fn limited(user: u32, processes: u32, dir: &Path) -> Command {
    let user = user.to_string();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &user, "--regid", &user, "--clear-groups", "--inh-caps=-all"]);
    command.args(["prlimit", &format!("--nproc={processes}")]).arg(program_in(dir));
    with_quick(command, &PROBE)
}

#[test]
fn a_limit_on_processes_leaves_what_needs_no_partner() {
    if !is_root() {
        return eprintln!("only root may become a user that has no processes");
    }
    let (dir, out) = (directory_for_everyone(), directory_for_everyone());
    // The run with its two readers, and a round.
    let run = run(limited(54_321, 4, dir.path()), out.path());
    let partners = [
        "pipe.thread.same_cpu.round_trip_ns",
        "pipe.process.same_cpu.round_trip_ns",
        "direct_ns",
        "ring_0k_ns",
        "per_switch_ns",
        "thread_to_user_ratio",
    ];
    lacks(&run, &partners, "limit on processes");
}

#[test]
fn where_not_even_a_round_can_be_started_the_run_says_so() {
    if !is_root() {
        return eprintln!("only root may become a user that has no processes");
    }
    let (dir, out) = (directory_for_everyone(), directory_for_everyone());
    let output = finish(&mut limited(54_323, 1, dir.path()), out.path());
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("ulimit -u"), "{said}");
}

/// The program in a control group of so many processes and threads; `None` where none can be made.
fn in_group(tasks: &str) -> Option<(Command, Group)> {
    let group = Group::with("pids", &[("pids.max", tasks)])?;
    Some((quick_under(&["sh", "-c", &group.enter(), "sh"], &PROBE), group))
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
    lacks(&run, &partners, "limit on processes");
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
    let _turn = alone();
    let dir = tempfile::tempdir().unwrap();
    let mut command = quick(&PROBE);
    command.arg("--out").arg(dir.path()).env(MARK, dir.path());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut run = command.spawn().unwrap();
    // The run, a round, and at least one partner of it.
    wait_for("a partner", || (running(dir.path()).len() > 2).then_some(()));
    run.kill().unwrap();
    run.wait().unwrap();
    wait_for("all of them to end", || running(dir.path()).is_empty().then_some(()));
}
