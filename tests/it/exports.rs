//! `export` and `status`, and what the programs that they are for make of them.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use card::machine::Fact;
use card::summary::Summary;
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

use crate::common::{in_repository, program, recorded_card, sample_card};
use crate::judging::{Machine, said, text};

/// What would end a string, a line or an element somewhere, and what steers terminals.
const HOSTILE: &str =
    "a\"b'c\\d\ne\r|f<g>&amp;]]>{h=\"i\"}\u{1b}[31m\u{202e}\u{ffff},;%s$(j)é\t# EOF\\n";

/// The same as an id, of words in which no linter sees a unit.
const HOSTILE_ID: &str = "mean\"ing'harm\\\n{le=\"é\"} 1\n# EOF\n<\u{202e}>";

/// Cards of two architectures, one with all that a report has, and one with texts that mean harm.
fn cards(dir: &Path) -> Vec<PathBuf> {
    let mut hostile = Summary::read(&recorded_card("x86_64")).unwrap();
    let machine = &mut hostile.card.header.machine;
    machine.host.name = Fact::Known(HOSTILE.into());
    machine.cpu.brand = Fact::Known(HOSTILE.into());
    machine.kernel.release = Fact::Known(HOSTILE.into());
    hostile.card.header.tool.version = HOSTILE.into();
    for value in hostile.metrics.0.iter_mut().step_by(5) {
        value.reason = Some(HOSTILE.into());
    }
    for value in hostile.metrics.0.iter_mut().skip(1).step_by(90) {
        value.id = HOSTILE_ID.into();
    }
    let path = dir.join("hostile.summary.json");
    fs::write(&path, hostile.stored()).unwrap();
    vec![recorded_card("x86_64"), recorded_card("aarch64"), sample_card(), path]
}

fn export(format: &str, card: &Path) -> String {
    let (code, said_of_it) = said(&["export", "--format", format, text(card)]);
    assert_eq!(code, 0, "{format} of {}: {said_of_it}", card.display());
    said_of_it
}

/// A program on the path; none where it is missing, which continuous integration does not accept.
fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|p| p.is_file());
    if found.is_none() {
        missing(name);
    }
    found
}

fn missing(what: &str) {
    assert!(std::env::var_os("PROBECARD_REQUIRE_CONSUMERS").is_none(), "there is no {what}");
    eprintln!("skipped: no {what}");
}

/// A Python that has this module: that of the path, or the system's, for which packages are made.
fn python_with(module: &str) -> Option<&'static str> {
    let has = |python: &&str| {
        let asked = Command::new(python).args(["-c", &format!("import {module}")]).output();
        asked.is_ok_and(|output| output.status.success())
    };
    let found = ["python3", "/usr/bin/python3"].into_iter().find(has);
    if found.is_none() {
        missing(&format!("Python with {module}"));
    }
    found
}

/// What a program says to an input, which it must accept.
fn accepted(command: &mut Command, input: &str) -> String {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    // It may have seen enough before the end.
    let _ = writer.join().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let all = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{all}");
    all
}

#[test]
fn promtool_finds_no_fault_with_what_is_for_prometheus() {
    let Some(promtool) = tool("promtool") else { return };
    let dir = TempDir::new().unwrap();
    for card in cards(dir.path()) {
        let exported = export("prom", &card);
        let linted = accepted(Command::new(&promtool).args(["check", "metrics"]), &exported);
        assert_eq!(linted, "", "{}", card.display());
    }
}

/// A collector over a directory, until the test ends.
struct Collector {
    process: Child,
    address: String,
}

