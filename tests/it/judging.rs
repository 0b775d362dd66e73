//! `compare`, `check`, `baseline` and `learn`, with cards as a machine leaves them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use assert_cmd::Command;
use card::judge::prior::Prior;
use card::simulate::{MEASURED, Simulator, Weather, scenarios};
use card::summary::Summary;
use tempfile::TempDir;

use crate::common::turn::{alone, beside_others};
use crate::common::{card_in, program, recorded_card, sample_card};

/// Cards of one machine on a disk.
pub(crate) struct Machine {
    dir: TempDir,
    simulator: Simulator,
    written: usize,
}

impl Machine {
    pub(crate) fn new(seed: u64) -> Machine {
        let card = Summary::read(&recorded_card("x86_64")).unwrap();
        let quiet = Weather { disturbed: 0.0, ..MEASURED };
        let simulator = Simulator::new(&card, Prior::embedded(), quiet, seed);
        Machine { dir: TempDir::new().unwrap(), simulator, written: 0 }
    }

    /// The next runs, as summaries in a folder.
    pub(crate) fn runs(&mut self, folder: &str, count: usize) -> Vec<PathBuf> {
        let dir = self.dir.path().join(folder);
        fs::create_dir_all(&dir).unwrap();
        let mut paths = Vec::new();
        for _ in 0..count {
            self.written += 1;
            let path = dir.join(format!("{:03}.summary.json", self.written));
            fs::write(&path, self.simulator.run().stored()).unwrap();
            paths.push(path);
        }
        paths
    }

    pub(crate) fn break_down(&mut self, id: &str) {
        self.simulator.break_down(scenarios().iter().find(|s| s.id == id).unwrap());
    }
}

/// The exit code and all that was said.
pub(crate) fn said(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(program()).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout) + &text(&output.stderr))
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_machine_that_is_as_it_was_passes_and_one_that_is_not_is_confirmed_by_a_second_run() {
    let mut machine = Machine::new(5);
    let base = machine.runs("base", 5)[0].parent().unwrap().to_owned();
    let well = machine.runs("now", 1).remove(0);
    let (code, said_of_it) = said(&["check", "--baseline", text(&base), text(&well)]);
    assert_eq!(code, 0, "{said_of_it}");
    assert!(said_of_it.starts_with("same as the baseline\n5 cards of "), "{said_of_it}");
    assert!(said_of_it.contains("system calls") && said_of_it.contains("alarm at"));

    machine.break_down("mitigations");
    // Twelve hours apart.
    let ill = machine.runs("now", 12);
    let (first, again) = (text(&ill[0]), text(&ill[11]));
    let (code, suspect) = said(&["check", "--baseline", text(&base), first]);
    assert_eq!(code, 3, "{suspect}");
    assert!(suspect.starts_with("SUSPECT: system calls: "), "{suspect}");
    assert!(suspect.contains("Likely: mitigations") || suspect.contains("or:     mitigations"));
    assert!(suspect.contains("--confirm"), "{suspect}");
    let (code, failed) = said(&["check", "--baseline", text(&base), first, again]);
    assert_eq!(code, 1, "{failed}");
    assert!(failed.starts_with("FAIL: system calls: ") && failed.contains("!!"), "{failed}");
    // What a second run does not show was an episode.
    let (code, passed) = said(&["check", "--baseline", text(&base), first, text(&well)]);
    assert_eq!(code, 3, "the well card was begun before: {passed}");
    let json = said(&["check", "--json", "--baseline", text(&base), first]).1;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["verdict"], "suspect");
    let group = json["groups"].as_array().unwrap().iter().find(|g| g["id"] == "syscalls").unwrap();
    assert!(group["change"].as_f64() > group["limit"].as_f64(), "{group}");
}

#[test]
fn fewer_than_three_cards_can_only_make_suspects() {
    let mut machine = Machine::new(6);
    let base = machine.runs("base", 2)[0].parent().unwrap().to_owned();
    machine.break_down("turbo-off");
    let ill = machine.runs("now", 12);
    let (code, said_of_it) =
        said(&["check", "--baseline", text(&base), text(&ill[0]), text(&ill[11])]);
    assert_eq!(code, 3, "{said_of_it}");
    assert!(said_of_it.contains("core clock is 20.") && said_of_it.contains("2 cards of baseline"));
    assert!(said_of_it.contains("explained by the clock"), "{said_of_it}");
}

