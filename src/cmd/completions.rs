//! `probecard completions SHELL`.

use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Shell to complete for.
    shell: clap_complete::Shell,
}

pub(super) fn run(args: &Args, command: &mut clap::Command) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "probecard", &mut script);
    super::print_as_is(&String::from_utf8(script)?)?;
    Ok(ExitCode::SUCCESS)
}
