//! `probecard report CARD`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use crate::card::Card;
use crate::report::{self, Summary};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The card: a *.card.jsonl or *.card.jsonl.zst file.
    card: PathBuf,
    /// Directory for the page and the pictures; by default the card's own.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Overwrite a page that is already there.
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let card = Card::read(&args.card)?;
    let beside = || args.card.parent().map(PathBuf::from).unwrap_or_default();
    let dir = args.out.clone().unwrap_or_else(beside);
    let page = dir.join("report.html");
    anyhow::ensure!(
        args.force || !page.exists(),
        "{} exists; add --force to overwrite it, or choose another --out",
        page.display()
    );
    std::fs::create_dir_all(&dir)
        .with_context(|| format!("cannot make {}; choose another --out", dir.display()))?;
    for path in report::write(&dir, &Summary::of(card))? {
        super::print(&format!("{}\n", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}
