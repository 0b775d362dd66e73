//! Rounds in fresh processes: a child measures one probe once and writes records to its standard
//! output; whatever becomes of it, the run goes on.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::sys::process;
use card::record::{Fail, FailKind, Record};

/// Most of a child's standard error that is kept: its end.
const STDERR_TAIL: usize = 2000;

/// How often the parent looks at deadline and interrupts; rarely, since it may share a core.
const TICK: Duration = Duration::from_millis(100);

/// How long a child that is late may say nothing: one that talks all the time would never be late.
const PAUSE: Duration = Duration::from_millis(10);

/// How a round ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It measured what it could.
    Done,
    /// It could not be started, crashed, hung, or said something that is no record.
    Failed(Fail),
    /// The run was asked to stop meanwhile.
    Stopped,
}

/// One round to be run: which, and for how long at most.
#[derive(Clone, Debug)]
pub struct Round<'a> {
    /// Id of the probe.
    pub probe: &'a str,
    /// Number of the round.
    pub round: u32,
    /// Handed to the child on its standard input.
    pub assignment: &'a [u8],
    /// After this the child is killed.
    pub deadline: Duration,
}

/// Runs one round in a child process; every record goes to `keep` as soon as it arrives. An error is
/// one of `keep`: whatever becomes of the child is an outcome.
///
/// # Errors
///
/// Those of `keep`, or that the child could not be waited for.
pub fn run(
    mut command: Command,
    round: &Round<'_>,
    stop: &AtomicBool,
    keep: &mut dyn FnMut(Record) -> anyhow::Result<()>,
) -> anyhow::Result<Outcome> {
    let fail = |cause, how: String, stderr: String| {
        let (probe, round) = (round.probe.to_owned(), round.round);
        Ok(Outcome::Failed(Fail { probe, round, cpu: None, cause, how, stderr }))
    };
    // A process group of its own: Ctrl-C reaches the parent alone, which then ends the child.
    command.process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return fail(FailKind::NotStarted, no_start(&error), String::new()),
    };
    // A child that dies at once closes the pipe; its exit status says more than that error.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(round.assignment));
    let readers = readers(&mut child);
    let ended = match &readers {
        Ok(readers) => follow(&readers.lines, round.deadline, stop, keep),
        Err(_) => Ok(Ended::Stopped),
    };
    if !matches!(ended, Ok(Ended::Closed)) {
        // With all that it has started itself; it has not been waited for, so that the number is
        // still its.
        process::kill_group(child.id());
    }
    let status = child.wait()?;
    let Readers { lines, stdout, stderr } = match readers {
        Ok(readers) => readers,
        Err(error) => return fail(FailKind::NotStarted, no_start(&error), String::new()),
    };
    drop(lines);
    // Both threads end with the child, and are gone before the next one needs their place under a
    // limit on processes.
    let _ = stdout.join();
    let stderr = stderr.join().unwrap_or_default();
    match ended? {
        Ended::Stopped => Ok(Outcome::Stopped),
        Ended::Late => {
            let seconds = round.deadline.as_secs_f64();
            let how = format!("gave no result within {seconds:.0} s and was killed");
            fail(FailKind::TimedOut, how, stderr)
        }
        Ended::InvalidRecord(line) => {
            let how = format!("wrote a line that is no record: {line}");
            fail(FailKind::InvalidRecord, how, stderr)
        }
        Ended::Closed if status.success() => Ok(Outcome::Done),
        Ended::Closed => {
            let cause = if status.signal().is_some() { FailKind::Killed } else { FailKind::Failed };
            fail(cause, cause_of_death(status) + &last_words(&stderr), stderr)
        }
    }
}

/// What ended the stream of records.
enum Ended {
    Closed,
    Late,
    Stopped,
    InvalidRecord(String),
}

/// The threads that read what the child says.
struct Readers {
    /// Lines of its standard output as they come.
    lines: Receiver<Vec<u8>>,
    stdout: JoinHandle<()>,
    /// Gives the end of its standard error.
    stderr: JoinHandle<String>,
}

