//! The real program: its command line, and what it does with bad input.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::{contains, is_match};

use crate::common::run::measured_once;
use crate::common::turn::{Turn, beside_others};
use crate::common::{card_in, program, sample_card};

fn probecard() -> Command {
    Command::new(program())
}

/// The card of the run that is there to be looked at, and a turn to do so.
fn a_card() -> (&'static Path, Turn) {
    (&measured_once().path, beside_others())
}

#[test]
fn help_names_every_subcommand_and_the_exit_codes() {
    let all = ["run", "list", "doctor", "show", "report", "completions", "man", "Exit codes"];
    let mut assert = probecard().arg("--help").assert().success();
    for word in all {
        assert = assert.stdout(contains(word));
    }
}

#[test]
fn wrong_usage_is_exit_code_2_and_says_what_is_right() {
    let cases: [(&[&str], &str); 10] = [
        (&["--no-such-flag"], "--no-such-flag"),
        (&["--tier", "fast"], "quick, standard, thorough"),
        (&["--budget", "5x"], "90s"),
        (&["--budget", "1s"], "10 s"),
        (&["--budget", "-3s"], "10 s"),
        (&["--only", "brnach"], "did you mean branch?"),
        (&["--skip", "*"], "no probe"),
        (&["--cpu", "99999"], "CPUs this process may use"),
        (&["--out", "/dev/null"], "is a file"),
        (&["show", "/nonexistent/card"], "/nonexistent/card"),
    ];
    for (args, says) in cases {
        probecard().args(args).assert().code(2).stderr(contains(says)).stdout("");
    }
}

#[test]
fn list_and_doctor_describe_this_machine() {
    let _turn = beside_others();
    for args in [&["list"][..], &["doctor"]] {
        probecard().args(args).assert().success().stdout(contains("memory-latency"));
    }
    for args in [&["list", "--json"][..], &["doctor", "--json"]] {
        let output = probecard().args(args).output().unwrap();
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap();
    }
}

#[test]
fn completions_and_the_manual_page_are_there() {
    probecard().args(["completions", "bash"]).assert().success().stdout(contains("complete"));
    probecard().arg("man").assert().success().stdout(contains(".TH"));
}

