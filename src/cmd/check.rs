//! `probecard check`: whether a machine got worse than its baseline.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use card::file::{Card, Header};
use card::judge::expect::Expectations;
use card::judge::prior::Prior;
use card::judge::{self, Judgement, Verdict};
use card::summary::Summary;
use jiff::{SignedDuration, Timestamp};

use super::run::{self, parse_time};
use super::{baseline, cards, say};
use crate::report::text::{self, judgement::headline};

/// What a script may rely on.
pub(super) const CODES: &str = "Exit codes: 0 same as the baseline; 1 worse, confirmed by a second run, \
     or a wrong answer was computed; 2 cannot judge (no comparable card, a busy machine, wrong usage); \
     3 suspect: worse in one run.";

/// An episode of a busy host may last minutes: a second run must come later than that.
pub(super) const LATER: SignedDuration = SignedDuration::from_mins(10);

/// What a machine is held against.
#[derive(Debug, clap::Args)]
pub(super) struct Against {
    /// What it is held against: a card, or a directory of cards of when the machine was well.
    #[arg(long, value_name = "CARD|DIR")]
    baseline: PathBuf,
    /// What `probecard learn` has learned of machines like this one, instead of what is built in.
    #[arg(long, value_name = "FILE")]
    prior: Option<PathBuf>,
    /// Absolute limits besides the baseline: a TOML file of [[expect]] with metric, min, max, and, if
    /// only of some processors, a pattern of their name as model.
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    against: Against,
    /// The card to judge; a second one, begun 10 minutes later or more, confirms what the first makes
    /// suspect. Without one, this machine is measured: what the baseline measured, on its CPU.
    #[arg(value_name = "CARD", num_args = 0..=2)]
    cards: Vec<PathBuf>,
    /// If something is suspect, wait so long and measure it again.
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "10m", value_parser = parse_time)]
    confirm: Option<Duration>,
    /// Directory for the card that is measured; by default probecard-<host>-<UTC time>.
    #[arg(long, value_name = "DIR", conflicts_with = "cards")]
    out: Option<PathBuf>,
    /// Print one JSON object for programs instead of the text.
    #[arg(long)]
    json: bool,
}

/// A machine's cards of when it was well, and what else it is held against.
pub(super) struct Yardstick {
    cards: Vec<Summary>,
    golden: Option<Vec<Summary>>,
    prior: Cow<'static, Prior>,
    limits: Option<Expectations>,
}

impl Yardstick {
    /// For a card, or for the machine that runs this.
    pub(super) fn of(against: &Against, card: Option<&Summary>) -> anyhow::Result<Yardstick> {
        let dir = match card {
            Some(card) => baseline::of_machine(&against.baseline, &card.card.header),
            None => baseline::of_this_machine(&against.baseline),
        };
        let learned = against.prior.as_deref().map(super::learn::read).transpose()?;
        Ok(Yardstick {
            cards: normal(&dir)?,
            golden: baseline::golden(&dir).map(|golden| normal(&golden)).transpose()?,
            prior: learned.map_or(Cow::Borrowed(Prior::embedded()), Cow::Owned),
            limits: against.expect.as_deref().map(expectations).transpose()?,
        })
    }

    /// Measures this machine as the card was that was begun last: the same probes.
    pub(super) fn measure(&self, out: Option<&Path>, force: bool) -> anyhow::Result<Summary> {
        let latest = self.cards.iter().max_by_key(|c| &c.card.header.start);
        let Header { plan, declarations, .. } = &latest.unwrap_or(&self.cards[0]).card.header;
        let probes: Vec<String> = declarations.iter().map(|d| d.probe.to_string()).collect();
        Ok(Summary::of(run::like(plan, &probes, out, force)?))
    }

