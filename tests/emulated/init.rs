//! The first process of an emulated machine: mounts what the program reads, runs it with the
//! arguments from the kernel's command line, prints the card between two marks, and switches the
//! machine off.

use std::path::Path;
use std::process::Command;

use anyhow::Context;
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};

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
    let status = Command::new("/probecard")
        .args(std::env::args().skip(1))
        .args(["--out", "/tmp/run"])
        .status()
        .context("starting /probecard")?;
    println!("probecard ended: {status}");
    for file in std::fs::read_dir("/tmp/run").context("reading its output")? {
        let path = file?.path();
        if path.to_string_lossy().ends_with(".card.jsonl") {
            let card = std::fs::read_to_string(&path)?;
            println!("-----BEGIN CARD-----\n{card}-----END CARD-----");
        }
    }
    Ok(())
}
