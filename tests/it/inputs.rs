//! The program and cards from anywhere: whatever one holds, every command ends with a result, or with
//! an error that names the file; none crashes, hangs or takes all memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use card::file::{Card, Line, Writer};
use card::machine::Machine;
use card::metrics::{self, State};
use card::summary::Summary;
use serde_json::{Value, json};

use crate::common::turn::beside_others;
use crate::common::{program, recorded_card};

/// A card of two probes, as if this program had measured it here and were to be resumed before the
/// last line: nothing is left to be measured.
fn lines(dir: &Path) -> Vec<Value> {
    let mut card = Card::read(&recorded_card("x86_64")).unwrap();
    let two = |probe: &str| ["clock", "locks"].contains(&probe);
    let version = Command::new(program()).arg("--version").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let revision = version.split(['(', ')']).nth(1).unwrap();
    card.header.tool.revision = revision.to_owned();
    card.header.tool.version = env!("CARGO_PKG_VERSION").to_owned();
    card.header.machine = Machine::detect();
    let plan = &mut card.header.plan;
    (plan.tier, plan.rounds, plan.budget_s) = ("quick".into(), 3, 30.0);
    plan.cpu = card.header.machine.allowed_cpus()[0];
    card.header.declarations.retain(|d| two(&d.probe));
    let path = dir.join("made.card.jsonl");
    let mut writer = Writer::create(&path, &card.header, true).unwrap();
    let points = card.points.into_iter().filter(|p| two(&p.probe)).map(Line::Point);
    let rounds = card.rounds.into_iter().filter(|r| two(&r.probe)).map(Line::Round);
    points.chain(rounds).for_each(|line| writer.append(line).unwrap());
    let text = fs::read_to_string(&path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text(lines: &[Value]) -> Vec<u8> {
    lines.iter().map(|line| line.to_string() + "\n").collect::<String>().into_bytes()
}

/// What can be done with a card; the last two write.
const COMMANDS: [&[&str]; 4] =
    [&["show"], &["show", "--json"], &["report", "--force"], &["run", "--resume"]];

/// Runs a command on a card, within bounds that a card of some megabytes must not need.
fn on_card(command: &[&str], card: &Path) -> Output {
    let bounds = ["--as=2000000000", "timeout", "--signal=KILL", "100"];
    Command::new("prlimit").args(bounds).arg(program()).args(command).arg(card).output().unwrap()
}

/// Runs all commands on it, of which each may succeed or say what is wrong with the file.
fn survives(name: &str, bytes: &[u8]) -> Vec<Output> {
    let dir = tempfile::tempdir().unwrap();
    let card = dir.path().join(name);
    let outcome = |command: &&[&str]| {
        fs::write(&card, bytes).unwrap();
        let output = on_card(command, &card);
        let error = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => {}
            Some(2) => assert!(error.contains(name), "{name}: {command:?} says {error}"),
            _ => panic!("{name}: {command:?} ended with {}: {error}", output.status),
        }
        output
    };
    COMMANDS.iter().map(outcome).collect()
}

/// Every sample of it is this one.
fn with_samples(lines: &[Value], sample: &Value) -> Vec<u8> {
    let mut lines = lines.to_vec();
    for samples in lines.iter_mut().filter_map(|line| line.get_mut("samples")) {
        samples.as_array_mut().unwrap().fill(sample.clone());
    }
    text(&lines)
}

#[test]
fn whatever_the_samples_are_there_is_a_card_to_be_read() {
    let _turn = beside_others();
    let dir = tempfile::tempdir().unwrap();
    let lines = lines(dir.path());
    let unspoilt = survives("unspoilt.card.jsonl", &text(&lines));
    assert!(unspoilt.iter().all(|output| output.status.success()), "{unspoilt:?}");
    for (i, sample) in
        [json!(-3.5), json!(0.0), json!(5e-324), json!(1e308), Value::Null].iter().enumerate()
    {
        let outputs = survives(&format!("odd-{i}.card.jsonl"), &with_samples(&lines, sample));
        let said = String::from_utf8_lossy(&outputs[0].stdout);
        assert!(outputs[0].status.success(), "{outputs:?}");
        for wrong in ["NaN", " inf", "00000000000"] {
            assert!(!said.contains(wrong), "{said}");
        }
        assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
    }
}

#[test]
fn negative_samples_are_no_values() {
    let dir = tempfile::tempdir().unwrap();
    let mut lines = lines(dir.path());
    for samples in lines.iter_mut().filter_map(|line| line.get_mut("samples")) {
        for sample in samples.as_array_mut().unwrap() {
            *sample = json!(-sample.as_f64().unwrap());
        }
    }
    let path = dir.path().join("negative.card.jsonl");
    fs::write(&path, text(&lines)).unwrap();
    let summary = Summary::of(Card::read(&path).unwrap());
    // No delay is one, whatever its sign.
    let told = summary.metrics.0.iter().filter(|v| v.value.is_some_and(|value| value != 0.0));
    assert_eq!(told.map(|v| &v.id).collect::<Vec<_>>(), [""; 0]);
    let clock = summary.metrics.get("clock.core_ghz").unwrap();
    let reason = clock.reason.as_deref().unwrap();
    assert!(reason.contains("no machine can have given the value"), "{reason}");
    for finding in &summary.findings {
        let is_number = |behind: &str| behind.starts_with(|c: char| c.is_ascii_digit());
        assert!(!finding.text().split(" -").skip(1).any(is_number), "{finding:?}");
    }
}

#[test]
fn numbers_of_a_header_are_neither_sizes_nor_times_before_they_are_looked_at() {
    let _turn = beside_others();
    let dir = tempfile::tempdir().unwrap();
    let lines = lines(dir.path());
    for (i, (field, value, said)) in [
        ("budget_s", json!(-5), "a budget of -5 s"),
        ("budget_s", json!(1e300), "a budget of 1.00e300 s"),
        ("budget_s", json!(0), "between 10 s and 24 h"),
        ("rounds", json!(u32::MAX), "4294967295 rounds, and a quick run has 3"),
        ("rounds", json!(0), "0 rounds"),
        ("tier", json!("endless"), "no tier 'endless'"),
        ("cpu", json!(u32::MAX), "CPU 4294967295"),
        ("scratch", json!("/nonexistent/directory"), ""),
    ]
    .into_iter()
    .enumerate()
    {
        let mut lines = lines.clone();
        lines[0]["plan"][field] = value;
        let name = format!("{i}-{field}.card.jsonl");
        let outputs = survives(&name, &text(&lines));
        let [shown, _, reported, resumed] = &outputs[..] else { panic!("{outputs:?}") };
        assert!(shown.status.success() && reported.status.success(), "{outputs:?}");
        let error = String::from_utf8_lossy(&resumed.stderr);
        if !said.is_empty() {
            assert_eq!(resumed.status.code(), Some(2), "{error}");
            assert!(error.contains(said) && error.contains(&name), "{error}");
        }
    }
}

#[test]
fn a_probe_that_this_program_lacks_is_named_and_never_done() {
    let _turn = beside_others();
    let dir = tempfile::tempdir().unwrap();
    let mut lines = lines(dir.path());
    let mut declared = lines[0]["declarations"][0].clone();
    declared["probe"] = json!("of-tomorrow");
    for metric in declared["metrics"].as_array_mut().unwrap() {
        metric["id"] = json!(metric["id"].as_str().unwrap().replace("clock.", "tomorrow."));
    }
    lines[0]["declarations"].as_array_mut().unwrap().push(declared);
    let outputs = survives("of-tomorrow.card.jsonl", &text(&lines));
    let shown = String::from_utf8_lossy(&outputs[0].stdout);
    assert!(shown.contains("of-tomorrow"), "{shown}");
    let error = String::from_utf8_lossy(&outputs[3].stderr);
    assert_eq!(outputs[3].status.code(), Some(2), "{error}");
    assert!(error.contains("was to measure of-tomorrow"), "{error}");
}

#[test]
fn words_of_later_versions_cost_what_they_stand_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut lines = lines(dir.path());
    let metrics = lines[0]["declarations"][0]["metrics"].as_array_mut().unwrap();
    metrics[0]["from"] = json!({"fourier": [{"quantity": "core_ghz"}]});
    metrics[1]["unit"] = json!("fortnights");
    metrics[2]["tier"] = json!("T9");
    let ids: Vec<String> =
        metrics[..3].iter().map(|metric| metric["id"].as_str().unwrap().to_owned()).collect();
    lines.push(json!({"kind": "weather", "sky": "blue"}));
    lines.push(json!({"kind": "end", "state": "adjourned", "wall_s": 1e308}));
    let path = dir.path().join("later.card.jsonl");
    fs::write(&path, text(&lines)).unwrap();
    let card = Card::read(&path).unwrap();
    let values = metrics::evaluate(&card);
    let of = |i: usize| values.get(&ids[i]).unwrap();
    for (i, word) in [(0, "how it is derived"), (1, "its unit")] {
        assert_eq!((of(i).value, of(i).state), (None, State::Unavailable));
        let reason = of(i).reason.as_deref().unwrap();
        assert!(reason.contains("this version does not know") && reason.contains(word), "{reason}");
    }
    assert!(of(2).value.is_some());
    assert!(card.remarks[0].contains("left out"), "{:?}", card.remarks);
    let shown = on_card(&["show"], &path);
    let shown = String::from_utf8(shown.stdout).unwrap();
    let shown = shown.split_whitespace().collect::<Vec<&str>>().join(" ");
    assert!(shown.contains("a way that this version does not know"), "{shown}");
}

