//! `probecard report CARD...`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::report;
use card::file::Card;
use card::summary::Summary;

/// Cards that a page can show side by side.
const MOST: usize = report::plots::beside::MOST;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The card: a *.card.jsonl or *.card.jsonl.zst file. Of two to eight cards or summaries a page
    /// that holds the others against the first.
    #[arg(required = true, value_name = "CARD")]
    cards: Vec<PathBuf>,
    /// Directory for the page and the pictures; by default that of the first card.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Overwrite a page and pictures that are already there.
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let beside = || args.cards[0].parent().map(Path::to_owned).unwrap_or_default();
    let dir = args.out.clone().unwrap_or_else(beside);
    let written = if let [card] = &args.cards[..] {
        report::write(&dir, &Summary::of(Card::read(card)?), args.force)?
    } else {
        anyhow::ensure!(
            args.cards.len() <= MOST,
            "{} cards are too many for one page: give {MOST} at most, or `compare OLD... -- NEW...` sets \
             of cards",
            args.cards.len()
        );
        let cards: Vec<Summary> =
            args.cards.iter().map(|card| Summary::read(card)).collect::<Result<_, _>>()?;
        vec![report::write_comparison(&dir, &cards, args.force)?]
    };
    for path in written {
        super::print(&format!("{}\n", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}