#[test]
fn a_slow_drift_is_seen_against_the_frozen_cards() {
    let mut machine = Machine::new(8);
    let store = machine.dir.path().join("store");
    let frozen = machine.runs("frozen", 4);
    let mut add = vec!["baseline", "add", text(&store)];
    add.extend(frozen.iter().map(|path| text(path)));
    assert_eq!(said(&add).0, 0);
    let (code, listed) = said(&["baseline", "freeze", text(&store)]);
    assert!(code == 0 && listed.contains("4 cards frozen"), "{listed}");
    machine.break_down("slow-memory");
    let later = machine.runs("later", 4);
    let mut accept = vec!["baseline", "accept", text(&store)];
    accept.extend(later.iter().map(|path| text(path)));
    let (code, accepted) = said(&accept);
    assert!(code == 0 && accepted.contains("4 cards replaced"), "{accepted}");
    let (code, listed) = said(&["baseline", "list", text(&store)]);
    assert!(code == 0 && listed.contains("4 cards, 4 frozen"), "{listed}");
    let now = machine.runs("now", 1).remove(0);
    let (code, drifted) = said(&["check", "--baseline", text(&store), text(&now)]);
    assert_eq!(code, 3, "{drifted}");
    assert!(drifted.contains("slow drift"), "{drifted}");
    let (code, shown) = said(&["baseline", "show", text(&store)]);
    assert!(code == 0 && shown.contains("memory.latency.dram_ns"), "{shown}");
}

