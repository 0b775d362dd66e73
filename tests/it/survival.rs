//! The real program when things go wrong meanwhile: signals and crashes.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use card::file::{Card, EndState};
use card::machine::Machine;
use card::record::{FailKind, Record, Strayed};
use probecard_probes::harness::bench::Effort;
use probecard_probes::harness::clock::Timer;
use probecard_probes::run::child::Assignment;

use crate::common::children::{child_of, signal};
use crate::common::run::{Run, quick_under, with_quick};
use crate::common::turn::beside_others;
use crate::common::wait::wait_for;
use crate::common::{card_in, program};

/// With signals as a terminal leaves them: a run in the background would inherit them as ignored.
fn start(probes: &[&str], out: &Path) -> Child {
    with_quick(as_in_a_terminal(), probes)
        .arg("--out")
        .arg(out)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn as_in_a_terminal() -> Command {
    let mut command = Command::new("env");
    command.arg("--default-signal=INT,TERM").arg(program());
    command
}

fn points(card: &Path) -> usize {
    fs::read_to_string(card).map_or(0, |t| t.matches("\"kind\":\"point\"").count())
}

#[test]
fn an_ended_run_leaves_a_valid_card_and_can_be_resumed() {
    let _turn = beside_others();
    for name in ["-TERM", "-INT"] {
        let dir = tempfile::tempdir().unwrap();
        let mut run = start(&["cache-line", "locks"], dir.path());
        let card = wait_for("the first points", || card_in(dir.path()).filter(|c| points(c) > 3));
        let measuring = wait_for("the child", || child_of(run.id()));
        signal(run.id(), name);
        assert_eq!(run.wait().unwrap().code(), Some(2));
        assert!(!Path::new(&format!("/proc/{measuring}")).exists(), "the child outlived the run");
        let before = Card::read(&card).unwrap();
        assert_eq!(before.end.as_ref().map(|e| e.state), Some(EndState::Interrupted));
        assert!(!before.points.is_empty());

        let resumed = Command::new(program()).arg("--resume").arg(&card).output().unwrap();
        assert!(resumed.status.success(), "{resumed:?}");
        let after = Card::read(&card).unwrap();
        assert!(after.is_complete());
        assert_eq!(after.header, before.header);
        for round in 0..3 {
            assert!(after.has_round("cache-line", round) && after.has_round("locks", round));
        }
        // A round that was cut off and measured again is there once.
        let firsts = after.points.iter().filter(|p| {
            p.quantity == "split_load"
                && p.round == 0
                && p.params["offset"] == card::record::Param::Int(0)
        });
        assert_eq!(firsts.count(), 1);
        let again = Command::new(program()).arg("--resume").arg(&card).output().unwrap();
        assert_eq!(again.status.code(), Some(2), "a complete card has nothing to resume");
    }
}

#[test]
fn a_run_killed_hard_can_be_resumed() {
    let _turn = beside_others();
    let dir = tempfile::tempdir().unwrap();
    let mut run = start(&["cache-line"], dir.path());
    let card = wait_for("the first points", || card_in(dir.path()).filter(|c| points(c) > 3));
    let measuring = wait_for("the child", || child_of(run.id()));
    signal(run.id(), "-KILL");
    run.wait().unwrap();
    wait_for("the child to follow", || {
        let status = fs::read_to_string(format!("/proc/{measuring}/stat")).ok();
        // Gone, or a zombie that init has not collected yet.
        status.is_none_or(|s| s.contains(") Z ")).then_some(())
    });
    assert_eq!(Card::read(&card).unwrap().end, None);
    // A line that was being written is cut off.
    let bytes = fs::read(&card).unwrap();
    fs::write(&card, &bytes[..bytes.len() - 7]).unwrap();
    let resumed = Command::new(program()).arg("--resume").arg(&card).output().unwrap();
    assert!(resumed.status.success(), "{resumed:?}");
    let after = Card::read(&card).unwrap();
    assert!(after.is_complete() && after.remarks.is_empty());
}

#[test]
fn a_killed_child_is_a_row_and_the_run_goes_on() {
    let _turn = beside_others();
    let dir = tempfile::tempdir().unwrap();
    let mut run = start(&["fault-hang", "locks"], dir.path());
    // Each of its three rounds hangs; each is killed from outside. A child that measures locks may
    // be hit as well: that is a row too.
    let mut killed = std::collections::HashSet::new();
    while run.try_wait().unwrap().is_none() {
        let hanging = card_in(dir.path()).is_some_and(|c| points(&c) > 0);
        if let Some(child) = child_of(run.id()).filter(|_| hanging)
            && is_hanging(child)
            && killed.insert(child)
        {
            signal(child, "-KILL");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    // That was all there is of a probe, which is a verdict of FAIL.
    assert_eq!(run.wait().unwrap().code(), Some(1));
    let card = Card::read(&card_in(dir.path()).unwrap()).unwrap();
    assert!(card.is_complete());
    let rows: Vec<_> = card.fails.iter().filter(|f| f.probe == "fault-hang").collect();
    assert_eq!(rows.len(), 3, "{:?}", card.fails);
    assert!(rows.iter().all(|f| f.how.contains("SIGKILL")));
    assert!(card.points.iter().any(|p| p.probe == "locks"));
}

#[test]
fn a_probe_that_hangs_costs_neither_the_others_nor_the_budget() {
    let _turn = beside_others();
    let dir = tempfile::tempdir().unwrap();
    let probes = ["--only", "fault-hang", "--only", "locks", "--budget", "10s"];
    let mut command = Command::new(program());
    let output = command.args(["run", "--tier", "quick"]).args(probes).arg("--out").arg(dir.path());
    let Run { card, .. } = Run::ended(output.output().unwrap(), dir.path());
    assert!(card.is_complete());
    let took = card.end.as_ref().unwrap().wall_s;
    assert!(took <= 11.0, "{took} s of 10");
    let hung: Vec<_> = card.fails.iter().filter(|f| f.cause == FailKind::TimedOut).collect();
    assert!((1..=2).contains(&hung.len()), "{:?}", card.fails);
    assert!(hung.len() < 2 || hung[1].how.ends_with("it was not asked again"), "{hung:?}");
    assert!(card.points.iter().any(|p| p.probe == "locks" && !p.samples.is_empty()));
}

#[test]
fn samples_of_a_process_that_is_moved_are_set_aside_and_say_so() {
    let _turn = beside_others();
    let cpus = Machine::detect().allowed_cpus().to_vec();
    let [elsewhere, .., home] = cpus[..] else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(program());
    command.args(["run", "--tier", "quick", "--only", "clock", "--only", "cache-line", "--cpu"]);
    command.arg(home.to_string()).arg("--out").arg(dir.path());
    let mut run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while run.try_wait().unwrap().is_none() {
        if let Some(child) = child_of(run.id()) {
            let mut taskset = Command::new("taskset");
            taskset.args(["-a", "-p", "-c", &elsewhere.to_string(), &child.to_string()]);
            taskset.output().unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let run = Run::ended(run.wait_with_output().unwrap(), dir.path());
    let strayed: Vec<Strayed> =
        run.card.points.iter().filter_map(|p| p.disturbances.strayed).collect();
    assert!(!strayed.is_empty());
    assert!(strayed.iter().all(|s| (s.home, s.cpu) == (home, elsewhere)), "{strayed:?}");
    let said = format!("ran on CPU {elsewhere}, not on CPU {home} as pinned");
    let words: Vec<&str> = run.text().split_whitespace().collect();
    assert!(words.join(" ").contains(&said), "{}", run.text());
}

/// As when the CPU is switched off after some rounds.
#[test]
fn a_round_whose_cpu_is_gone_says_so() {
    let assignment = Assignment {
        parent: std::process::id(),
        probe: "noise".into(),
        round: 1,
        seed: 1,
        cpu: 100_000,
        pinned: true,
        tier: Effort::Quick,
        slice_s: 0.1,
        timer: Timer::CLOCK,
        machine: Machine::default(),
        known: Default::default(),
        skips: Vec::new(),
        scratch: "/".into(),
        peer: None,
        counting: Default::default(),
    };
    let mut command = Command::new(program());
    command.arg("child").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let stdin = child.stdin.take().unwrap();
    serde_json::to_writer(stdin, &assignment).unwrap();
    let output = child.wait_with_output().unwrap();
    let Record::Fail(fail) = serde_json::from_slice(&output.stdout).unwrap() else {
        panic!("{output:?}")
    };
    assert!(fail.how.starts_with("not pinned to CPU 100000 as planned: "), "{fail:?}");
}

/// Threads that spin in a real-time class keep those from their CPU that should stop them.
#[test]
fn a_real_time_class_is_left_and_named() {
    let _turn = beside_others();
    let chrt = ["chrt", "-f", "10"];
    if !Command::new("chrt").args(["-f", "10", "true"]).status().is_ok_and(|s| s.success()) {
        return;
    }
    let run = Run::of(quick_under(&chrt, &["noise"]));
    assert_eq!(run.card.header.plan.left_class.as_deref(), Some("SCHED_FIFO"));
    assert!(run.text().contains("under SCHED_OTHER"), "{}", run.text());
    let said = String::from_utf8_lossy(&run.output.stderr).into_owned();
    assert!(said.contains("SCHED_OTHER, not SCHED_FIFO"), "{said}");
}

/// A child that sleeps is the hanging one: no other probe does for long.
fn is_hanging(pid: u32) -> bool {
    let sleeping =
        || fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| s.contains(") S "));
    (0..4).all(|_| {
        std::thread::sleep(Duration::from_millis(50));
        sleeping()
    })
}

#[test]
fn crashes_errors_and_wrong_answers_are_rows() {
    let _turn = beside_others();
    let dir = tempfile::tempdir().unwrap();
    let probes = ["fault-crash", "fault-error", "fault-wrong-answer", "locks"];
    let output = start(&probes, dir.path()).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "a wrong answer is no success");
    let run = Run::ended(output, dir.path());
    let card = &run.card;
    let how = |probe: &str| {
        let fails: Vec<_> = card.fails.iter().filter(|f| f.probe == probe).collect();
        assert_eq!(fails.len(), 3, "{probe}");
        (fails[0].how.clone(), fails[0].stderr.clone())
    };
    assert!(how("fault-crash").0.contains("SIGABRT"));
    let (code, stderr) = how("fault-error");
    assert!(code == "this probe fails on purpose" && stderr.is_empty(), "{code}: {stderr}");
    assert!(how("fault-wrong-answer").0.starts_with("corruption on CPU"));
    // What a crashed child said before stays.
    assert!(card.points.iter().any(|p| p.probe == "fault-crash"));
    assert!(card.points.iter().any(|p| p.probe == "locks"));
    assert!(run.text().contains("corruption on CPU"), "{}", run.text());
}
