//! The first process of an emulated machine: mounts what the program reads, runs it with the
//! arguments from the kernel's command line, prints the card between two marks, and switches the
//! machine off. Arguments that begin with `first-round` end the run as Ctrl-C does when each probe
//! has had its first round: a slow machine has no time for more. Those that begin with `plain-user` run
//! it as one, whom the kernel does not let count.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Where the program puts its files.
const OUTPUT: &str = "/tmp/run";

/// How often the card is looked at; rarely, because reading it takes the program's time.
const TICK: Duration = Duration::from_secs(1);

fn main() -> anyhow::Result<()> {
    if let Err(error) = measure() {
        println!("emulated-init: {error:#}");
    }
    reboot(RebootMode::RB_POWER_OFF).context("power off")?;
    Ok(())
}

fn measure() -> anyhow::Result<()> {
    for (kind, at) in
        [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("tmpfs", "/tmp")]
    {
        mount(Some(kind), at, Some(kind), MsFlags::empty(), None::<&Path>)
            .with_context(|| format!("mounting {at}"))?;
    }
    println!("emulated-init begins");
    let mut arguments = std::env::args().skip(1).peekable();
    let first_round_only = arguments.next_if_eq("first-round").is_some();
    let mut command = Command::new("/probecard");
    if arguments.next_if_eq("plain-user").is_some() {
        // Debian's kernels have a level that forbids everything to everyone.
        std::fs::write("/proc/sys/kernel/perf_event_paranoid", "3")
            .context("forbidding to count")?;
        command.uid(1000).gid(1000);
    }
    let mut program = command
        .args(arguments)
        .args(["--out", OUTPUT])
        .stderr(Stdio::piped())
        .spawn()
        .context("starting /probecard")?;
    let id = Pid::from_raw(i32::try_from(program.id())?);
    let stderr = program.stderr.take().context("its standard error is piped")?;
    let log = std::thread::spawn(move || pass_on(stderr, first_round_only.then_some(id)));
    // Page and pictures come of the card alone, and would take most of the machine's time.
    let status = loop {
        if let Some(status) = program.try_wait()? {
            break Some(status);
        }
        if card()?.is_some_and(|(_, card)| is_complete(&card)) {
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
    let (path, card) = card()?.context("there is no card")?;
    let card = String::from_utf8(card).with_context(|| path.display().to_string())?;
    println!("-----BEGIN CARD-----\n{card}-----END CARD-----");
    Ok(())
}

/// Prints what the program says; interrupts this process when it says that its second round begins.
fn pass_on(stderr: ChildStderr, interrupted: Option<Pid>) -> anyhow::Result<()> {
    for line in BufReader::new(stderr).lines() {
        let line = line?;
        println!("{line}");
        if let Some(id) = interrupted
            && line.starts_with("round 2/")
        {
            kill(id, Signal::SIGINT).context("interrupting it")?;
        }
    }
    Ok(())
}

/// The card as far as it is written.
fn card() -> anyhow::Result<Option<(PathBuf, Vec<u8>)>> {
    let Ok(files) = std::fs::read_dir(OUTPUT) else { return Ok(None) };
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