#[test]
fn what_cannot_be_judged_says_why_and_ends_with_2() {
    let mut machine = Machine::new(7);
    let base = machine.runs("base", 3);
    let dir = base[0].parent().unwrap().to_owned();
    let now = machine.runs("now", 1).remove(0);
    let empty = machine.dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let with = |change: &dyn Fn(&mut Summary)| {
        with(&machine, Summary::read(&now).unwrap(), |card| change(card))
    };
    let judged = |card: &Path| said(&["check", "--baseline", text(&dir), text(card)]);
    type Change<'a> = &'a dyn Fn(&mut Summary);
    let cases: [(Change<'_>, &str); 6] = [
        (&|card| card.card.header.plan.tier = "quick".into(), "another tier"),
        (&|card| card.card.header.plan.cpu += 1, "another CPU measured"),
        (
            &|card| card.card.header.machine.cpu.architecture = "aarch64".into(),
            "another architecture",
        ),
        (
            &|card| {
                card.card.header.machine.cpu.brand =
                    card::machine::Fact::Known("Another Processor".into());
            },
            "another processor",
        ),
        (
            &|card| card.metrics.0.iter_mut().for_each(|v| v.value = None),
            "no metric is on both sides",
        ),
        (
            &|card| card.card.header.declarations.iter_mut().for_each(|d| d.method = 99),
            "measured by the same method",
        ),
    ];
    for (change, why) in cases {
        let (code, said_of_it) = judged(&with(change));
        assert_eq!(code, 2, "{why}: {said_of_it}");
        assert!(said_of_it.contains(why) && said_of_it.starts_with("CANNOT JUDGE"), "{said_of_it}");
    }
    // Half of it is missing: of the groups that are there nothing is wrong.
    let (code, half) = judged(&with(&|card| {
        card.metrics.0.iter_mut().filter(|v| v.id.starts_with("os.")).for_each(|v| v.value = None);
    }));
    assert!(code == 2 && half.contains("system calls, faults, tasks"), "{half}");
    // Its own run is no baseline for it.
    let (code, own) = said(&["check", "--baseline", text(&now), text(&now)]);
    assert!(code == 2 && own.contains("the very run that is judged"), "{own}");
    let (code, nothing) = said(&["check", "--baseline", text(&empty), text(&now)]);
    assert!(code == 2 && nothing.contains("holds no card") && nothing.contains("baseline add"));
    let (code, none) = said(&["check", "--baseline", "/nowhere/at/all", text(&now)]);
    assert!(code == 2 && none.contains("/nowhere/at/all"), "{none}");
    // What no machine can have given is no reason to fall over.
    for absurd in [f64::NAN, 0.0, -1.0, 1e308, f64::INFINITY] {
        let (code, said_of_it) = judged(&with(&|card| {
            for value in card.metrics.0.iter_mut().filter(|v| v.id.starts_with("branch.")) {
                value.each_round = vec![absurd; 5];
                value.value = Some(absurd);
            }
        }));
        assert!(matches!(code, 0 | 2 | 3), "{absurd}: {said_of_it}");
        assert!(!said_of_it.contains("panicked"), "{said_of_it}");
    }
}

#[test]
fn a_broken_card_in_a_directory_is_left_out_and_said() {
    let mut machine = Machine::new(9);
    let base = machine.runs("base", 3);
    let dir = base[0].parent().unwrap();
    fs::write(dir.join("broken.card.jsonl"), "{}\n").unwrap();
    fs::write(dir.join("notes.txt"), "not a card").unwrap();
    let now = machine.runs("now", 1).remove(0);
    let (code, said_of_it) = said(&["check", "--baseline", text(dir), text(&now)]);
    assert_eq!(code, 0, "{said_of_it}");
    assert!(
        said_of_it.contains("left out of the baseline: ") && said_of_it.contains("broken.card")
    );
    assert!(!said_of_it.contains("notes.txt"));
}

#[test]
fn ten_thousand_cards_are_a_baseline_of_the_latest() {
    let mut machine = Machine::new(10);
    let base = machine.runs("base", 3);
    let dir = base[0].parent().unwrap();
    // The same bytes under many names, which come first.
    for number in 0..10_000 {
        fs::hard_link(&base[0], dir.join(format!("0-{number:05}.summary.json"))).unwrap();
    }
    let now = machine.runs("now", 1).remove(0);
    let (code, said_of_it) = said(&["check", "--baseline", text(dir), text(&now)]);
    assert_eq!(code, 0, "{said_of_it}");
    assert!(said_of_it.contains("the 9983 oldest of 10003"), "{said_of_it}");
    assert!(said_of_it.contains("the same run is there already"), "{said_of_it}");
}

#[test]
fn absolute_limits_are_held_without_regard_to_the_baseline() {
    let mut machine = Machine::new(12);
    let base = machine.runs("base", 3)[0].parent().unwrap().to_owned();
    let now = machine.runs("now", 12);
    let limits = machine.dir.path().join("limits.toml");
    let judged = |rest: &str, cards: &[&Path]| {
        fs::write(&limits, format!("[[expect]]\nmetric = \"memory.latency.dram_ns\"\n{rest}"))
            .unwrap();
        let mut arguments = vec!["check", "--baseline", text(&base), "--expect", text(&limits)];
        arguments.extend(cards.iter().map(|path| text(path)));
        said(&arguments)
    };
    assert_eq!(judged("max = 1000.0\n", &[&now[0]]).0, 0);
    let (code, once) = judged("max = 10.0\n", &[&now[0]]);
    assert!(code == 3 && once.contains("or less is expected"), "{once}");
    assert_eq!(judged("max = 10.0\n", &[&now[0], &now[11]]).0, 1);
    let (code, wrong) = judged("maximum = 10.0\n", &[&now[0]]);
    assert!(code == 2 && wrong.contains("limits.toml") && wrong.contains("maximum"), "{wrong}");
}

#[test]
fn two_cards_are_compared_in_four_forms() {
    let mut machine = Machine::new(13);
    let before = machine.runs("before", 2);
    machine.break_down("gather");
    let after = machine.runs("after", 2);
    let [b0, b1, a0, a1] = [&before[0], &before[1], &after[0], &after[1]].map(|path| text(path));
    let (code, table) = said(&["compare", b0, a0]);
    assert_eq!(code, 0, "{table}");
    assert!(table.contains("simd.gather") && table.contains("seen from"), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    let (code, both) = said(&["compare", b0, b1, "--", a0, a1]);
    assert!(code == 0 && both.starts_with("2 cards of"), "{both}");
    let csv = said(&["compare", "--csv", b0, a0]).1;
    let gather = csv.lines().find(|line| line.contains("simd.gather.scalar")).unwrap();
    assert!(gather.ends_with(",worse") && gather.split(',').count() == 8, "{gather}");
    let markdown = said(&["compare", "--markdown", b0, a0]).1;
    assert!(markdown.lines().nth(1).unwrap().starts_with("|---|"), "{markdown}");
    let json: serde_json::Value =
        serde_json::from_str(&said(&["compare", "--json", b0, a0]).1).unwrap();
    assert!(json["metrics"].as_array().unwrap().iter().any(|m| m["standing"] == "worse"));
    let (code, three) = said(&["compare", b0, b1, a0]);
    assert!(code == 2 && three.contains("behind `--`"), "{three}");
    // Cards of different machines: what differs comes first.
    let other = Summary::read(&after[0]).unwrap();
    let renamed = with(&machine, other, |card| {
        card.card.header.machine.cpu.brand = card::machine::Fact::Known("Another Processor".into());
    });
    let (code, apart) = said(&["compare", b0, text(&renamed)]);
    let differs = apart.find("processor: AMD EPYC").zip(apart.find("Another Processor"));
    assert!(code == 0 && differs < apart.find("group  ").map(|at| (at, at)), "{apart}");
    // And those that have nothing in common.
    let other = Summary::read(&after[0]).unwrap();
    let methods = with(&machine, other, |card| {
        card.card.header.declarations.iter_mut().for_each(|d| d.method = 99);
    });
    let (code, nothing) = said(&["compare", b0, text(&methods)]);
    assert!(code == 2 && nothing.contains("nothing that was measured by the same"), "{nothing}");
}

#[test]
fn cards_are_drawn_side_by_side() {
    let mut machine = Machine::new(17);
    let before = machine.runs("before", 1);
    machine.break_down("gather");
    let after = machine.runs("after", 7);
    let out = machine.dir.path().join("out");
    let report = |cards: &[&Path]| {
        let mut arguments = vec!["report", "--force", "--out", text(&out)];
        arguments.extend(cards.iter().map(|card| text(card)));
        said(&arguments)
    };
    let drawn = |cards: &[&Path]| {
        let (code, written) = report(cards);
        assert!(code == 0 && written.trim().ends_with("comparison.html"), "{written}");
        fs::read_to_string(out.join("comparison.html")).unwrap()
    };
    let two = drawn(&[&before[0], &after[0]]);
    // The judgement is that of `compare`.
    let judged = said(&["compare", "--json", text(&before[0]), text(&after[0])]).1;
    let judged: serde_json::Value = serde_json::from_str(&judged).unwrap();
    let (_, differs) = two.split_once("id=\"differs\"").unwrap();
    let (differs, _) = differs.split_once("id=\"seen\"").unwrap();
    let of = |word: &str| {
        let metrics = judged["metrics"].as_array().unwrap().iter();
        metrics.filter(|m| m["standing"] == word).count()
    };
    assert!(of("worse") > 0);
    for (word, mark) in [("worse", "▼ "), ("better", "▲ ")] {
        let cells = differs.matches(&format!("<td class=\"change {word}\">{mark}")).count();
        assert_eq!(cells, of(word), "{word}");
    }
    assert!(differs.contains("simd.gather.scalar"));
    let all: Vec<&Path> = before.iter().chain(&after).map(|path| &**path).collect();
    assert!(drawn(&all).contains(">H is</th>"));
    let (code, same) = report(&[&before[0], &after[0], &before[0]]);
    assert!(code == 2 && same.contains("A and C are the same run"), "{same}");
    let (code, many) = report(&[&all[..], &all[..1]].concat());
    assert!(code == 2 && many.contains("8 at most"), "{many}");
    let again = said(&["report", "--out", text(&out), text(&before[0]), text(&after[0])]);
    assert!(again.0 == 2 && again.1.contains("--force"), "{}", again.1);
}

/// A changed copy of a card.
fn with(machine: &Machine, mut card: Summary, change: impl FnOnce(&mut Summary)) -> PathBuf {
    change(&mut card);
    let path = machine.dir.path().join("other.summary.json");
    fs::write(&path, card.stored()).unwrap();
    path
}

#[test]
fn what_is_learned_can_be_judged_by() {
    let mut machine = Machine::new(14);
    let base = machine.runs("base", 6)[0].parent().unwrap().to_owned();
    let output = Command::new(program()).args(["learn", text(&base)]).output().unwrap();
    assert!(output.status.success());
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.starts_with("# learned from 6 cards of AMD"), "{table}");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("replayed") && told.contains("of 6 suspect"), "{told}");
    assert!(told.contains("with 95 % certainty"), "{told}");
    let prior = machine.dir.path().join("prior.tsv");
    fs::write(&prior, table).unwrap();
    let now = machine.runs("now", 1).remove(0);
    let check = ["check", "--baseline", text(&base), "--prior", text(&prior), text(&now)];
    assert_eq!(said(&check).0, 0);
    fs::write(&prior, "metric\tsigma\n").unwrap();
    let (code, wrong) = said(&check);
    assert!(code == 2 && wrong.contains("prior.tsv") && wrong.contains("line 1"), "{wrong}");
}

