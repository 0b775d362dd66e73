//! The first process of an emulated machine: mounts what the program reads, runs it with each of the
//! command lines that the kernel's own ends with, prints what comes of each between two marks, and
//! switches the machine off. A comma parts them; words before a command say how it is run.

mod how;
mod sys;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};

use how::How;

/// How often the card is looked at; rarely, because reading it takes the program's time.
const TICK: Duration = Duration::from_secs(1);

fn main() -> anyhow::Result<()> {
    if let Err(error) = all() {
        println!("emulated-init: {error:#}");
    }
    reboot(RebootMode::RB_POWER_OFF).context("power off")?;
    Ok(())
}

fn all() -> anyhow::Result<()> {
    for (kind, at) in
        [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("tmpfs", "/tmp")]
    {
        mount(Some(kind), at, Some(kind), MsFlags::empty(), None::<&Path>)
            .with_context(|| format!("mounting {at}"))?;
    }
    println!("emulated-init begins");
    let words: Vec<String> = std::env::args().skip(1).collect();
    for (number, words) in words.split(|word| word == ",").enumerate() {
        let (how, arguments) = How::of(words)?;
        let said = match arguments.first().map(String::as_str) {
            Some("run") => measure(&how, arguments, Path::new(&format!("/tmp/run-{number}")))?,
            _ => say(&how, arguments)?,
        };
        println!("-----BEGIN-----\n{said}-----END-----");
    }
    Ok(())
}

/// What the program prints.
fn say(how: &How, arguments: &[String]) -> anyhow::Result<String> {
    let program = start(how, Command::new("/probecard").args(arguments).stdout(Stdio::piped()))?;
    let output = program.wait_with_output()?;
    anyhow::ensure!(output.status.success(), "probecard ended: {}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// The card of a run.
fn measure(how: &How, arguments: &[String], out: &Path) -> anyhow::Result<String> {
    let mut command = Command::new("/probecard");
    command.args(arguments).arg("--out").arg(out).stderr(Stdio::piped());
    let mut program = start(how, &mut command)?;
    let stderr = program.stderr.take().context("its standard error is piped")?;
    let (id, in_second_round) = (program.id(), how.in_second_round);
    let log = std::thread::spawn(move || {
        pass_on(stderr, || in_second_round.map_or(Ok(()), |act| act.on(id)))
    });
    // Page and pictures come of the card alone, and would take most of the machine's time.
    let status = loop {
        if let Some(status) = program.try_wait()? {
            break Some(status);
        }
        if card(out)?.is_some_and(|(_, card)| is_complete(&card)) {
            break None;
        }
        std::thread::sleep(TICK);
    };
    match status {
        Some(status) => println!("probecard ended early: {status}"),
        None => program.kill().context("ending the program")?,
    }
    if let Ok(ended) = log.join() {
        ended?;
    }
    let (path, card) = card(out)?.context("there is no card")?;
    String::from_utf8(card).with_context(|| path.display().to_string())
}

/// The program inherits what this thread is, which goes no further.
fn start(how: &How, command: &mut Command) -> anyhow::Result<Child> {
    let start = move || {
        how.prepare(command)?;
        command.spawn().context("starting /probecard")
    };
    let started = std::thread::scope(|scope| scope.spawn(start).join());
    started.map_err(|_| anyhow::anyhow!("a panic before the start"))?
}

/// Prints what the program says, and acts when it says that its second round begins.
fn pass_on(stderr: ChildStderr, act: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut act = Some(act);
    for line in BufReader::new(stderr).lines() {
        let line = line?;
        println!("{line}");
        if line.starts_with("round 2/")
            && let Some(act) = act.take()
        {
            act()?;
        }
    }
    Ok(())
}

/// The card as far as it is written.
fn card(out: &Path) -> anyhow::Result<Option<(PathBuf, Vec<u8>)>> {
    let Ok(files) = std::fs::read_dir(out) else { return Ok(None) };
    for file in files {
        let path = file?.path();
        if path.to_string_lossy().ends_with(".card.jsonl") {
            let card = std::fs::read(&path)?;
            return Ok(Some((path, card)));
        }
    }
    Ok(None)
}

/// Whether the last line is that of the end.
fn is_complete(card: &[u8]) -> bool {
    let Some(lines) = card.strip_suffix(b"\n") else { return false };
    let last = lines.rsplit(|&byte| byte == b'\n').next();
    last.is_some_and(|line| line.starts_with(br#"{"kind":"end""#))
}
