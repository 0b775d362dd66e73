//! `probecard export`: a card for other programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use card::summary::Summary;
use clap::ValueEnum;

use crate::export::answer::Answer;
use crate::export::judged::Judged;
use crate::export::{junit, nagios, ndjson, npd, openmetrics, perfetto, prom, superbench};
use crate::{compress, files};

/// For whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Prometheus: a *.prom file for the textfile collector of node_exporter.
    Prom,
    /// OpenMetrics: the same with units and an end.
    Openmetrics,
    /// Nagios, Icinga: a line with performance data; for the exit code see `status`.
    Nagios,
    /// node-problem-detector: a line of 80 bytes at most; for the exit code see `status`.
    Npd,
    /// SuperBench: a flat JSON object for the node.
    Superbench,
    /// A metric on each line, as JSON.
    Ndjson,
    /// JUnit's XML: a case for each metric.
    Junit,
    /// The card without its samples, for `show`, `compare`, `check` and `baseline`.
    Summary,
    /// Perfetto: the rounds on a time line; of a whole card, not of a summary.
    Perfetto,
}

impl Format {
    /// Whether it has a place for what a card was judged to be.
    fn tells_verdicts(self) -> bool {
        use Format::{Junit, Nagios, Npd, Openmetrics, Prom};
        matches!(self, Prom | Openmetrics | Nagios | Npd | Junit)
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// For whom.
    #[arg(long, value_enum)]
    format: Format,
    /// File to write or to replace, whole or not at all, and compressed if it ends in .zst; by default
    /// it is printed.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// What `probecard check --json` said of this card, for formats that have a place for it.
    #[arg(long, value_name = "FILE")]
    judgement: Option<PathBuf>,
    /// The card, or its summary.
    card: PathBuf,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let text = text(args)?;
    if let Some(out) = args.out.as_ref().filter(|out| is_same(out, &args.card)) {
        anyhow::bail!("{} is the card itself: choose another --out", out.display());
    }
    match &args.out {
        None => super::print_as_is(&text)?,
        Some(path) => write(path, &text)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Whole or not at all, and compressed where the name says so.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("zst")) {
        let packed = compress::pack(text.as_bytes())
            .with_context(|| format!("cannot compress {}", path.display()))?;
        files::write(path, &packed)
    } else {
        files::write(path, text.as_bytes())
    }
}

/// A format, and the file that is replaced by each card in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    format: Format,
    file: PathBuf,
}

impl Target {
    /// "prom=/var/lib/node_exporter/probecard.prom".
    pub(super) fn parse(text: &str) -> Result<Target, String> {
        let (format, file) = text
            .split_once('=')
            .filter(|(_, file)| !file.is_empty())
            .ok_or_else(|| format!("'{text}' is not FORMAT=FILE, such as prom=probecard.prom"))?;
        let format = Format::from_str(format, false).map_err(|_| {
            let all = Format::value_variants().iter().filter_map(|f| f.to_possible_value());
            let all: Vec<String> = all.map(|value| value.get_name().to_owned()).collect();
            format!("there is no format '{format}'; choose one of {}", all.join(", "))
        })?;
        Ok(Target { format, file: file.into() })
    }

    /// Puts a card there, with what it was judged to be where the format has a place for it.
    pub(super) fn write(&self, summary: &Summary, judged: &Judged) -> anyhow::Result<()> {
        let Target { format, file } = self;
        let judged = Some(judged).filter(|_| format.tells_verdicts());
        write(file, &in_format(*format, summary, judged)?)
    }
}

/// Whether that is one file, whatever it is called.
fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).ok();
    real(one).is_some_and(|one| Some(one) == real(other))
}

/// A text in which all that is not our own was cleaned.
fn text(args: &Args) -> anyhow::Result<String> {
    let Args { format, judgement, card, .. } = args;
    if let (Some(_), false) = (judgement, format.tells_verdicts()) {
        anyhow::bail!("this format has no place for a judgement: leave out --judgement");
    }
    let summary = Summary::read(card)?;
    let judged = judgement.as_deref().map(|path| judged(path, &summary)).transpose()?;
    in_format(*format, &summary, judged.as_ref()).with_context(|| card.display().to_string())
}

/// The same of a card at hand.
fn in_format(format: Format, summary: &Summary, judged: Option<&Judged>) -> anyhow::Result<String> {
    let answer = || judged.map_or_else(|| Answer::of_card(summary), Answer::of_judgement);
    Ok(match format {
        Format::Prom => prom::text(summary, judged),
        Format::Openmetrics => openmetrics::text(summary, judged),
        Format::Nagios => nagios::text(&answer(), Some(summary)),
        Format::Npd => npd::text(&answer()),
        Format::Superbench => superbench::text(summary),
        Format::Ndjson => ndjson::text(summary),
        Format::Junit => junit::text(summary, judged),
        Format::Summary => card::clean::json(&summary.stored()),
        Format::Perfetto => {
            anyhow::ensure!(
                !summary.card.rounds.is_empty(),
                "it has no round to lay on a time line: a summary has none (name the card that it is \
                 of), nor has a run that was cut off in its first"
            );
            perfetto::text(&summary.card)
        }
    })
}

/// Reads a judgement that is of this card.
fn judged(path: &Path, summary: &Summary) -> anyhow::Result<Judged> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let judged: Judged = serde_json::from_slice(&bytes).with_context(|| {
        format!("{} is not what `probecard check --json` prints", path.display())
    })?;
    anyhow::ensure!(
        judged.runs.contains(&summary.card.header.start),
        "{} is of another card, which began at {}",
        path.display(),
        judged.runs.first().map_or("no time", String::as_str)
    );
    Ok(judged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_format_and_a_file() {
        let target = Target::parse("prom=/a=b/c.prom").unwrap();
        assert_eq!(target, Target { format: Format::Prom, file: "/a=b/c.prom".into() });
        for (wrong, says) in [
            ("prom", "prom=probecard.prom"),
            ("prom=", "FORMAT=FILE"),
            ("", "FORMAT=FILE"),
            ("csv=x", "choose one of prom, openmetrics"),
        ] {
            let error = Target::parse(wrong).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
