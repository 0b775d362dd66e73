//! `probecard show CARD`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::report::text;
use card::summary::Summary;
use card::verdict::{Verdict, Word};

/// What a script may rely on.
pub(super) const CODES: &str = "Exit codes: 0 verdict PASS or CHECK; 1 verdict FAIL: a wrong answer was computed, or \
     a probe failed in half of its rounds or more; 2 the card cannot be read, or has not what was asked for.";

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what"))]
pub(super) struct Args {
    /// The card, or its summary: a *.card.jsonl, *.card.jsonl.zst or *.summary.json file.
    card: PathBuf,
    /// The whole card: every finding, metric, counter and skip.
    #[arg(long, group = "what")]
    all: bool,
    /// Metrics whose id or family matches, such as 'memory.*' or 'branch'.
    #[arg(long, value_name = "GLOB", group = "what")]
    only: Option<String>,
    /// What a finding rests on: rounds, method, what would settle it.
    #[arg(long, value_name = "CODE", group = "what")]
    why: Option<String>,
    /// Markdown for a ticket.
    #[arg(long, group = "what")]
    markdown: bool,
    /// Print one JSON object for programs instead of the text.
    #[arg(long, group = "what")]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let summary = Summary::read(&args.card)?;
    let (width, color) = (super::width(), super::color());
    if args.json {
        show(&summary, &args.card, true)?;
    } else if args.all {
        print(&text::card(&summary, width, color))?;
    } else if let Some(pattern) = &args.only {
        let text = text::only(&summary, pattern, width, color);
        let name = args.card.display();
        print(&text.ok_or_else(|| {
            anyhow::anyhow!(
                "no metric or family of {name} matches '{pattern}'; `probecard list --json` has all"
            )
        })?)?;
    } else if let Some(code) = &args.why {
        let text = text::why(&summary, code, width, color);
        print(&text.ok_or_else(|| {
            let codes = text::codes(&summary);
            let codes = if codes.is_empty() { "none".into() } else { codes.join(", ") };
            anyhow::anyhow!("{} has no finding {code}; it has {codes}", args.card.display())
        })?)?;
    } else if args.markdown {
        super::print_as_is(&text::markdown(&summary))?;
    } else {
        show(&summary, &args.card, false)?;
    }
    Ok(code(&Verdict::of(&summary)))
}

/// What a script learns of the verdict.
pub(super) fn code(verdict: &Verdict) -> ExitCode {
    match verdict.word {
        Word::Pass | Word::Check => ExitCode::SUCCESS,
        Word::Fail => ExitCode::from(1),
    }
}

/// Prints a card in short, or as JSON.
pub(super) fn show(summary: &Summary, path: &Path, json: bool) -> anyhow::Result<()> {
    if json {
        super::print_json(&format!("{:#}\n", card::summary::json(summary)))
    } else {
        let path = path.display().to_string();
        print(&text::brief(summary, &path, super::width(), super::color()))
    }
}

/// A text that was cleaned, in the letters of the reader's locale.
fn print(text: &str) -> anyhow::Result<()> {
    match super::knows_ascii_only() {
        true => super::print_as_is(&text::ascii(text)),
        false => super::print_as_is(text),
    }
}
