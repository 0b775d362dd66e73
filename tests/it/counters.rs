//! Counters in the real program: what it says where it may not count, and files of events.

use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use card::counters::{CounterSupport, Event};
use card::machine::Machine;
use card::metrics::proofs;
use probecard_probes::harness::counters::EventFile;
use serde_json::Value;

use crate::common::children::child_of;
use crate::common::filter::{EPERM, always, behind, refuse};
use crate::common::program;
use crate::common::run::{Run, quick};
use crate::common::turn::beside_others;
use crate::common::user::{directory_for_everyone, is_root, program_in};

/// What the program prints, and that all is well.
fn printed(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Without the line breaks of a terminal.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn doctor(command: &mut Command, more: &[&str]) -> (CounterSupport, Machine, Vec<Value>) {
    let text = printed(command.args(["doctor", "--json"]).args(more).output().unwrap());
    let said: Value = serde_json::from_str(&text).unwrap();
    let of = |key: &str| said[key].clone();
    let checks = said["checks"].as_array().unwrap().iter();
    (
        serde_json::from_value(of("counters")).unwrap(),
        serde_json::from_value(of("machine")).unwrap(),
        checks.filter(|check| check["what"] == "counters").cloned().collect(),
    )
}

/// Each purpose is counted or has a reason, and whatever is not good has a remedy.
fn complete(survey: &CounterSupport, checks: &[Value]) {
    for event in Event::ALL {
        let counted = survey.counting.events.iter().any(|w| w.event == event);
        let missing = survey.missing.iter().any(|m| m.event == event);
        assert!(counted != missing, "{event:?}: {survey:?}");
    }
    assert!(!checks.is_empty());
    for check in checks.iter().filter(|check| check["good"] == false) {
        assert!(check["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()), "{check}");
    }
}

#[test]
fn a_plain_user_is_told_which_level_or_what_else_is_in_the_way() {
    let _turn = beside_others();
    let dir = directory_for_everyone();
    let copy = program_in(dir.path());
    let mut command = Command::new("setpriv");
    if is_root() {
        command.args(["--reuid=65534", "--clear-groups"]);
    }
    command.arg("--inh-caps=-all").arg(copy).current_dir(dir.path());
    let (survey, machine, checks) = doctor(&mut command, &[]);
    complete(&survey, &checks);
    assert_eq!(machine.counters.privileged.known(), Some(&false));
    let level = *machine.counters.paranoid.known().unwrap();
    let reason = |event| survey.missing.iter().find(|m| m.event == event);
    let blamed = |event, remedy: &str| {
        reason(event).is_some_and(|m| {
            m.reason.contains(&format!("perf_event_paranoid is {level}"))
                && m.remedy.contains(remedy)
        })
    };
    // Where the sandbox allows the call at all.
    let refused =
        |event| reason(event).is_some_and(|m| m.reason.contains("refuses perf_event_open"));
    if !refused(Event::ContextSwitches) {
        let text = "sysctl -w kernel.perf_event_paranoid=";
        assert_eq!(blamed(Event::ContextSwitches, text), level >= 2, "{survey:?}");
        // Not every kernel knows a level that forbids everything.
        let text = "sysctl -w kernel.perf_event_paranoid=2";
        let forbidden = reason(Event::Faults).is_some();
        assert!(!forbidden || level >= 3 && blamed(Event::Faults, text), "{survey:?}");
    }
}

#[test]
fn behind_a_filter_the_doctor_names_it_and_a_run_completes() {
    let _turn = beside_others();
    behind(&[refuse(EPERM, [always(libc::SYS_perf_event_open)])], || {
        let (survey, machine, checks) = doctor(&mut Command::new(program()), &[]);
        complete(&survey, &checks);
        assert_eq!(survey.counting.events, []);
        let faults = survey.missing.iter().find(|m| m.event == Event::Faults).unwrap();
        assert!(faults.reason.contains("seccomp"), "{faults:?}");
        let text = flat(&printed(Command::new(program()).arg("doctor").output().unwrap()));
        for part in ["counts nothing: ", "seccomp", "a seccomp profile that lists perf_event_open"]
        {
            assert!(text.contains(part), "{part} missing in {text}");
        }
        let pmu = machine.counters.core_pmus.reason();
        assert!(pmu.is_none_or(|reason| text.contains(reason)), "{text}");

        let dir = tempfile::tempdir().unwrap();
        let run = Run::into(dir.path(), &mut quick(&["clock"]));
        let text = flat(run.text());
        let part = "nothing that the core does was counted: ";
        assert!(text.contains(part) && text.contains("seccomp"), "{text}");
        let page = fs::read_to_string(dir.path().join("report.html")).unwrap();
        assert!(page.contains(part) && !page.contains(">IPC<"));
        let card = &run.card;
        assert!(card.points.iter().any(|p| !p.samples.is_empty()));
        assert!(card.points.iter().all(|p| p.counts.is_empty()));
        assert_eq!(card.header.counters.missing, survey.missing);
    });
}

#[test]
fn what_the_kernel_does_is_timed_without_counters_and_counted_all_the_same() {
    let _turn = beside_others();
    let dir = tempfile::tempdir().unwrap();
    let mut run = quick(&["context-switch"])
        .arg("--out")
        .arg(dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut seen = 0;
    while run.try_wait().unwrap().is_none() {
        if let Some(child) = child_of(run.id()) {
            let Ok(files) = fs::read_dir(format!("/proc/{child}/fd")) else { continue };
            let links = files.flatten().filter_map(|file| fs::read_link(file.path()).ok());
            assert!(links.into_iter().all(|link| !link.to_string_lossy().contains("perf_event")));
            seen += 1;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(seen > 20, "{seen} looks at the children");

    let card = Run::succeeded(run.wait_with_output().unwrap(), dir.path()).card;
    let counted = card.points.iter().filter(|p| p.counts.contains_key(&Event::ContextSwitches));
    assert!(counted.count() > 0);
    let verdicts: Vec<_> =
        card.header.declarations.iter().flat_map(|d| proofs::verdicts(&card, d)).collect();
    assert!(!verdicts.is_empty() && verdicts.iter().all(proofs::Verdict::holds), "{verdicts:?}");
}

#[test]
fn a_file_of_events_is_used_or_refused_with_the_place_of_the_mistake() {
    let _turn = beside_others();
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let good = "source = 'the manual'\nslots_per_cycle = 3\n[events]\n\
                l2_misses = { raw = 0x1ff24, name = 'MISS.ALL' }\n";
    let twice = format!("{good}l9_misses = {{ raw = 1, name = 'X' }}\n");
    let out = dir.path().join("out");
    for (path, says) in [
        (dir.path().join("missing.toml"), "cannot read the events in"),
        (file("empty.toml", ""), "missing field `source`"),
        (file("no-toml.toml", "events: {"), "line 1"),
        (file("unknown.toml", &twice), "unknown variant `l9_misses`"),
        (file("text.toml", &good.replace("0x1ff24", "'1ff24'")), "line 4"),
    ] {
        for command in
            [&["doctor"][..], &["run", "--only", "clock", "--out", out.to_str().unwrap()]]
        {
            let output =
                Command::new(program()).args(command).arg("--events").arg(&path).output().unwrap();
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{path:?}: {stderr}");
            assert!(stderr.contains(says), "{says} missing in {stderr}");
            assert!(stderr.contains(path.to_str().unwrap()), "{stderr}");
            assert!(output.stdout.is_empty() && !out.exists());
        }
    }
    let path = file("good.toml", good);
    assert!(EventFile::read(&path).is_ok());
    let (survey, _, checks) =
        doctor(&mut Command::new(program()), &["--events", path.to_str().unwrap()]);
    complete(&survey, &checks);
    assert_eq!(survey.source.as_deref(), Some("the manual"));
    assert_eq!(survey.slots_per_cycle, Some(3));
    // It names the event, whether that can be counted here or not; a file says all that is known.
    let named =
        |event| survey.missing.iter().find(|m| m.event == event).is_some_and(|m| m.inherent);
    let counted = |event| survey.counting.events.iter().any(|w| w.event == event);
    assert!(!named(Event::L2Misses) || survey.counts_core(), "{survey:?}");
    assert!(named(Event::RemoteFills) && !counted(Event::RemoteFills));
}
