//! `probecard man`.

use std::process::ExitCode;

pub(super) fn run(command: clap::Command) -> anyhow::Result<ExitCode> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    super::print_as_is(&String::from_utf8(page)?)?;
    Ok(ExitCode::SUCCESS)
}
