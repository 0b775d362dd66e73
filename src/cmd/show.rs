//! `probecard show CARD`.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::report::text;
use card::summary::Summary;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The card: a *.card.jsonl or *.card.jsonl.zst file.
    card: PathBuf,
    /// Print one JSON object for programs instead of the text.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    show(&Summary::read(&args.card)?, args.json)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a card as text or JSON.
pub(super) fn show(summary: &Summary, json: bool) -> anyhow::Result<()> {
    if json {
        super::print_json(&format!("{:#}\n", card::summary::json(summary)))
    } else {
        super::print_as_is(&text::card(summary, super::width(), super::color()))
    }
}
