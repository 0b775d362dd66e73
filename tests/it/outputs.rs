//! The real program where what it says, or what it writes beside the card, goes nowhere: no finished
//! measurement is lost with it.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::common::children::{child_of, signal};
use crate::common::turn::beside_others;
use crate::common::user::is_root;
use crate::common::wait::wait_for;
use crate::common::{card_in, program, sample_card};
use card::file::Card;
use serde_json::Value;

const LOCKS: [&str; 4] = ["--tier", "quick", "--only", "locks"];
const CACHE_LINE: [&str; 4] = ["--tier", "quick", "--only", "cache-line"];

/// A run, not yet started.
fn run(args: &[&str], out: &Path) -> Command {
    let mut command = Command::new(program());
    command.args(args).arg("--out").arg(out);
    command
}

/// The same with both streams kept.
fn start(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn resume(card: &Path) -> Command {
    let mut command = Command::new(program());
    command.arg("run").arg("--resume").arg(card);
    command
}

/// A command in a shell that prepares what it inherits.
fn prepared(preparation: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{preparation}; exec \"$@\"")).arg("sh");
    shell.arg(command.get_program()).args(command.get_args());
    shell
}

/// The card of a run that is in its midst.
fn begun(out: &Path) -> PathBuf {
    let points = |card: &PathBuf| {
        fs::read_to_string(card).map_or(0, |t| t.matches("\"kind\":\"point\"").count())
    };
    wait_for("the first points", || card_in(out).filter(|c| points(c) > 3))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The card of a run that was stopped in its midst.
fn interrupted(out: &Path) -> PathBuf {
    let child = start(&mut run(&CACHE_LINE, out));
    let card = begun(out);
    signal(child.id(), "-TERM");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(2));
    card
}

/// A stream that takes nothing and lets nobody wait.
fn clogged() -> (UnixStream, UnixStream) {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    while ours.write(&[b'x'; 4096]).is_ok() {}
    (ours, theirs)
}

/// The text of the card in `reports/sample`.
fn sample() -> String {
    let text = zstd::decode_all(fs::File::open(sample_card()).unwrap()).unwrap();
    String::from_utf8(text).unwrap()
}

/// The program in a terminal of its own; what it printed, or `None` where there is no such tool.
fn in_terminal(preparation: &str, arguments: &str) -> Option<String> {
    let program = program();
    let inside = format!("{preparation} '{}' {arguments}", program.display());
    let script = Command::new("script").args(["-qec", &inside, "/dev/null"]).output().ok()?;
    assert!(script.status.success(), "{script:?}");
    Some(String::from_utf8(script.stdout).unwrap())
}

#[test]
fn a_run_whose_progress_no_one_can_hear_is_measured_to_its_end() {
    let _turn = beside_others();
    let (clogged, _reader) = clogged();
    let (left, reader) = UnixStream::pair().unwrap();
    drop(reader);
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    for stderr in [OwnedFd::from(clogged), OwnedFd::from(left), OwnedFd::from(full)] {
        let dir = tempfile::tempdir().unwrap();
        // A round that fails is told as well.
        let mut command = run(&[&LOCKS[..], &["--only", "fault-error"]].concat(), dir.path());
        let status = command.stdout(Stdio::null()).stderr(stderr).status().unwrap();
        // That round is all there is of its probe, which is a verdict of FAIL.
        assert_eq!(status.code(), Some(1));
        assert!(Card::read(&card_in(dir.path()).unwrap()).unwrap().is_complete());
        assert!(dir.path().join("report.html").exists());
    }
}

#[test]
fn an_error_that_no_one_can_hear_is_still_exit_code_2() {
    let _turn = beside_others();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let status = Command::new(program()).args(["show", "/nowhere"]).stderr(full).status();
    assert_eq!(status.unwrap().code(), Some(2));
}

