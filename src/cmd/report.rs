//! `probecard report CARD`.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::report;
use card::file::Card;
use card::summary::Summary;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The card: a *.card.jsonl or *.card.jsonl.zst file.
    card: PathBuf,
    /// Directory for the page and the pictures; by default the card's own.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Overwrite a page and pictures that are already there.
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let card = Card::read(&args.card)?;
    let beside = || args.card.parent().map(PathBuf::from).unwrap_or_default();
    let dir = args.out.clone().unwrap_or_else(beside);
    for path in report::write(&dir, &Summary::of(card), args.force)? {
        super::print(&format!("{}\n", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}