#[test]
fn a_card_has_an_end() {
    let _turn = beside_others();
    let dir = tempfile::tempdir().unwrap();
    let lines = lines(dir.path());
    let header = &text(&lines[..1]);
    let behind = |bytes: Vec<u8>| [&header[..], &bytes].concat();
    let deep = ("[".repeat(100_000) + "\n").into_bytes();
    let endless = vec![b'7'; 5 << 20];
    // Pairs of CPUs, of which none is in two: a matrix of them all would have 144 million cells.
    let pair = |i: usize| {
        json!({
            "kind": "point", "probe": "core-to-core", "round": 0, "quantity": "one_way",
            "params": {"method": "cas", "from": 2 * i, "to": (2 * i + 1).to_string()},
            "unit": "ns", "samples": [30.0],
        })
    };
    let mut cpus: Vec<Value> = (0..6000).map(pair).collect();
    let last = json!({"kind": "fail", "probe": "clock", "round": u32::MAX, "how": "so"});
    cpus.extend([
        last,
        json!({"kind": "skip", "probe": "clock", "metrics": ["*a*".repeat(2000)],
        "need": "", "reason": "", "remedy": ""}),
    ]);
    for (name, bytes, said) in [
        ("deep.card.jsonl", behind(deep), "recursion limit"),
        ("endless.card.jsonl", behind(endless), "longer than 4 MiB"),
        ("cpus.card.jsonl", behind(text(&cpus)), ""),
        ("nothing.card.jsonl", Vec::new(), "is empty"),
        ("noise.card.jsonl.zst", vec![0xa5; 4000], "is damaged"),
    ] {
        let outputs = survives(name, &bytes);
        let error = String::from_utf8_lossy(&outputs[0].stderr);
        assert!(error.contains(said), "{name}: {error}");
        assert_eq!(outputs[0].status.success(), said.is_empty(), "{name}: {error}");
    }
    let zero: PathBuf = dir.path().join("zero.card.jsonl");
    std::os::unix::fs::symlink("/dev/zero", &zero).unwrap();
    for command in COMMANDS {
        let output = on_card(command, &zero);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains("more than 64 MiB"), "{command:?}: {error}");
        assert_eq!(output.status.code(), Some(2));
    }
}
