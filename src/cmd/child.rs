//! The hidden side of `run`: one round of one probe in a process of its own.

use std::io::{stdin, stdout};
use std::process::ExitCode;

pub(super) fn run() -> anyhow::Result<ExitCode> {
    probecard_probes::run::child::run(stdin().lock(), stdout().lock())?;
    Ok(ExitCode::SUCCESS)
}
