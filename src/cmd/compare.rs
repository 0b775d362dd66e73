//! `probecard compare OLD... -- NEW...`.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use card::judge::{self, Judgement, Standing};

use super::{cards, say};
use crate::report::text;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Cards of before, or directories of them. With two cards and no `--`, the second is the new one.
    #[arg(required = true, value_name = "OLD")]
    old: Vec<PathBuf>,
    /// Cards of after.
    #[arg(last = true, value_name = "NEW")]
    new: Vec<PathBuf>,
    /// Print one JSON object for programs instead of the text.
    #[arg(long, conflicts_with_all = ["markdown", "csv"])]
    json: bool,
    /// Print a table in Markdown of all metrics.
    #[arg(long, conflicts_with = "csv")]
    markdown: bool,
    /// Print a table in CSV of all metrics.
    #[arg(long)]
    csv: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (old, new) = match (&args.old[..], &args.new[..]) {
        ([old, new], []) => (vec![old.clone()], vec![new.clone()]),
        (_, []) => anyhow::bail!("write the cards of after behind `--`: compare OLD... -- NEW..."),
        (old, new) => (old.to_vec(), new.to_vec()),
    };
    let (old, new) = (cards::read(&old)?, cards::read(&new)?);
    for left_out in old.left_out.iter().chain(&new.left_out) {
        say(&format!("left out: {left_out}"));
    }
    anyhow::ensure!(!new.cards.is_empty(), "no card of after could be read");
    let judgement = judge::compare(&old.cards, &new.cards, judge::prior::Prior::embedded());
    if judgement.baseline == 0 {
        let why = judgement.set_aside.first().map(|aside| format!(": {}", aside.why));
        anyhow::bail!("the cards cannot be compared{}", why.unwrap_or_default());
    }
    anyhow::ensure!(
        judgement.properties_judged > 0 || !judgement.metrics.is_empty(),
        "the cards have nothing that was measured by the same method: measure both with one version of \
         this program"
    );
    if args.json {
        super::print_json(&format!("{:#}\n", serde_json::to_value(&judgement)?))?;
    } else if args.csv {
        super::print(&csv(&judgement))?;
    } else if args.markdown {
        super::print(&markdown(&judgement))?;
    } else {
        let text = text::judgement::comparison(&judgement, super::width(), super::color());
        super::print_as_is(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The word for a standing.
fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Worse => "worse",
        Standing::Better => "better",
        Standing::Within => "within noise",
        Standing::ByTheClock => "explained by the clock",
        Standing::ByNeighbours => "explained by the SMT sibling",
        Standing::TooNoisy => "too noisy",
        Standing::NotJudged => "not judged",
    }
}

const COLUMNS: [&str; 8] =
    ["group", "metric", "unit", "before", "now", "change_percent", "seen_from_percent", "standing"];

/// All metrics as cells.
fn rows(judgement: &Judgement) -> impl Iterator<Item = [String; 8]> {
    judgement.metrics.iter().map(|metric| {
        let change = 100.0 * (metric.now / metric.before - 1.0);
        [
            metric.group.clone(),
            metric.id.clone(),
            metric.unit.symbol().to_owned(),
            card::format::plain(metric.before),
            card::format::plain(metric.now),
            format!("{change:+.2}"),
            format!("{:.2}", 100.0 * metric.limit.exp_m1()),
            word(metric.standing).to_owned(),
        ]
    })
}

fn csv(judgement: &Judgement) -> String {
    let mut text = COLUMNS.join(",") + "\n";
    for row in rows(judgement) {
        let _ = writeln!(text, "{}", row.map(|cell| quoted(&cell)).join(","));
    }
    text
}

/// A cell of CSV: a card from anywhere may declare an id with a comma.
fn quoted(cell: &str) -> String {
    let bare = !cell.contains([',', '"', '\n']);
    if bare { cell.to_owned() } else { format!("\"{}\"", cell.replace('"', "\"\"")) }
}

fn markdown(judgement: &Judgement) -> String {
    let mut text = format!("| {} |\n|{}\n", COLUMNS.join(" | "), "---|".repeat(COLUMNS.len()));
    for row in rows(judgement) {
        let row = row.map(|cell| cell.replace('|', "\\|"));
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_stays_one_whatever_is_in_it() {
        assert_eq!(quoted("idioms.map_ns"), "idioms.map_ns");
        assert_eq!(quoted("idioms.a,b\"c"), "\"idioms.a,b\"\"c\"");
    }
}