#[test]
fn a_baseline_keeps_whole_runs_of_each_machine_apart() {
    let dir = TempDir::new().unwrap();
    let store = dir.path().join("store");
    // Another machine of the same kind.
    let other = dir.path().join("other.summary.json");
    let mut card = Summary::read(&sample_card()).unwrap();
    card.card.header.machine.host.name = card::machine::Fact::Known("elsewhere".into());
    fs::write(&other, card.stored()).unwrap();
    let cards = [sample_card(), other];
    let (code, added) = said(&["baseline", "add", text(&store), text(&cards[0]), text(&cards[1])]);
    assert_eq!(code, 0, "{added}");
    assert_eq!(fs::read_dir(&store).unwrap().count(), 2, "a folder for each machine");
    let (_, again) = said(&["baseline", "add", text(&store), text(&cards[0])]);
    assert!(again.contains("is there already"), "{again}");
    // What was added is the card.
    let folder = fs::read_dir(&store).unwrap().map(|e| e.unwrap().path());
    for kept in folder.flat_map(|f| fs::read_dir(f).unwrap()).map(|e| e.unwrap().path()) {
        let metrics = Summary::read(&kept).unwrap().metrics;
        assert!(cards.iter().any(|path| Summary::read(path).unwrap().metrics == metrics));
    }
    let broken = dir.path().join("broken.card.jsonl");
    fs::write(&broken, "{}\n").unwrap();
    let (code, error) = said(&["baseline", "add", text(&store), text(&broken)]);
    assert!(code == 2 && error.contains("broken.card.jsonl"), "{error}");
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let (code, none) = said(&["baseline", "list", text(&empty)]);
    assert!(code == 2 && none.contains("holds no card"), "{none}");
}