/// Starts reading. Where the limit on threads is used up, there are none.
fn readers(child: &mut Child) -> io::Result<Readers> {
    let missing = || io::Error::from(io::ErrorKind::BrokenPipe);
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (stdout, stderr) = (stdout.ok_or_else(missing)?, stderr.ok_or_else(missing)?);
    let (send, receive) = mpsc::channel();
    let pass_on = move || {
        for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            if send.send(line).is_err() {
                break;
            }
        }
    };
    let stdout = thread::Builder::new().spawn(pass_on)?;
    let stderr = thread::Builder::new().spawn(move || tail(stderr))?;
    Ok(Readers { lines: receive, stdout, stderr })
}

fn follow(
    lines: &Receiver<Vec<u8>>,
    deadline: Duration,
    stop: &AtomicBool,
    keep: &mut dyn FnMut(Record) -> anyhow::Result<()>,
) -> anyhow::Result<Ended> {
    let began = Instant::now();
    loop {
        if stop.load(Ordering::Relaxed) {
            return Ok(Ended::Stopped);
        }
        let late = began.elapsed() > deadline;
        match lines.recv_timeout(if late { PAUSE } else { TICK }) {
            Ok(line) => match serde_json::from_slice(&line) {
                Ok(record) => keep(record)?,
                Err(_) => {
                    let text = String::from_utf8_lossy(&line);
                    return Ok(Ended::InvalidRecord(text.chars().take(200).collect()));
                }
            },
            // Only a child that says nothing is late: what it has said is kept, even if this
            // process was stopped meanwhile.
            Err(RecvTimeoutError::Timeout) if late => return Ok(Ended::Late),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(Ended::Closed),
        }
    }
}

fn tail(mut from: impl Read) -> String {
    let mut bytes = Vec::new();
    // An unreadable end of the log is no reason to lose the rest of it.
    let _ = from.read_to_end(&mut bytes);
    let start = bytes.len().saturating_sub(STDERR_TAIL);
    String::from_utf8_lossy(&bytes[start..]).trim().to_owned()
}

/// Why there was no child, or none that could be listened to. A limit may be used up for a moment
/// alone: the next round may start again.
fn no_start(error: &io::Error) -> String {
    let limit = match error.raw_os_error() {
        Some(libc::EAGAIN) => "; the limit on processes (ulimit -u, pids.max) is used up",
        Some(libc::EMFILE) => "; the limit on open files (ulimit -n) is used up",
        _ => "",
    };
    format!("could not be started: {error}{limit}")
}

/// What a process said at its end, behind a colon.
fn last_words(stderr: &str) -> String {
    // Behind a panic stands how to see more of it.
    let last = stderr.lines().rfind(|line| !line.trim().is_empty() && !line.starts_with("note: "));
    last.map(|words| format!(": {}", words.trim())).unwrap_or_default()
}