impl Collector {
    fn over(dir: &Path, exporter: &Path) -> Collector {
        let mut process = Command::new(exporter)
            .args(["--collector.disable-defaults", "--collector.textfile"])
            .arg(format!("--collector.textfile.directory={}", dir.display()))
            .args(["--web.listen-address=127.0.0.1:0", "--log.format=logfmt"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let mut address = None;
        let mut line = String::new();
        while address.is_none() && log.read_line(&mut line).unwrap() > 0 {
            let (_, rest) = line.split_once("address=127").unwrap_or_default();
            let said = rest.split_whitespace().next().map(|rest| format!("127{rest}"));
            address = said.filter(|address| !address.ends_with(":0"));
            line.clear();
        }
        // It goes on to speak, and must not wait for someone to listen.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Collector { process, address: address.expect("it says where it listens") }
    }

    fn scrape(&self) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        page
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn node_exporter_serves_a_file_that_is_replaced_meanwhile() {
    let Some(exporter) = tool("prometheus-node-exporter") else { return };
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("probecard.prom");
    let write = |card: &Path| {
        let arguments = ["export", "--format", "prom", "--out", text(&file), text(card)];
        assert_eq!(said(&arguments), (0, String::new()));
    };
    let (x86, arm) = (recorded_card("x86_64"), recorded_card("aarch64"));
    write(&x86);
    // All that was exported is served, and always all of one card. (How numbers are written and the
    // order of labels are the collector's.)
    let names = |text: &str| -> Vec<String> {
        let ours = text.lines().filter(|line| line.starts_with("probecard_"));
        let name = |line: &str| line.split(['{', ' ']).next().unwrap_or_default().to_owned();
        let mut names: Vec<String> = ours.map(name).collect();
        names.sort();
        names
    };
    let whole = [&x86, &arm].map(|card| names(&export("prom", card)));
    assert!(whole.iter().all(|names| names.len() > 100) && whole[0] != whole[1]);
    let collector = Collector::over(dir.path(), &exporter);
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| (0..6).for_each(|at| write([&arm, &x86][at % 2])));
        let mut scrapes = 0;
        while !writing.is_finished() || scrapes < 3 {
            let page = collector.scrape();
            assert!(page.contains("\nnode_textfile_scrape_error 0\n"), "{page}");
            assert!(whole.contains(&names(&page)), "{page}");
            scrapes += 1;
        }
        writing.join().unwrap();
    });
    assert_eq!(names(&collector.scrape()), whole[0]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing half is left behind");
}

#[test]
fn a_strict_parser_reads_openmetrics() {
    let Some(python) = python_with("prometheus_client") else { return };
    let dir = TempDir::new().unwrap();
    let script = "import sys\n\
        from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse\n\
        families = list(parse(sys.stdin.read()))\n\
        print(len(families), sum(f.type == 'info' for f in families), sum(bool(f.unit) for f in families))";
    for card in cards(dir.path()) {
        let exported = export("openmetrics", &card);
        let parsed = accepted(Command::new(python).args(["-c", script]), &exported);
        let count = |what: &str| exported.lines().filter(|line| line.starts_with(what)).count();
        let infos = exported.lines().filter(|line| line.ends_with(" info")).count();
        let expected = format!("{} {infos} {}\n", count("# TYPE "), count("# UNIT "));
        assert_eq!(parsed, expected, "{}", card.display());
    }
}

#[test]
fn a_strict_parser_reads_junit() {
    let Some(python) = python_with("xml.etree.ElementTree") else { return };
    let dir = TempDir::new().unwrap();
    // Sums must be those of the cases, and nothing but what the schema knows be there.
    let script = "import sys, xml.etree.ElementTree as tree\n\
        root = tree.fromstring(sys.stdin.buffer.read())\n\
        known = {'testsuites', 'testsuite', 'testcase', 'failure', 'error', 'skipped', 'system-out'}\n\
        assert {element.tag for element in root.iter()} <= known\n\
        for suite in [root, *root]:\n\
        \x20   for what, of in [('tests', 'testcase'), ('failures', 'failure'), ('errors', 'error')]:\n\
        \x20       assert int(suite.get(what)) == len(list(suite.iter(of))), (suite.attrib, what)\n\
        for suite in root:\n\
        \x20   assert int(suite.get('skipped')) == len(list(suite.iter('skipped'))), suite.attrib\n\
        print(root.get('tests'))";
    for card in cards(dir.path()) {
        let metrics = Summary::read(&card).unwrap().metrics.0.len();
        let exported = export("junit", &card);
        let cases = accepted(Command::new(python).args(["-c", script]), &exported);
        assert!(cases.trim().parse::<usize>().unwrap() >= metrics, "{cases}");
    }
}

#[test]
fn a_summary_is_read_like_the_card_and_others_stream_through() {
    let dir = TempDir::new().unwrap();
    let card = recorded_card("x86_64");
    let path = dir.path().join("x.summary.json.zst");
    let arguments = ["export", "--format", "summary", "--out", text(&path), text(&card)];
    assert_eq!(said(&arguments), (0, String::new()));
    assert!(fs::read(&path).unwrap().starts_with(&[0x28, 0xb5, 0x2f, 0xfd]), "it is Zstandard");
    let (whole, summary) = (Summary::read(&card).unwrap(), Summary::read(&path).unwrap());
    assert_eq!(summary.metrics.0.len(), whole.metrics.0.len());
    // But for the help, which a summary does without, and the last digits of numbers.
    let names = |card: &Path| -> Vec<String> {
        let text = export("prom", card);
        let types = text.lines().filter(|line| line.starts_with("# TYPE "));
        types.map(str::to_owned).collect()
    };
    assert_eq!(names(&path), names(&card));
    // A card is measured once, and is not to be replaced by less.
    let (code, itself) =
        said(&["export", "--format", "summary", "--out", text(&path), text(&path)]);
    assert!(code == 2 && itself.contains("choose another --out"), "{itself}");
    for format in ["ndjson", "superbench"] {
        for line in export(format, &path).lines() {
            assert!(serde_json::from_str::<serde_json::Value>(line).unwrap().is_object());
        }
    }
    assert_eq!(export("superbench", &card).lines().count(), 1);
    assert!(export("npd", &card).len() <= 80);
    assert!(export("nagios", &card).starts_with("PROBECARD OK: "));
}

/// What the trace event format asks of every event.
#[test]
fn the_time_line_is_of_a_whole_card() {
    let dir = TempDir::new().unwrap();
    let trace: serde_json::Value =
        serde_json::from_str(&export("perfetto", &sample_card())).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    for event in events {
        assert!(event["name"].is_string() && event["pid"].is_u64(), "{event}");
        match event["ph"].as_str().unwrap() {
            "X" => assert!(event["ts"].is_number() && event["dur"].is_number(), "{event}"),
            "C" => assert!(event["ts"].is_number() && event["args"]["samples"].is_u64(), "{event}"),
            "M" => assert!(event["args"]["name"].is_string(), "{event}"),
            other => panic!("{other}"),
        }
    }
    assert!(events.len() > 100, "{}", events.len());
    let summary = cards(dir.path()).pop().unwrap();
    let (code, error) = said(&["export", "--format", "perfetto", text(&summary)]);
    assert!(code == 2 && error.contains("name the card that it is of"), "{error}");
}

/// What `check --json` said of a machine that broke down: a file, and the first card.
fn suspect(machine: &mut Machine) -> (PathBuf, PathBuf) {
    let base = machine.runs("base", 5)[0].parent().unwrap().to_owned();
    machine.break_down("mitigations");
    let ill = machine.runs("now", 1).remove(0);
    let (code, json) = said(&["check", "--json", "--baseline", text(&base), text(&ill)]);
    assert_eq!(code, 3, "{json}");
    let file = ill.with_file_name("judgement.json");
    fs::write(&file, json).unwrap();
    (file, ill)
}

#[test]
fn a_judgement_goes_along_with_its_card_and_with_no_other() {
    let mut machine = Machine::new(21);
    let (file, card) = suspect(&mut machine);
    let with = |format: &str, card: &Path| {
        said(&["export", "--format", format, "--judgement", text(&file), text(card)])
    };
    let (code, prom) = with("prom", &card);
    assert_eq!(code, 0, "{prom}");
    assert!(prom.contains("probecard_check_verdict{verdict=\"suspect\"} 1.0\n"), "{prom}");
    assert!(prom.contains("probecard_check_status{group=\"syscalls\"} 1.0\n"), "{prom}");
    assert!(prom.contains("probecard_deviation_ratio{group=\"syscalls\"} 0."), "{prom}");
    assert!(with("nagios", &card).1.starts_with("PROBECARD WARNING: SUSPECT: system calls: "));
    assert!(with("npd", &card).1.starts_with("SUSPECT: system calls: "));
    assert!(with("junit", &card).1.contains("<failure type=\"suspect\""));
    let (code, other) = with("prom", &recorded_card("aarch64"));
    assert!(code == 2 && other.contains("is of another card"), "{other}");
    let (code, no_place) = with("ndjson", &card);
    assert!(code == 2 && no_place.contains("leave out --judgement"), "{no_place}");
    if let Some(promtool) = tool("promtool") {
        assert_eq!(accepted(Command::new(promtool).args(["check", "metrics"]), &prom), "");
    }
}

/// The exit code of `status`, and what it said.
fn status(format: &str, file: &Path) -> (i32, String) {
    said(&["status", "--format", format, text(file)])
}

#[test]
fn status_answers_from_the_file_and_in_the_codes_of_who_asks() {
    let mut machine = Machine::new(22);
    let (file, _) = suspect(&mut machine);
    let judgement: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let put = |verdict: &str, hours: i64| {
        let mut judgement = judgement.clone();
        let run = Timestamp::now() - SignedDuration::from_hours(hours);
        judgement["verdict"] = verdict.into();
        judgement["headline"] = format!("it is {verdict}").into();
        judgement["runs"] = serde_json::json!([run.to_string()]);
        fs::write(&file, judgement.to_string()).unwrap();
    };
    for (verdict, [native, nagios, npd], word) in [
        ("same", [0, 0, 0], "OK"),
        ("suspect", [3, 1, 2], "WARNING"),
        ("worse", [1, 2, 1], "CRITICAL"),
        ("cannot_judge", [2, 3, 2], "UNKNOWN"),
    ] {
        put(verdict, 1);
        assert_eq!(status("text", &file), (native, format!("it is {verdict}\n")));
        let line = format!("PROBECARD {word}: it is {verdict}\n");
        assert_eq!(status("nagios", &file), (nagios, line));
        assert_eq!(status("npd", &file).0, npd);
        let (code, json) = status("json", &file);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(code, native);
        assert!(json["age_s"].as_i64().unwrap().abs_diff(3600) < 60, "{json}");
        // What was so yesterday is not known of today.
        put(verdict, 27);
        assert_eq!(status("text", &file).0, 2);
        let (code, stale) = status("nagios", &file);
        assert!(code == 3 && stale.starts_with("PROBECARD UNKNOWN: STALE: 27 h old"), "{stale}");
        let (code, stale) = status("npd", &file);
        assert!(code == 2 && stale.starts_with("STALE") && stale.len() <= 80, "{stale}");
        let patient = said(&["status", "--max-age", "28h", text(&file)]);
        assert_eq!(patient.0, native);
    }
}

#[test]
fn the_example_for_node_problem_detector_asks_what_there_is_to_ask() {
    let example = fs::read_to_string(in_repository("examples/node-problem-detector.json")).unwrap();
    let example: serde_json::Value = serde_json::from_str(&example).unwrap();
    let rule = &example["rules"][0];
    // It refuses a rule without its condition.
    assert_eq!(rule["condition"], example["conditions"][0]["type"]);
    let arguments: Vec<&str> =
        rule["args"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
    let mut machine = Machine::new(24);
    let (file, _) = suspect(&mut machine);
    let asked: Vec<&str> =
        arguments.iter().map(|a| if a.starts_with('/') { text(&file) } else { a }).collect();
    let (code, line) = said(&asked);
    assert!(code == 2 && !line.contains("cannot read") && line.len() <= 80, "{line}");
    let (code, nothing) = said(&arguments);
    assert!(code == 2 && nothing.contains("cannot read") && nothing.len() <= 80, "{nothing}");
}

#[test]
fn systemd_finds_no_fault_with_the_units() {
    let Some(analyze) = tool("systemd-analyze") else { return };
    let dir = TempDir::new().unwrap();
    let units: Vec<PathBuf> = fs::read_dir(in_repository("deploy/systemd"))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            // It looks for the program as well.
            let text = fs::read_to_string(&path).unwrap();
            let here = text.replace("/usr/bin/probecard", &program().display().to_string());
            assert_eq!(here != text, path.extension().is_some_and(|e| e == "service"));
            let copy = dir.path().join(path.file_name().unwrap());
            fs::write(&copy, here).unwrap();
            copy
        })
        .collect();
    assert_eq!(units.len(), 3);
    // The manual page is the package's to install.
    let verify = |units: &[PathBuf]| {
        let asked =
            Command::new(&analyze).args(["verify", "--man=no"]).args(units).output().unwrap();
        (asked.status.success(), String::from_utf8(asked.stderr).unwrap())
    };
    let (fine, complaints) = verify(&units);
    let ours = complaints.lines().filter(|line| line.contains("probecard")).collect::<Vec<_>>();
    assert!(fine && ours.is_empty(), "{complaints}");
    fs::write(&units[0], "[Service]\nExecStart=/nowhere/at/all\nPrivateTemp=yes\n").unwrap();
    assert!(!verify(&units[..1]).1.is_empty(), "it does look");
    // Their command lines are understood.
    for unit in &units {
        let text =
            fs::read_to_string(in_repository("deploy/systemd").join(unit.file_name().unwrap()));
        for line in text.unwrap().lines().filter_map(|line| line.strip_prefix("ExecStart=")) {
            let mut words: Vec<&str> = line.split(' ').skip(1).collect();
            words.push("--help");
            assert_eq!(said(&words).0, 0, "{line}");
            let known = said(&words).1;
            let options = line.split(' ').filter(|word| word.starts_with("--"));
            options.for_each(|option| assert!(known.contains(option), "{option}"));
        }
    }
}

