//! How often judging cries wolf: simulated machines without a fault, each with a baseline of five runs, a
//! check, and a second run where something is suspect. `cargo run --release --example false_alarms [N]`
//! tables so many of them (by default 10,000) for noise as it was measured, for noise that is half or
//! twice of what judging has learned, and for disturbed runs; and names what alarmed most often.
//!
//! "At most" is the upper end of the exact interval, with 95 % certainty.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::path::Path;
use std::thread;

use anyhow::Context;
use card::judge::learn::upper_bound;
use card::judge::prior::Prior;
use card::judge::{CONFIRMS, Judgement, Standing, Verdict, judge};
use card::simulate::{MEASURED, Simulator, Weather};
use card::summary::Summary;

/// The card that the machines are like.
const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/card/tests/cards/x86_64.card.jsonl.zst");

/// Cards of a baseline.
const BASELINE: usize = 5;

/// What is named of that which alarmed.
const NAMED: usize = 8;

/// What was seen of so many machines.
#[derive(Default)]
struct Seen {
    checks: usize,
    suspect: usize,
    confirmed: usize,
    better: usize,
    better_again: usize,
    not_judged: usize,
    /// Groups and metrics that were worse in the first run.
    alarms: BTreeMap<String, usize>,
}

impl AddAssign for Seen {
    fn add_assign(&mut self, other: Seen) {
        self.checks += other.checks;
        self.suspect += other.suspect;
        self.confirmed += other.confirmed;
        self.better += other.better;
        self.better_again += other.better_again;
        self.not_judged += other.not_judged;
        for (id, times) in other.alarms {
            *self.alarms.entry(id).or_default() += times;
        }
    }
}

fn main() -> anyhow::Result<()> {
    let checks = match std::env::args().nth(1) {
        Some(number) => number.parse().with_context(|| format!("'{number}' is no number"))?,
        None => 10_000,
    };
    let model = Summary::read(Path::new(MODEL))?;
    let quiet = Weather { disturbed: 0.0, ..MEASURED };
    let weathers = [
        ("as measured, undisturbed", quiet),
        ("rounds half as noisy", Weather { rounds: 0.5, ..quiet }),
        ("rounds twice as noisy", Weather { rounds: 2.0, ..quiet }),
        ("sessions half as different", Weather { sessions: 0.5, ..quiet }),
        ("sessions twice as different", Weather { sessions: 2.0, ..quiet }),
        ("every tenth run disturbed", MEASURED),
        ("every other run disturbed", Weather { disturbed: 0.5, ..quiet }),
    ];
    println!(
        "| noise | checks | suspect | at most | confirmed | at most | better | at most | in both | at most | not judged |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    let mut named = String::new();
    for (title, weather) in weathers {
        let seen = all(&model, weather, checks);
        let rate =
            |alarms: usize| format!("{alarms} | {:.3} %", 100.0 * upper_bound(alarms, seen.checks));
        println!(
            "| {title} | {} | {} | {} | {} | {} | {} |",
            seen.checks,
            rate(seen.suspect),
            rate(seen.confirmed),
            rate(seen.better),
            rate(seen.better_again),
            seen.not_judged
        );
        let mut alarms: Vec<(String, usize)> = seen.alarms.into_iter().collect();
        alarms.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
        let most = alarms.iter().take(NAMED).map(|(id, times)| format!("{id} {times}"));
        named += &format!("{title}: {}\n", most.collect::<Vec<_>>().join(", "));
    }
    println!("\nWhat alarmed most often, in first runs:\n\n{named}");
    Ok(())
}

/// So many machines, on all CPUs.
fn all(model: &Summary, weather: Weather, checks: u64) -> Seen {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let share = |first: usize| {
            let mut seen = Seen::default();
            for seed in (first as u64..checks).step_by(threads) {
                seen += one(model, weather, seed);
            }
            seen
        };
        let shares: Vec<_> = (0..threads).map(|first| scope.spawn(move || share(first))).collect();
        let mut all = Seen::default();
        for share in shares {
            all += share.join().expect("it computes");
        }
        all
    })
}

/// A machine that is as it was.
fn one(model: &Summary, weather: Weather, seed: u64) -> Seen {
    let mut machine = Simulator::new(model, Prior::embedded(), weather, seed);
    let baseline: Vec<Summary> = (0..BASELINE).map(|_| machine.run().clone()).collect();
    let mut judged = || judge(&baseline, machine.run(), Prior::embedded());
    let (first, again) = (judged(), judged());
    let better = changes(&first, Standing::Better);
    let both_better = better.iter().any(|(id, limit)| {
        let again = change(&again, id);
        again.is_some_and(|change| change <= -CONFIRMS * limit)
    });
    let suspect = first.verdict == Verdict::Suspect;
    Seen {
        checks: 1,
        suspect: usize::from(suspect),
        better: usize::from(!better.is_empty()),
        better_again: usize::from(both_better),
        not_judged: usize::from(first.verdict == Verdict::CannotJudge),
        alarms: changes(&first, Standing::Worse).into_iter().map(|(id, _)| (id, 1)).collect(),
        confirmed: usize::from(first.confirmed_by(&again).verdict == Verdict::Worse),
    }
}

/// The groups and metrics that stand so, with their limits.
fn changes(judgement: &Judgement, standing: Standing) -> Vec<(String, f64)> {
    let groups = judgement.groups.iter().filter(|group| group.standing == standing);
    let groups = groups.map(|group| (format!("group {}", group.id), group.limit));
    let metrics = judgement.metrics.iter().filter(|metric| metric.standing == standing);
    groups.chain(metrics.map(|metric| (metric.id.clone(), metric.limit))).collect()
}

/// By how much a group or a metric changed.
fn change(judgement: &Judgement, id: &str) -> Option<f64> {
    match id.strip_prefix("group ") {
        Some(group) => judgement.groups.iter().find(|known| known.id == group)?.change,
        None => Some(judgement.metrics.iter().find(|metric| metric.id == id)?.change),
    }
}