#[test]
fn a_watch_ends_in_order_when_it_is_told_to() {
    let _turn = beside_others();
    let mut machine = Machine::new(15);
    let base = machine.runs("base", 3)[0].parent().unwrap().to_owned();
    let state = machine.dir.path().join("state");
    let mut watch = std::process::Command::new(program())
        .args(["watch", "--baseline", text(&base), "--state", text(&state)])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // It measures, or skips a busy machine and waits for an hour.
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert!(watch.try_wait().unwrap().is_none(), "it goes on until it is told to stop");
    let id = nix::unistd::Pid::from_raw(i32::try_from(watch.id()).unwrap());
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(watch.wait().unwrap().success());
    let left = fs::read_dir(&state).unwrap().map(|e| e.unwrap().file_name());
    assert!(left.into_iter().all(|name| name == "run"), "no verdict of half a run");
}

#[test]
fn a_watch_keeps_its_exports_as_new_as_its_judgement() {
    let _turn = alone();
    let dir = TempDir::new().unwrap();
    let [first, base, state, prom, line] =
        ["first", "base", "state", "probecard.prom", "line.txt"].map(|name| dir.path().join(name));
    let run = ["run", "--tier", "quick", "--only", "store-forwarding", "--out", text(&first)];
    assert_eq!(said(&run).0, 0);
    let mut card = Summary::read(&card_in(&first).unwrap()).unwrap();
    fs::create_dir(&base).unwrap();
    for number in 0..3 {
        card.card.header.id = format!("well-{number}");
        fs::write(base.join(format!("{number}.summary.json")), card.stored()).unwrap();
    }
    let watch = ["watch", "--baseline", text(&base), "--state", text(&state), "--every", "10s"];
    let (code, wrong) = said(&[&watch[..], &["--export", "csv=x"]].concat());
    assert!(code == 2 && wrong.contains("choose one of prom, "), "{wrong}");
    assert!(!state.exists(), "nothing was begun");
    let mut child = std::process::Command::new(program())
        .args(watch)
        .args(["--export", &format!("prom={}", text(&prom))])
        .args(["--export", &format!("nagios={}", text(&line))])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // It checks, or says that others are at work here.
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let verdict = log.find_map(|line| {
        let line = line.unwrap();
        let told = line.starts_with("skipped: the machine is busy")
            || ["same as", "SUSPECT", "CANNOT JUDGE"].iter().any(|word| line.starts_with(word));
        told.then_some(line)
    });
    let verdict = verdict.expect("it says what it found");
    let busy = verdict.starts_with("skipped");
    let until = Instant::now() + Duration::from_secs(20);
    while !busy && !line.exists() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(100));
    }
    let id = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(child.wait().unwrap().success());
    if busy {
        assert!(!prom.exists() && !line.exists(), "{verdict}");
        return;
    }
    let [prom, line] = [prom, line].map(|path| fs::read_to_string(path).unwrap());
    assert_eq!(prom.matches("probecard_check_verdict{").count(), 4, "{prom}");
    assert!(prom.contains("probecard_store_forward_"), "{prom}");
    assert!(line.starts_with("PROBECARD ") && line.contains(&verdict), "{verdict}: {line}");
}