#[test]
fn status_is_quick_and_an_unreadable_file_is_unknown() {
    let mut machine = Machine::new(23);
    let (file, card) = suspect(&mut machine);
    for path in [&file, &card] {
        let took = (0..5).map(|_| {
            let start = Instant::now();
            Command::new(program()).arg("status").arg(path).output().unwrap();
            start.elapsed()
        });
        // Without optimisation, beside other tests: the best of a few.
        assert!(took.min().unwrap() < Duration::from_millis(100), "{}", path.display());
    }
    let broken = file.with_file_name("broken.json");
    let compared = said(&["compare", "--json", text(&recorded_card("x86_64")), text(&card)]).1;
    for contents in ["", "{}", "{\"verdict\":\"same\"", &compared] {
        fs::write(&broken, contents).unwrap();
        let (code, line) = status("nagios", &broken);
        assert!(code == 3 && line.starts_with("PROBECARD UNKNOWN: "), "{line}");
        assert!(line.contains("broken.json") && line.contains("check --json"), "{line}");
        assert_eq!(status("npd", &broken).0, 2);
        assert_eq!(status("text", &broken).0, 2);
    }
    let (code, nowhere) = status("nagios", Path::new("/nowhere/at/all"));
    assert!(code == 3 && nowhere.contains("/nowhere/at/all"), "{nowhere}");
    let soon = ["status", "--max-age", "soon", text(&file)];
    let (code, wrong) = said(&soon);
    assert!(code == 2 && wrong.contains("26h"), "{wrong}");
    // Of Nagios, 2 would be critical.
    let (code, wrong) = said(&[&soon[..], &["--format", "nagios"]].concat());
    assert!(code == 3 && wrong.contains("26h"), "{wrong}");
}
