//! `probecard check`: whether a machine got worse than its baseline.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use card::file::Card;
use card::judge::expect::Expectations;
use card::judge::prior::Prior;
use card::judge::{self, Judgement, Verdict};
use card::summary::Summary;
use jiff::{SignedDuration, Timestamp};

use super::run::{self, parse_time};
use super::{baseline, cards, say};
use crate::report::text;

/// What a script may rely on.
pub(super) const CODES: &str = "Exit codes: 0 same as the baseline; 1 worse, confirmed by a second run, \
     or a wrong answer was computed; 2 cannot judge (no comparable card, a busy machine, wrong usage); \
     3 suspect: worse in one run.";

/// An episode of a busy host may last minutes: a second run must come later than that.
const LATER: SignedDuration = SignedDuration::from_mins(10);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What it is held against: a card, or a directory of cards of when the machine was well.
    #[arg(long, value_name = "CARD|DIR")]
    baseline: PathBuf,
    /// The card to judge; a second one, begun 10 minutes later or more, confirms what the first makes
    /// suspect. Without one, this machine is measured: the baseline's tier on the baseline's CPU.
    #[arg(value_name = "CARD", num_args = 0..=2)]
    cards: Vec<PathBuf>,
    /// If something is suspect, wait so long and measure it again.
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "10m", value_parser = parse_time)]
    confirm: Option<Duration>,
    /// What `probecard learn` has learned of machines like this one, instead of what is built in.
    #[arg(long, value_name = "FILE")]
    prior: Option<PathBuf>,
    /// Absolute limits besides the baseline: a TOML file of [[expect]] with metric, min, max, and, if
    /// only of some processors, a pattern of their name as model.
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
    /// Directory for the card that is measured; by default probecard-<host>-<UTC time>.
    #[arg(long, value_name = "DIR", conflicts_with = "cards")]
    out: Option<PathBuf>,
    /// Print one JSON object for programs instead of the text.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let learned = args.prior.as_deref().map(super::learn::read).transpose()?;
    let prior = learned.as_ref().unwrap_or_else(|| Prior::embedded());
    let limits = args.expect.as_deref().map(expectations).transpose()?;
    let [first, second] = [0, 1].map(|at| args.cards.get(at));
    let given = first.map(|path| Summary::read(path)).transpose()?;
    let dir = match &given {
        Some(card) => baseline::of_machine(&args.baseline, &card.card.header),
        None => baseline::of_this_machine(&args.baseline),
    };
    let baseline = normal(&dir)?;
    let now = match given {
        Some(card) => card,
        None => {
            let plan = &latest(&baseline).card.header.plan;
            Summary::of(run::like(plan, &[], args.out.clone())?)
        }
    };
    let judge = |card: &Summary| -> anyhow::Result<Judgement> {
        let broken = limits.as_ref().map(|limits| limits.broken(card)).transpose();
        let broken = broken.map_err(|why| anyhow::anyhow!("--expect: {why}"))?;
        Ok(judge::judge(&baseline, card, prior).with_limits(broken.unwrap_or_default()))
    };
    let mut judgement = judge(&now)?;
    if judgement.verdict == Verdict::Suspect {
        let again = match (second, args.confirm) {
            (Some(path), _) => {
                Some(Summary::read(path)?).filter(|card| is_later(&card.card, &now.card))
            }
            (None, Some(wait)) => Some(Summary::of(measure_again(&judgement, &now, wait, args)?)),
            (None, None) => None,
        };
        if let Some(again) = again {
            judgement = judgement.confirmed_by(&judge(&again)?);
        }
    }
    if let Some(golden) = baseline::golden(&dir) {
        let drift = judge::judge(&normal(&golden)?, &now, prior);
        judgement = judgement.beside_frozen(&drift);
    }
    if args.json {
        super::print_json(&format!("{:#}\n", serde_json::to_value(&judgement)?))?;
    } else {
        let text = text::judgement::verdict(&judgement, super::width(), super::color());
        super::print_as_is(&text)?;
    }
    Ok(ExitCode::from(code(judgement.verdict)))
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

/// The card that was begun last.
fn latest(cards: &[Summary]) -> &Summary {
    cards.iter().max_by_key(|c| &c.card.header.start).unwrap_or(&cards[0])
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
fn measure_again(
    judgement: &Judgement,
    now: &Summary,
    wait: Duration,
    args: &Args,
) -> anyhow::Result<Card> {
    let headline = text::judgement::headline(judgement);
    say(&format!("{headline}; measuring it again in {} s", wait.as_secs()));
    thread::sleep(wait);
    let only = judgement.suspect_probes(&now.card);
    let out = args.out.as_ref().map(|dir| dir.join("confirm"));
    run::like(&now.card.header.plan, &only, out).context("cannot measure it again")
}