/// The exit status in words; the signals that a probe can meet by name.
fn cause_of_death(status: ExitStatus) -> String {
    let name = match status.signal() {
        None => return format!("ended with exit code {}", status.code().unwrap_or(-1)),
        Some(libc::SIGILL) => "SIGILL: an instruction this CPU does not have".to_owned(),
        Some(libc::SIGSEGV) => "SIGSEGV".to_owned(),
        Some(libc::SIGBUS) => "SIGBUS: memory that could not be had".to_owned(),
        Some(libc::SIGKILL) => "SIGKILL: the out-of-memory killer, or someone".to_owned(),
        Some(libc::SIGABRT) => "SIGABRT".to_owned(),
        Some(n) => format!("signal {n}"),
    };
    format!("killed by {name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use card::record::Skip;

    const SKIP: &str = r#"{"kind":"skip","probe":"p","need":"n","reason":"r","remedy":"m"}"#;

    fn shell(script: &str, deadline: Duration) -> (Outcome, Vec<Record>) {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let round = Round { probe: "p", round: 3, assignment: b"hello\n", deadline };
        let mut kept = Vec::new();
        let mut keep = |record| {
            kept.push(record);
            Ok(())
        };
        let outcome = run(command, &round, &AtomicBool::new(false), &mut keep).unwrap();
        (outcome, kept)
    }

    fn failure(script: &str) -> Fail {
        match shell(script, Duration::from_secs(20)).0 {
            Outcome::Failed(fail) => fail,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn records_arrive_and_the_assignment_is_read() {
        let script = format!("read line; test \"$line\" = hello && echo '{SKIP}'");
        let (outcome, kept) = shell(&script, Duration::from_secs(20));
        assert_eq!(outcome, Outcome::Done);
        assert!(matches!(&kept[..], [Record::Skip(Skip { need, .. })] if need == "n"));
    }

    #[test]
    fn a_crash_is_a_row_and_keeps_what_came_before() {
        let script = format!("echo '{SKIP}'; echo oops >&2; kill -SEGV $$");
        let (outcome, kept) = shell(&script, Duration::from_secs(20));
        let Outcome::Failed(fail) = outcome else { panic!("{outcome:?}") };
        assert_eq!((fail.probe.as_str(), fail.round), ("p", 3));
        assert_eq!(fail.how, "killed by SIGSEGV: oops");
        assert_eq!(fail.stderr, "oops");
        assert_eq!(kept.len(), 1);
    }

    #[test]
    fn every_way_to_die_has_a_name() {
        assert!(failure("kill -ILL $$").how.contains("instruction"));
        assert!(failure("kill -KILL $$").how.contains("out-of-memory"));
        assert_eq!(failure("exit 7").how, "ended with exit code 7");
        let why = "echo why >&2; echo >&2; echo 'note: more' >&2; exit 7";
        assert_eq!(failure(why).how, "ended with exit code 7: why");
        assert!(failure("echo hello").how.contains("no record: hello"));
    }

    #[test]
    fn a_child_that_hangs_is_killed() {
        let began = Instant::now();
        let (outcome, _) = shell("exec sleep 600", Duration::from_millis(300));
        assert!(matches!(outcome, Outcome::Failed(fail) if fail.cause == FailKind::TimedOut));
        assert!(began.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_child_that_talks_for_ever_is_late_as_well() {
        let script = format!("while true; do echo '{SKIP}'; sleep 0.05; done");
        let (outcome, kept) = shell(&script, Duration::from_millis(300));
        assert!(matches!(outcome, Outcome::Failed(fail) if fail.cause == FailKind::TimedOut));
        assert!(kept.len() > 1);
    }

    #[test]
    fn what_a_child_has_started_is_killed_with_it() {
        // Only the grandchild holds the standard output when the child is killed.
        let (outcome, kept) = shell(
            &format!("sleep 600 & echo '{SKIP}'; exec sleep 600 >/dev/null 2>&1"),
            Duration::from_millis(300),
        );
        assert!(matches!(outcome, Outcome::Failed(fail) if fail.cause == FailKind::TimedOut));
        assert_eq!(kept.len(), 1);
    }

    #[test]
    fn a_run_that_is_asked_to_stop_ends_its_child() {
        let mut command = Command::new("sh");
        command.args(["-c", "exec sleep 600"]);
        let round =
            Round { probe: "p", round: 0, assignment: b"", deadline: Duration::from_secs(600) };
        let outcome = run(command, &round, &AtomicBool::new(true), &mut |_| Ok(())).unwrap();
        assert_eq!(outcome, Outcome::Stopped);
    }

    #[test]
    fn a_full_disk_ends_the_run_with_its_reason() {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("echo '{SKIP}'; exec sleep 600")]);
        let round =
            Round { probe: "p", round: 0, assignment: b"", deadline: Duration::from_secs(600) };
        let mut keep = |_| Err(anyhow::anyhow!("no space left"));
        let error = run(command, &round, &AtomicBool::new(false), &mut keep).unwrap_err();
        assert!(error.to_string().contains("no space left"));
    }

    #[test]
    fn a_child_that_cannot_be_started_is_a_row_with_its_reason() {
        let round = Round { probe: "p", round: 2, assignment: b"", deadline: Duration::ZERO };
        let command = Command::new("/nonexistent/program");
        let outcome = run(command, &round, &AtomicBool::new(false), &mut |_| Ok(())).unwrap();
        let Outcome::Failed(fail) = outcome else { panic!("{outcome:?}") };
        assert_eq!((fail.probe.as_str(), fail.round), ("p", 2));
        assert!(fail.how.contains("No such file") && !fail.how.contains("limit"), "{}", fail.how);
    }
}