#[test]
fn a_run_writes_card_page_and_pictures_and_shows_them_again() {
    let _turn = beside_others();
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    probecard()
        .args(["--tier", "quick", "--only", "locks", "--only", "context-switch", "--out"])
        .arg(&out)
        .assert()
        .success()
        .stdout(contains("Mutex"))
        .stderr(contains("round 3/3"));
    let card = card_in(&out).unwrap();
    for file in ["report.html", "ladder.svg", "ladder.png", "switches.png"] {
        assert!(out.join(file).metadata().unwrap().len() > 1000, "{file}");
    }
    // The compressed card says the same.
    let json = |path: &Path| {
        let output = probecard().args(["show", "--json"]).arg(path).output().unwrap();
        assert!(output.status.success());
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let value = json(&card);
    assert_eq!(value, json(&card.with_extension("jsonl.zst")));
    let mutex = &value["metrics"]["locks.mutex_uncontended_ns"];
    assert!(mutex["value"].as_f64().unwrap() > 0.0, "{mutex}");
    // Rounds that met a busy machine may be left out, but not all.
    assert!((1..=3).contains(&mutex["rounds"].as_u64().unwrap()), "{mutex}");
    // A page is not overwritten unless asked to.
    let report = |extra: &[&str]| probecard().arg("report").arg(&card).args(extra).assert();
    report(&[]).code(2).stderr(contains("--force"));
    report(&["--force"]).success().stdout(contains("report.html"));
    // Nor is a card.
    let again = || {
        let mut command = probecard();
        command.args(["--tier", "quick", "--only", "locks", "--out"]).arg(&out);
        command
    };
    again().assert().code(2).stderr(contains("--force"));
    again().arg("--force").assert().success();
}

#[test]
fn a_run_can_speak_json() {
    let _turn = beside_others();
    let dir = tempfile::tempdir().unwrap();
    let output = probecard()
        .args(["run", "--json", "--tier", "quick", "--only", "locks", "--out"])
        .arg(dir.path().join("run"))
        .output()
        .unwrap();
    assert!(output.status.success());
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for key in ["format", "machine", "metrics", "findings", "skips", "failures"] {
        assert!(value.get(key).is_some(), "{key}");
    }
}

#[test]
fn colour_is_for_terminals_only() {
    let (card, _turn) = a_card();
    probecard().arg("show").arg(card).assert().success().stdout(contains("\u{1b}[").not());
}

#[test]
fn a_broken_card_names_its_line_and_the_remedy() {
    let (card, _turn) = a_card();
    let dir = tempfile::tempdir().unwrap();
    let good = fs::read(card).unwrap();
    let text = String::from_utf8(good.clone()).unwrap();
    let second = text.find('\n').unwrap() + 1;
    let with_line_2 = |line: &[u8]| [&good[..second], line, b"\n", &good[second..]].concat();
    let newer = text.replacen("\"format\":1", "\"format\":99", 1).into_bytes();
    let cases: [(&str, Vec<u8>, &str); 7] = [
        ("empty", Vec::new(), "is empty"),
        ("newer", newer, "format 99"),
        ("no-header", good[second..].to_vec(), "line 1"),
        ("no-json", b"hello\n".to_vec(), "line 1"),
        ("broken", with_line_2(b"{\"kind\":\"point\",\"pro"), "line 2"),
        ("not-utf8", with_line_2(b"\xff\xfe"), "line 2: not UTF-8"),
        ("two-headers", with_line_2(&good[..second - 1]), "line 2: a second header"),
    ];
    for (name, bytes, says) in cases {
        let path = dir.path().join(format!("{name}.card.jsonl"));
        fs::write(&path, bytes).unwrap();
        for command in ["show", "report"] {
            probecard().arg(command).arg(&path).assert().code(2).stderr(contains(says));
        }
    }
    let fake = dir.path().join("fake.card.jsonl.zst");
    fs::write(&fake, b"not zstandard").unwrap();
    probecard().arg("show").arg(&fake).assert().code(2).stderr(contains("fake.card.jsonl.zst"));
}

#[test]
fn a_cut_off_card_loses_its_last_line_alone() {
    let (card, _turn) = a_card();
    let dir = tempfile::tempdir().unwrap();
    let good = fs::read(card).unwrap();
    let path = dir.path().join("cut.card.jsonl");
    fs::write(&path, &good[..good.len() - 10]).unwrap();
    probecard()
        .args(["show", "--json"])
        .arg(&path)
        .assert()
        .success()
        .stdout(is_match("mutex_uncontended_ns").unwrap());
}

#[test]
fn unknown_kinds_and_fields_are_kept_out_of_the_way() {
    let (card, _turn) = a_card();
    let dir = tempfile::tempdir().unwrap();
    let good = fs::read_to_string(card).unwrap();
    let path = dir.path().join("future.card.jsonl");
    let future = good.replacen("{\"kind\":\"point\"", "{\"kind\":\"point\",\"aura\":7", 1)
        + "{\"kind\":\"omen\",\"text\":\"hm\"}\n";
    fs::write(&path, future).unwrap();
    probecard().arg("show").arg(&path).assert().success();
}

#[test]
fn a_full_disk_is_named() {
    let (card, _turn) = a_card();
    let dir = tempfile::tempdir().unwrap();
    // What the card will be called leads to a device that is always full.
    let at = dir.path().join(card.file_name().unwrap());
    std::os::unix::fs::symlink("/dev/full", at).unwrap();
    probecard()
        .args(["--tier", "quick", "--only", "locks", "--force", "--out"])
        .arg(dir.path())
        .assert()
        .code(2)
        .stderr(contains("No space left").and(contains("free space")));
}

#[test]
fn an_unwritable_directory_is_named() {
    probecard()
        .args(["--tier", "quick", "--only", "locks", "--out", "/proc/nowhere"])
        .assert()
        .code(2)
        .stderr(contains("/proc/nowhere").and(contains("--out")));
}

#[test]
fn a_closed_pipe_is_no_error() {
    let (card, _turn) = a_card();
    let script = format!("'{}' show '{}' | head -1", program().display(), card.display());
    Command::new("bash")
        .args(["-o", "pipefail", "-c", &script])
        .assert()
        .success()
        .stderr(contains("panic").not());
}

#[test]
fn a_card_is_shown_in_short_whole_in_part_and_by_its_evidence() {
    let card = sample_card();
    let show = |arguments: &[&str]| {
        let output = probecard().arg("show").arg(&card).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, short) = show(&[]);
    assert_eq!(code, Some(0));
    assert!(short.lines().count() <= 60, "{short}");
    assert!(short.contains("\nCHECK  ") && short.contains("--why L3_CAPACITY"), "{short}");
    let (_, all) = show(&["--all"]);
    assert!(all.lines().count() > 200);
    let (_, why) = show(&["--why", "L3_CAPACITY"]);
    assert!(why.contains("cache.l3_effective_bytes = ") && why.contains("rounds"), "{why}");
    let (_, only) = show(&["--only", "tlb.*"]);
    assert!(only.contains("tlb.l1_entries") && !only.contains("branch."), "{only}");
    let (_, markdown) = show(&["--markdown"]);
    assert!(markdown.starts_with("**CHECK** "), "{markdown}");
    for (arguments, says) in [
        (["--why", "NO_SUCH"], "it has L3_CAPACITY"),
        (["--only", "no.such*"], "no metric or family"),
    ] {
        let assert = probecard().arg("show").arg(&card).args(arguments).assert();
        assert.code(2).stdout("").stderr(contains(says));
    }
    let plain = probecard().arg("show").arg(&card).env("LC_ALL", "C").output().unwrap();
    assert!(plain.stdout.is_ascii() && plain.stdout.len() > 2000);
}
