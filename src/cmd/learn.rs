//! `probecard learn DIR`: what noise is normal.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use card::clean;
use card::format::count;
use card::judge::learn::{Lesson, learn, upper_bound};
use card::judge::prior::Prior;

use super::{cards, say};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Cards of machines that are well, or directories of them: five of a machine and a day, or more.
    #[arg(required = true, value_name = "CARD|DIR")]
    cards: Vec<PathBuf>,
}

/// Prints the table, and on standard error what it is worth.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut cards = Vec::new();
    for path in &args.cards {
        // All of a directory: here more is better.
        let files = if path.is_dir() { cards::files(path)? } else { vec![path.clone()] };
        cards.extend(cards::read(&files)?.cards);
    }
    anyhow::ensure!(cards.len() > 1, "one card tells nothing of how runs differ; name more");
    let header = &cards[0].card.header;
    let (first, last) = (
        cards.iter().map(|c| c.card.header.start.as_str()).min().unwrap_or_default(),
        cards.iter().map(|c| c.card.header.start.as_str()).max().unwrap_or_default(),
    );
    let notes = [
        format!("learned from {} of {}", count(cards.len(), "card"), header.machine.title()),
        format!("{first} to {last}, probecard {} ({})", header.tool.version, header.tool.revision),
    ]
    .map(|note| clean::line(&note));
    let lesson = learn(&cards, notes.to_vec());
    tell(&lesson);
    // Cleaned but for the tabs between its columns.
    super::print_as_is(&lesson.prior.text())?;
    Ok(ExitCode::SUCCESS)
}

/// Names in a list.
const LISTED: usize = 20;

fn tell(lesson: &Lesson) {
    let Lesson { replayed, alarms, blind, two_valued, noisiest, .. } = lesson;
    say(&format!(
        "replayed: each card against the others of its day: {alarms} of {replayed} suspect, at most \
         {:.0} % with 95 % certainty",
        100.0 * upper_bound(*alarms, *replayed)
    ));
    let list = |title: &str, items: &mut dyn Iterator<Item = String>| {
        let items: Vec<String> = items.collect();
        let more = if items.len() > LISTED { ", …" } else { "" };
        if !items.is_empty() {
            let first = &items[..items.len().min(LISTED)];
            say(&format!("{title} ({}): {}{more}", items.len(), first.join(", ")));
        }
    };
    list("too noisy to speak alone", &mut blind.iter().map(|(id, tier)| format!("{id} ({tier})")));
    let share = |(id, share): &(String, f64)| format!("{id} {:.0} %", 100.0 * share);
    list("met at several values, share of the cards", &mut two_valued.iter().map(share));
    list("noisiest, standard deviation of rounds", &mut noisiest.iter().map(share));
}

/// Reads a table.
pub(super) fn read(path: &Path) -> anyhow::Result<Prior> {
    let cannot = || format!("cannot read the prior {}", path.display());
    let text = fs::read_to_string(path).with_context(cannot)?;
    Prior::parse(&text).with_context(|| path.display().to_string())
}