#[test]
fn simulated_cards_are_like_their_model_and_the_same_for_a_seed() {
    let card = recorded_card("x86_64");
    let simulate = |rest: &[&str]| said(&[&["simulate", text(&card)], rest].concat());
    let (code, one) = simulate(&["--seed", "3", "--runs", "2"]);
    assert!(code == 0 && one.lines().count() == 2);
    assert_eq!(simulate(&["--seed", "3", "--runs", "2"]).1, one);
    // On however many CPUs: they come in their order, each as a summary is stored.
    let model = Summary::read(&card).unwrap();
    let mut simulator = Simulator::new(&model, Prior::embedded(), MEASURED, 3);
    let stored: String = (0..30).map(|_| card::clean::json(&simulator.run().stored())).collect();
    assert!(simulate(&["--seed", "3", "--runs", "30"]).1 == stored);
    assert_ne!(simulate(&["--seed", "4", "--runs", "2"]).1, one);
    let (code, unknown) = simulate(&["--fault", "fire"]);
    assert!(code == 2 && unknown.contains("choose one of turbo-off"), "{unknown}");
    let dir = TempDir::new().unwrap();
    assert_eq!(simulate(&["--fault", "turbo-off", "--out", text(dir.path())]).0, 0);
    let slow = Summary::read(&dir.path().join("000000.summary.json")).unwrap();
    let ratio = slow.metrics.number("clock.core_ghz").unwrap()
        / model.metrics.number("clock.core_ghz").unwrap();
    assert!((ratio - 0.8).abs() < 0.02, "{ratio}");
}

#[test]
fn a_machine_that_measures_itself_twice_confirms_what_is_worse() {
    let _turn = alone();
    let dir = TempDir::new().unwrap();
    let [first, base, out] = ["first", "base", "out"].map(|name| dir.path().join(name));
    let run = ["run", "--tier", "quick", "--only", "os", "--out", text(&first)];
    assert_eq!(said(&run).0, 0);
    // Of when it was three times as fast.
    let mut card = Summary::read(&card_in(&first).unwrap()).unwrap();
    for value in card.metrics.0.iter_mut().filter(|value| value.value.is_some()) {
        value.value = value.value.map(|ns| ns / 3.0);
        value.each_round.iter_mut().for_each(|ns| *ns /= 3.0);
    }
    fs::create_dir(&base).unwrap();
    for number in 0..3 {
        card.card.header.id = format!("well-{number}");
        fs::write(base.join(format!("{number}.summary.json")), card.stored()).unwrap();
    }
    let check = ["check", "--baseline", text(&base), "--confirm=10s", "--out", text(&out)];
    let (code, confirmed) = said(&check);
    assert_eq!(code, 1, "{confirmed}");
    assert!(confirmed.contains("FAIL: ") && confirmed.contains("in two runs"), "{confirmed}");
    // It measured what the baseline had, and nothing else.
    let again = Summary::read(&card_in(&out.join("confirm")).unwrap()).unwrap();
    let probes: Vec<_> = again.card.header.declarations.iter().map(|d| d.probe.as_ref()).collect();
    assert_eq!(probes, ["os"]);
}