#[test]
fn signals_that_were_ignored_at_the_start_stay_ignored() {
    let _turn = beside_others();
    let dir = tempfile::tempdir().unwrap();
    let command = run(&CACHE_LINE, dir.path());
    let child = start(&mut prepared("trap '' HUP INT TERM", &command));
    let card = begun(dir.path());
    for name in ["-HUP", "-INT", "-TERM"] {
        signal(child.id(), name);
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(Card::read(&card).unwrap().is_complete());
}

#[test]
fn a_card_is_written_by_one_run_at_a_time() {
    let _turn = beside_others();
    let dir = tempfile::tempdir().unwrap();
    let first = start(&mut run(&CACHE_LINE, dir.path()));
    let card = begun(dir.path());
    signal(first.id(), "-STOP");
    let second = run(&[&LOCKS[..], &["--force"]].concat(), dir.path()).output().unwrap();
    signal(first.id(), "-CONT");
    assert_eq!(second.status.code(), Some(2));
    assert!(said(&second).contains("another run") && said(&second).contains("--out"), "{second:?}");
    let first = first.wait_with_output().unwrap();
    assert!(first.status.success(), "{first:?}");
    let card = Card::read(&card).unwrap();
    assert!(card.is_complete() && card.points.iter().all(|p| p.probe == "cache-line"));
}

#[test]
fn a_card_is_resumed_by_one_run_at_a_time_and_by_the_program_that_began_it_where_it_did() {
    let _turn = beside_others();
    let dir = tempfile::tempdir().unwrap();
    let card = interrupted(dir.path());
    let text = fs::read_to_string(&card).unwrap();
    let (header, rest) = text.split_once('\n').unwrap();
    let changed = |change: fn(&mut Value)| {
        let mut header: Value = serde_json::from_str(header).unwrap();
        change(&mut header);
        let changed = format!("{header}\n{rest}");
        fs::write(&card, &changed).unwrap();
        let output = resume(&card).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert_eq!(fs::read_to_string(&card).unwrap(), changed, "a refused card stays as it is");
        said(&output)
    };
    let other = changed(|h| h["tool"]["revision"] = "000000000000".into());
    assert!(other.contains("begun by") && other.contains("000000000000"), "{other}");
    let other = changed(|h| h["machine"]["host"]["name"] = "elsewhere".into());
    assert!(other.contains("the host elsewhere, and this is"), "{other}");
    let other = changed(|h| h["machine"]["cpu"]["brand"] = "Abacus 7".into());
    assert!(other.contains("the processor Abacus 7, and this is"), "{other}");

    fs::write(&card, &text).unwrap();
    let first = start(&mut resume(&card));
    wait_for("the first run to go on", || child_of(first.id()));
    signal(first.id(), "-STOP");
    let second = resume(&card).output().unwrap();
    signal(first.id(), "-CONT");
    assert_eq!(second.status.code(), Some(2));
    assert!(said(&second).contains("another run"), "{second:?}");
    let first = first.wait_with_output().unwrap();
    assert!(first.status.success(), "{first:?}");
    let text = fs::read_to_string(&card).unwrap();
    for kind in [("end", 1), ("round", 3)] {
        let found = text.matches(&format!("\"kind\":\"{}\"", kind.0)).count();
        assert_eq!(found, kind.1, "{}", kind.0);
    }
}

#[test]
fn what_happens_to_the_cards_name_meanwhile_does_not_change_the_result() {
    let _turn = beside_others();
    let replace = |card: &Path| {
        let other = card.with_extension("other");
        fs::write(&other, "no card\n").unwrap();
        fs::rename(&other, card).unwrap();
    };
    let remove = |card: &Path| fs::remove_dir_all(card.parent().unwrap()).unwrap();
    for lose in [&replace as &dyn Fn(&Path), &remove] {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("run");
        let mut command = run(&[&CACHE_LINE[..], &["--json"]].concat(), &out);
        let child = start(&mut command);
        let card = begun(&out);
        lose(&card);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(result["metrics"]["cache.line_bytes"]["value"].is_number(), "{result:#}");
        let mut small = card.clone().into_os_string();
        small.push(".zst");
        let small = PathBuf::from(small);
        assert!(Card::read(&small).unwrap().is_complete());
        let said = said(&output);
        assert!(said.contains(&format!("{} was removed", card.display())), "{said}");
        assert!(said.contains(&format!("wrote {}", small.display())), "{said}");
        assert!(out.join("report.html").exists());
    }
}

#[test]
fn a_file_that_cannot_be_written_is_named_after_the_result_was_shown() {
    let _turn = beside_others();
    // Nothing larger than 60 KiB: the card is smaller, the page is not. Then a page and a copy whose
    // names are taken by directories.
    let dir = tempfile::tempdir().unwrap();
    let command = |force: &[&str]| run(&[&LOCKS[..], &["--json"], force].concat(), dir.path());
    let limited = prepared("ulimit -f 120", &command(&[])).output().unwrap();
    let card = card_in(dir.path()).unwrap();
    let mut small = card.clone().into_os_string();
    small.push(".zst");
    let small = PathBuf::from(small);
    let page = dir.path().join("report.html");
    assert!(!page.exists() && small.exists());
    fs::create_dir(&page).unwrap();
    let no_page = command(&["--force"]).output().unwrap();
    assert!(small.is_file());
    fs::remove_dir(&page).unwrap();
    fs::remove_file(&small).unwrap();
    fs::create_dir(&small).unwrap();
    let no_copy = command(&["--force"]).output().unwrap();
    assert!(page.is_file());
    for (output, file, cause) in [
        (&limited, &page, "(ulimit -f): File too large"),
        (&no_page, &page, "Is a directory"),
        (&no_copy, &small, "Is a directory"),
    ] {
        assert_eq!(output.status.code(), Some(2));
        let (said, result) = (said(output), serde_json::from_slice::<Value>(&output.stdout));
        assert!(result.unwrap()["metrics"].is_object());
        assert!(said.contains(&format!("cannot write {}", file.display())), "{said}");
        assert!(said.contains(cause) && !said.contains("free space"), "{said}");
        assert!(said.contains("the card is complete") && said.contains("probecard report"));
    }
    assert!(Card::read(&card).unwrap().is_complete());
    let half = |path: PathBuf| path.extension().is_some_and(|e| e == "part");
    assert!(!fs::read_dir(dir.path()).unwrap().any(|entry| half(entry.unwrap().path())));
}

#[test]
fn a_disk_that_fills_up_meanwhile_ends_the_run_with_what_was_measured() {
    let _turn = beside_others();
    let dir = tempfile::tempdir().unwrap();
    // Room for the header and some points, as an ended run tells.
    assert!(run(&CACHE_LINE, dir.path()).output().unwrap().status.success());
    let text = fs::read_to_string(card_in(dir.path()).unwrap()).unwrap();
    let (header, rest) = text.split_once('\n').unwrap();
    let blocks = (header.len() + rest.len() / 2) / 512;
    let command = run(&[&CACHE_LINE[..], &["--force", "--json"]].concat(), dir.path());
    let output = prepared(&format!("ulimit -f {blocks}"), &command).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(result["metrics"].is_object());
    assert!(
        said(&output).contains("ulimit -f") && said(&output).contains("--resume"),
        "{output:?}"
    );
}

#[test]
fn a_child_that_cannot_be_started_is_a_row_and_the_run_goes_on() {
    let _turn = beside_others();
    let dir = tempfile::tempdir().unwrap();
    let child = start(&mut run(&CACHE_LINE, dir.path()));
    let card = begun(dir.path());
    // What is open now is enough for all but the pipes of another child.
    let pid = child.id();
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let mut limit = Command::new("prlimit");
    limit.arg("--pid").arg(pid.to_string()).arg(format!("--nofile={open}:"));
    assert!(limit.status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    // Whether one of three rounds is lost or two.
    assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
    let card = Card::read(&card).unwrap();
    assert!(card.is_complete() && card.points.iter().any(|p| p.round == 0));
    let rows: Vec<_> = card.fails.iter().map(|f| (f.round, f.how.as_str())).collect();
    assert!(rows.iter().any(|(round, _)| *round == 2), "{rows:?}");
    assert!(rows.iter().all(|(_, how)| how.contains("limit on open files")), "{rows:?}");
    assert!(dir.path().join("report.html").exists());
}

#[test]
fn a_pattern_in_a_card_keeps_no_one_waiting() {
    let _turn = beside_others();
    let text = sample();
    let (header, rest) = text.split_once('\n').unwrap();
    // Of a probe that ran, each metric without a value asks the skips for its reason.
    let point = rest.lines().find(|line| line.contains("\"kind\":\"point\"")).unwrap();
    let probe = serde_json::from_str::<Value>(point).unwrap()["probe"].clone();
    let skip = serde_json::json!({
        "kind": "skip", "probe": probe, "need": "*".repeat(60) + "b", "reason": "r", "remedy": "m",
    });
    let dir = tempfile::tempdir().unwrap();
    let card = dir.path().join("x.card.jsonl");
    fs::write(&card, format!("{header}\n{skip}\n{point}\n")).unwrap();
    let mut show = Command::new(program());
    let mut show = show.arg("show").arg(&card).stdout(Stdio::null()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while show.try_wait().unwrap().is_none() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = show.kill();
    assert!(show.wait().unwrap().success(), "it took more than a minute");
}

#[test]
fn a_slow_reader_of_a_pipe_that_lets_nobody_wait_gets_all_of_it() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    // Another open file of the same pipe.
    let name = format!("/proc/self/fd/{}", writer.as_raw_fd());
    let mut options = fs::File::options();
    let stdout = options.write(true).custom_flags(libc::O_NONBLOCK).open(name).unwrap();
    drop(writer);
    // A command that is kept would keep the pipe open.
    let mut show = Command::new(program())
        .args(["show", "--json"])
        .arg(sample_card())
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let mut result = Vec::new();
    reader.read_to_end(&mut result).unwrap();
    assert!(show.wait().unwrap().success());
    assert!(result.len() > 1 << 16, "a pipe has room for all of it");
    assert!(serde_json::from_slice::<Value>(&result).unwrap()["metrics"].is_object());
}

#[test]
fn a_result_that_no_one_takes_is_told_with_the_place_of_its_files() {
    let _turn = beside_others();
    let dir = tempfile::tempdir().unwrap();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = run(&LOCKS, dir.path()).stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let (said, card) = (said(&output), card_in(dir.path()).unwrap());
    assert!(said.contains("cannot write to standard output; free space there: No space"), "{said}");
    assert!(said.contains(&format!("wrote {}", card.display())), "{said}");
    assert!(said.contains(&format!("probecard show {}", card.display())), "{said}");
}

#[test]
fn a_cause_is_told_once() {
    let output = Command::new(program()).args(["show", "/nowhere"]).output().unwrap();
    assert_eq!(said(&output).matches("No such file").count(), 1, "{output:?}");
}

#[test]
fn a_small_stack_is_enough() {
    let _turn = beside_others();
    let dir = tempfile::tempdir().unwrap();
    let output = prepared("ulimit -s 64", &run(&LOCKS, dir.path())).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(dir.path().join("report.html").exists());
}

#[test]
fn a_card_of_numbers_that_cannot_be_drawn_has_a_page() {
    let dir = tempfile::tempdir().unwrap();
    let absurd = ["5e-324", "1e100", "1.7e308", "0.0", "-1.0"];
    let mut lines = Vec::new();
    for (i, line) in sample().lines().enumerate() {
        let mut line: Value = serde_json::from_str(line).unwrap();
        for sample in line["samples"].as_array_mut().into_iter().flatten() {
            *sample = serde_json::from_str(absurd[i % absurd.len()]).unwrap();
        }
        lines.push(line.to_string());
    }
    let card = dir.path().join("absurd.card.jsonl");
    fs::write(&card, lines.join("\n") + "\n").unwrap();
    for command in ["show", "report"] {
        let output = Command::new(program()).arg(command).arg(&card).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    assert!(dir.path().join("report.html").exists());
}

/// Colours, the direction of writing, and a bell.
const ACTING: &str = "a\u{1b}[31m\u{9b}1m\u{202e}\u{2067}\u{7}b";

/// Whether a text holds any of them.
fn acts(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    text.chars().any(|c| c != '\n' && (c.is_control() || ACTING[1..].contains(c) && !c.is_ascii()))
}

#[test]
fn nothing_from_outside_steers_a_terminal_or_a_page() {
    let _turn = beside_others();
    let dir = tempfile::tempdir().unwrap();
    let text = sample();
    let (header, rest) = text.split_once('\n').unwrap();
    let mut header: Value = serde_json::from_str(header).unwrap();
    header["machine"]["host"]["name"] = ACTING.into();
    header["machine"]["cpu"]["brand"] = ACTING.into();
    let card = dir.path().join(format!("{ACTING}.card.jsonl"));
    fs::write(&card, format!("{header}\n{rest}")).unwrap();
    let absent = dir.path().join(format!("{ACTING}.absent"));
    for (arguments, paths) in [
        (&["show"][..], &[&card][..]),
        (&["show", "--json"], &[&card]),
        (&["report"], &[&card]),
        (&["show"], &[&absent]),
        (&["show"], &[&card, &card]),
        (&["run", "--tier"], &[&absent]),
        (&["run", "--only"], &[&absent]),
    ] {
        let output = Command::new(program()).args(arguments).args(paths).output().unwrap();
        assert!(!output.stdout.is_empty() || !output.stderr.is_empty());
        assert!(!acts(&output.stdout) && !acts(&output.stderr), "{arguments:?}: {output:?}");
        if arguments.contains(&"--json") {
            let value: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(value["machine"]["host"]["name"], ACTING, "escaped, not lost");
        }
    }
    for file in ["report.html", "ladder.svg"] {
        let file = fs::read(dir.path().join(file)).unwrap();
        assert!(!acts(&file), "{}", String::from_utf8_lossy(&file));
    }
    if is_root() {
        let name = "printf 'a\\033[31mb' > /proc/sys/kernel/hostname";
        let mut doctor = Command::new("unshare");
        doctor.args(["-u", "sh", "-c", &format!("{name} && exec \"$0\" doctor")]).arg(program());
        let output = doctor.output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        // A sandbox may refuse another name.
        assert!(!output.status.success() || printed.contains("a [31mb"), "{printed}");
        assert!(!acts(&output.stdout), "{printed}");
    }
}

#[test]
fn a_plain_terminal_gets_plain_text() {
    let card = sample_card();
    let show = format!("show '{}'", card.display());
    let Some(colored) = in_terminal("TERM=xterm NO_COLOR=", &show) else { return };
    assert!(colored.contains("\u{1b}["));
    let plain = in_terminal("TERM=dumb", &show).unwrap();
    assert!(!plain.contains('\u{1b}'));
    // What no one has given a size is as wide as usual.
    let unsized_ = in_terminal("stty cols 0 rows 0; TERM=dumb", &show).unwrap();
    let usual = in_terminal("stty cols 80 rows 24; TERM=dumb", &show).unwrap();
    assert_eq!(unsized_, usual);
}

#[test]
fn a_directory_that_is_gone_is_named_as_such() {
    let _turn = beside_others();
    let dir = tempfile::tempdir().unwrap();
    let mut doctor = Command::new("sh");
    doctor.args(["-c", "mkdir gone && cd gone && rmdir ../gone && exec \"$0\" doctor"]);
    let output = doctor.arg(program()).current_dir(dir.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains("started in cannot be found"), "{printed}");
}

#[test]
fn the_card_stands_above_the_bar_of_a_terminal_and_sharpens() {
    let _turn = beside_others();
    let dir = tempfile::tempdir().unwrap();
    let arguments = format!("run --tier quick --only clock --out '{}'", dir.path().display());
    let Some(said) = in_terminal("stty rows 40 cols 100; TERM=xterm", &arguments) else { return };
    // Once after each of the three rounds but the last, and at the end.
    assert!(said.matches("Trust").count() >= 3, "{said}");
    assert!(said.contains("round 3/3"), "{said}");
}