    /// What one card says.
    pub(super) fn judge(&self, card: &Summary) -> anyhow::Result<Judgement> {
        let broken = self.limits.as_ref().map(|limits| limits.broken(card)).transpose();
        let broken = broken.map_err(|why| anyhow::anyhow!("--expect: {why}"))?;
        let judgement = judge::judge(&self.cards, card, &self.prior);
        Ok(judgement.with_limits(broken.unwrap_or_default()))
    }

    /// The same beside what the frozen cards say.
    pub(super) fn beside_golden(&self, judgement: Judgement, card: &Summary) -> Judgement {
        match &self.golden {
            Some(golden) => judgement.beside_frozen(&judge::judge(golden, card, &self.prior)),
            None => judgement,
        }
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let [first, second] = [0, 1].map(|at| args.cards.get(at));
    let given = first.map(|path| Summary::read(path)).transpose()?;
    let yardstick = Yardstick::of(&args.against, given.as_ref())?;
    let now = match given {
        Some(card) => card,
        None => yardstick.measure(args.out.as_deref(), false)?,
    };
    let mut judgement = yardstick.judge(&now)?;
    if judgement.verdict == Verdict::Suspect {
        let again = match (second, args.confirm) {
            (Some(path), _) => {
                Some(Summary::read(path)?).filter(|card| is_later(&card.card, &now.card))
            }
            (None, Some(wait)) => {
                say(&format!(
                    "{}; measuring it again in {} s",
                    headline(&judgement),
                    wait.as_secs()
                ));
                thread::sleep(wait);
                let out = args.out.as_ref().map(|dir| dir.join("confirm"));
                Some(measure_again(&judgement, &now, out.as_deref(), false)?)
            }
            (None, None) => None,
        };
        if let Some(again) = again {
            judgement = judgement.confirmed_by(&yardstick.judge(&again)?);
        }
    }
    let judgement = yardstick.beside_golden(judgement, &now);
    if args.json {
        super::print_json(&json(&judgement)?)?;
    } else {
        let text = text::judgement::verdict(&judgement, super::width(), super::color());
        super::print_as_is(&text)?;
    }
    Ok(ExitCode::from(code(judgement.verdict)))
}

/// The object that programs read, with the sentence that a pager shows.
pub(super) fn json(judgement: &Judgement) -> anyhow::Result<String> {
    let mut json = serde_json::to_value(judgement)?;
    json["headline"] = text::judgement::headline(judgement).into();
    Ok(format!("{json:#}\n"))
}

fn expectations(path: &Path) -> anyhow::Result<Expectations> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Expectations::parse(&text).map_err(|why| anyhow::anyhow!("{}: {why}", path.display()))
}

/// The cards of a baseline.
fn normal(path: &Path) -> anyhow::Result<Vec<Summary>> {
    let read = cards::read(&[path.to_owned()])?;
    for left_out in &read.left_out {
        say(&format!("left out of the baseline: {left_out}"));
    }
    anyhow::ensure!(!read.cards.is_empty(), "no card of {} could be read", path.display());
    Ok(read.cards)
}

fn code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Same => 0,
        Verdict::Worse => 1,
        Verdict::CannotJudge => 2,
        Verdict::Suspect => 3,
    }
}

/// Whether a card can confirm another one.
fn is_later(card: &Card, first: &Card) -> bool {
    let start = |card: &Card| card.header.start.parse::<Timestamp>().ok();
    let after = start(first).zip(start(card)).map(|(a, b)| b.duration_since(a));
    let later = after.is_some_and(|after| after >= LATER);
    if !later {
        say(
            "the second card confirms nothing: it was not begun 10 minutes after the first or later",
        );
    }
    later
}

/// Measures what is suspect once more, in new processes and another order.
pub(super) fn measure_again(
    judgement: &Judgement,
    now: &Summary,
    out: Option<&Path>,
    force: bool,
) -> anyhow::Result<Summary> {
    let only = judgement.suspect_probes(&now.card);
    let card = run::like(&now.card.header.plan, &only, out, force);
    Ok(Summary::of(card.context("cannot measure it again")?))
}
