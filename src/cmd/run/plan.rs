//! Which probes, in which order, and how long each.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use probecard_probes::catalog;
use probecard_probes::harness::bench::Effort;
use probecard_probes::probe::Probe;

use card::file::Plan;
use card::format::plain;
use card::glob::matches;

/// The probes asked for on the command line.
pub(super) struct Choice<'a> {
    pub(super) only: &'a [String],
    pub(super) skip: &'a [String],
}

impl Choice<'_> {
    /// In the order of the catalog. A pattern that matches nothing is an error.
    pub(super) fn probes(&self) -> anyhow::Result<Vec<&'static Probe>> {
        // Probes that fail on purpose, and those for special occasions, run only when they are named
        // whole.
        let named = |p: &Probe| self.only.iter().any(|g| g == p.name);
        let special = catalog::ASKED.iter().chain(catalog::FAULTS);
        let known: Vec<&Probe> =
            catalog::ALL.iter().chain(special.filter(|p| named(p))).copied().collect();
        for glob in self.only.iter().chain(self.skip) {
            anyhow::ensure!(known.iter().any(|p| matches(glob, p.name)), unknown(glob));
        }
        let wanted = |p: &&Probe| {
            let chosen = self.only.is_empty() || self.only.iter().any(|g| matches(g, p.name));
            chosen && !self.skip.iter().any(|g| matches(g, p.name))
        };
        let probes: Vec<&Probe> = known.iter().copied().filter(wanted).collect();
        anyhow::ensure!(!probes.is_empty(), "--only and --skip leave no probe");
        Ok(probes)
    }
}

/// From here on, a name may be what was meant.
const ALIKE: f64 = 0.75;

fn unknown(glob: &str) -> String {
    let names = catalog::ALL.iter().map(|p| p.name);
    let likeness = |name: &str| strsim::jaro_winkler(name, glob);
    let nearest = names.max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    let hint = nearest.filter(|name| likeness(name) > ALIKE);
    let hint = hint.map(|name| format!(" (did you mean {name}?)")).unwrap_or_default();
    format!("no probe matches '{glob}'{hint}; `probecard list` names them all")
}

/// One round of one probe, or its visit to one CPU.
pub(super) struct Item {
    pub(super) probe: &'static Probe,
    pub(super) round: u32,
    /// The CPU, where a round visits each.
    pub(super) cpu: Option<usize>,
    /// Whether that ends the round.
    pub(super) is_last: bool,
    pub(super) seed: u64,
}

/// All rounds of all probes: every probe once, in random order, then every probe again, so that
/// each probe's rounds are spread over the whole run. Where a round visits each CPU, it does so in a
/// new random order.
pub(super) struct Schedule {
    items: Vec<Item>,
    planned: usize,
}

impl Schedule {
    /// With a `reserve` of memory, those that take it follow each other: between them, it stays the
    /// guest's.
    pub(super) fn new(
        probes: &[&'static Probe],
        rounds: u32,
        seed: u64,
        cpus: &[usize],
        reserve: bool,
    ) -> Schedule {
        let mut rng = fastrand::Rng::with_seed(seed);
        let items: Vec<Item> = (0..rounds)
            .flat_map(|round| {
                let mut order = probes.to_vec();
                rng.shuffle(&mut order);
                if reserve {
                    order.sort_by_key(|probe| probe.takes_memory());
                }
                if round == 0 {
                    // What others use is measured before they use it.
                    order.sort_by_key(|probe| !probe.uses.is_empty());
                }
                let mut items = Vec::new();
                for probe in order {
                    let mut visits = vec![None];
                    if catalog::visits_each_cpu(probe) {
                        visits = cpus.iter().copied().map(Some).collect();
                        rng.shuffle(&mut visits);
                    }
                    let all = visits.len();
                    items.extend(visits.into_iter().enumerate().map(|(done, cpu)| {
                        let (seed, is_last) = (rng.u64(..), done + 1 == all);
                        Item { probe, round, cpu, is_last, seed }
                    }));
                }
                items
            })
            .collect();
        let planned = items.len();
        Schedule { items, planned }
    }

    /// Leaves out rounds that are done.
    pub(super) fn leave_out(&mut self, done: impl Fn(&str, u32) -> bool) {
        self.items.retain(|i| !done(i.probe.name, i.round));
    }

    pub(super) fn items(&self) -> impl Iterator<Item = &Item> {
        self.items.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// What a resumed run still has to do, as a share of the whole.
    pub(super) fn share_left(&self) -> f64 {
        self.items.len() as f64 / self.planned.max(1) as f64
    }

    /// The time of the next round after `done` of them: in proportion to what the probe deserves,
    /// within what is left, and no more than `generosity` times what it deserves.
    pub(super) fn slice(
        &self,
        done: usize,
        left: Duration,
        generosity: f64,
        extras: &Extras,
    ) -> Duration {
        let affordable = self.affordable(done, left, generosity, extras);
        Duration::from_secs_f64(self.items[done].probe.seconds * affordable)
    }

    /// What a round of the probe that does most with its memory would have beside these, if any of
    /// them takes memory.
    pub(super) fn longest_in_memory(&self, left: Duration, generosity: f64) -> Option<Duration> {
        self.items.iter().find(|item| item.probe.takes_memory())?;
        let takers = catalog::ALL.iter().filter(|probe| probe.takes_memory());
        let most = takers.map(|probe| probe.seconds).max_by(f64::total_cmp)?;
        let affordable = self.affordable(0, left, generosity, &Extras::default());
        Some(Duration::from_secs_f64(most * affordable))
    }

    /// What probes get of what they deserve.
    fn affordable(&self, done: usize, left: Duration, generosity: f64, extras: &Extras) -> f64 {
        let rest = &self.items[done..];
        let extra: Duration = rest.iter().map(|i| extras.of(i.probe)).sum();
        let wanted: f64 = rest.iter().map(|i| i.probe.seconds).sum();
        (left.saturating_sub(extra).as_secs_f64() / wanted).min(generosity)
    }
}

impl Schedule {
    /// What the rounds after `done` of them will take: all that is left, or less where no probe
    /// deserves that much.
    pub(super) fn time_left(&self, done: usize, left: Duration, generosity: f64) -> Duration {
        let wanted: f64 = self.items[done..].iter().map(|i| i.probe.seconds).sum();
        Duration::try_from_secs_f64(wanted * generosity).map_or(left, |needed| needed.min(left))
    }
}

/// What rounds take beyond their slices: a child starts, and some fill memory or lay rings, however
/// short the slice.
#[derive(Debug, Default)]
pub(super) struct Extras(HashMap<&'static str, Duration>);

impl Extras {
    /// A round of the probe took so long. What one took longer than another was a hiccup.
    pub(super) fn note(&mut self, probe: &'static Probe, slice: Duration, took: Duration) {
        let extra = took.saturating_sub(slice);
        let least = self.0.entry(probe.name).or_insert(extra);
        *least = extra.min(*least);
    }

    /// To be expected of the next one: what earlier rounds took, though never more than the probe
    /// deserves, or others would pay for a child that hung.
    fn of(&self, probe: &Probe) -> Duration {
        let noted = self.0.get(probe.name).copied().unwrap_or(START);
        noted.min(Duration::from_secs_f64(probe.seconds).max(START))
    }
}

/// What a child process takes to start, pin and settle: 100 to 120 ms on a busy guest.
const START: Duration = Duration::from_millis(100);

/// What it may take longer on a CPU that was idle.
const SETTLE: Duration = Duration::from_millis(60);

/// What a child may take beyond three times its share before it is killed: rings for a large cache
/// take seconds to lay.
const GRACE: Duration = Duration::from_secs(20);

/// Left of the budget for metrics, page and pictures.
pub(super) const REPORT_TIME: Duration = Duration::from_millis(4500);

/// With less than this no round is begun.
const LEAST: Duration = Duration::from_secs(1);

/// When the measuring ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// What the rounds share.
    pub(super) due: Instant,
    /// What rounds may take beyond that: with it, the run is within a tenth of its budget.
    spare: Duration,
}

impl Limits {
    /// Of a run that began then and has that share of its rounds before it.
    pub(super) fn new(began: Instant, budget: Duration, share: f64) -> Limits {
        let due = began + budget.saturating_sub(REPORT_TIME).mul_f64(share);
        Limits { due, spare: budget / 10 + REPORT_TIME / 2 }
    }

    /// How long a round with this slice is waited for, if there is time for one: one that hangs must
    /// leave most of the time to the others.
    pub(super) fn patience(&self, slice: Duration, now: Instant) -> Option<Duration> {
        let left = self.due.saturating_duration_since(now);
        let at_most = (self.due + self.spare).saturating_duration_since(now);
        let grace = GRACE.min((left / 3).max(self.spare / 2));
        (at_most >= LEAST).then(|| (slice * 3 + grace).min(at_most))
    }
}

/// What these probes are given at most, as a multiple of what they deserve in the standard tier: a
/// budget that was asked for is used up; a tier takes no more than it needs.
pub(super) fn generosity(
    tier: Effort,
    allowed: Duration,
    probes: &[&Probe],
    cpus: &[usize],
) -> f64 {
    if allowed == budget(tier, probes, cpus) { needed(tier) } else { f64::INFINITY }
}

/// What a tier needs of what probes deserve in the standard tier.
fn needed(tier: Effort) -> f64 {
    match tier {
        Effort::Quick => 0.4,
        Effort::Standard => 1.0,
        Effort::Thorough => 3.6,
    }
}

/// Rounds of every probe.
pub(super) fn rounds(tier: Effort) -> u32 {
    match tier {
        Effort::Quick => 3,
        Effort::Standard => 5,
        Effort::Thorough => 11,
    }
}

/// What a tier takes at most; visits to many CPUs may need more.
pub(super) fn budget(tier: Effort, probes: &[&Probe], cpus: &[usize]) -> Duration {
    let most = Duration::from_secs(match tier {
        Effort::Quick => 30,
        Effort::Standard => 110,
        Effort::Thorough => 900,
    });
    let visiting = probes.iter().find(|probe| catalog::visits_each_cpu(probe));
    let visits = visiting.map_or(Duration::ZERO, |probe| {
        let each = Duration::from_secs_f64(probe.seconds * needed(tier)) + START + SETTLE;
        each * rounds(tier) * u32::try_from(cpus.len()).unwrap_or(u32::MAX)
    });
    most.max(visits)
}

/// The name of a tier.
pub(super) fn parse_tier(text: &str) -> Result<Effort, String> {
    Effort::named(text).ok_or_else(|| {
        let names = Effort::ALL.map(Effort::name).join(", ");
        format!("there is no tier '{text}'; choose one of {names}")
    })
}

/// "90s", "5m", "1h 30m" or plain seconds.
pub(in crate::cmd) fn parse_time(text: &str) -> Result<Duration, String> {
    let malformed = |_| format!("'{text}' is no time: write 90s, 5m or 1h");
    let time = match text.parse() {
        Ok(seconds) => SignedDuration::try_from_secs_f64(seconds).map_err(malformed)?,
        Err(_) => text.parse::<SignedDuration>().map_err(malformed)?,
    };
    let allowed = !time.is_negative() && BUDGETS.contains(&time.unsigned_abs());
    if allowed { Ok(time.unsigned_abs()) } else { Err(A_RUN_TAKES.into()) }
}

/// What a run may take; see [`BUDGETS`].
const A_RUN_TAKES: &str = "a run takes between 10 s and 24 h";
/// Shorter ones measure nothing, and longer ones are a slip of the pen.
const BUDGETS: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_hours(24);

/// The tier of a plan that a card's header holds, which anyone can have written.
pub(super) fn check(plan: &Plan) -> anyhow::Result<Effort> {
    let tier = parse_tier(&plan.tier).map_err(anyhow::Error::msg)?;
    let planned = rounds(tier);
    anyhow::ensure!(
        plan.rounds == planned,
        "its header says {} rounds, and a {} run has {planned}; begin a new run",
        plan.rounds,
        plan.tier
    );
    let budget = Duration::try_from_secs_f64(plan.budget_s);
    anyhow::ensure!(
        budget.is_ok_and(|budget| BUDGETS.contains(&budget)),
        "its header says a budget of {} s, and {A_RUN_TAKES}; begin a new run",
        plain(plan.budget_s)
    );
    Ok(tier)
}

/// A directory that is there, as an absolute path.
pub(super) fn parse_scratch(text: &str) -> Result<String, String> {
    let cannot = |e: std::io::Error| format!("{e}; make the directory, or name another");
    if !std::fs::metadata(text).map_err(cannot)?.is_dir() {
        return Err("is no directory; name one on the disk that is to be measured".into());
    }
    let path = std::path::absolute(text).map_err(cannot)?;
    path.into_os_string().into_string().map_err(|_| "its full path is not UTF-8".into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn probes(only: &[&str], skip: &[&str]) -> anyhow::Result<Vec<&'static Probe>> {
        let owned = |s: &[&str]| s.iter().map(|&s| s.to_owned()).collect::<Vec<String>>();
        let (only, skip) = (owned(only), owned(skip));
        Choice { only: &only, skip: &skip }.probes()
    }

    fn choose(only: &[&str], skip: &[&str]) -> anyhow::Result<Vec<&'static str>> {
        Ok(probes(only, skip)?.iter().map(|p| p.name).collect())
    }

    #[test]
    fn globs_choose_and_leave_out() {
        assert_eq!(choose(&[], &[]).unwrap().len(), catalog::ALL.len());
        assert_eq!(choose(&["ca*"], &["cache-s*"]).unwrap(), ["cache-line"]);
        assert_eq!(choose(&["no?se"], &[]).unwrap(), ["noise"]);
        assert_eq!(choose(&["fault-hang", "noise"], &[]).unwrap(), ["noise", "fault-hang"]);
        assert_eq!(choose(&["each-cpu", "noise"], &[]).unwrap(), ["noise", "each-cpu"]);
    }

    #[test]
    fn what_others_use_is_measured_first() {
        for (seed, reserve) in (0..20).flat_map(|seed| [(seed, false), (seed, true)]) {
            let schedule = Schedule::new(catalog::ALL, 2, seed, &[], reserve);
            let first: Vec<&Probe> =
                schedule.items().filter(|i| i.round == 0).map(|i| i.probe).collect();
            assert_eq!(first.len(), catalog::ALL.len());
            for (i, probe) in first.iter().enumerate() {
                let declares = |p: &&Probe| {
                    p.declaration().metrics.iter().any(|m| probe.uses.contains(&m.id.as_ref()))
                };
                assert!(!first[i..].iter().any(declares), "{} {seed} {reserve}", probe.name);
            }
        }
    }

    #[test]
    fn with_a_reserve_those_that_take_memory_follow_each_other() {
        let schedule = Schedule::new(catalog::ALL, 3, 7, &[], true);
        let takes: Vec<bool> = schedule.items().map(|i| i.probe.takes_memory()).collect();
        // In the first round, what others use comes before them.
        for round in takes.chunks(catalog::ALL.len()).skip(1) {
            assert!(round.is_sorted() && round.contains(&true) && round.contains(&false));
        }
    }

    #[test]
    fn a_typing_error_gets_the_nearest_name() {
        let error = choose(&["memory-latencie"], &[]).unwrap_err().to_string();
        assert!(error.contains("did you mean memory-latency?"), "{error}");
        for far in ["", "xyz", "1"] {
            let error = choose(&[far], &[]).unwrap_err().to_string();
            assert!(!error.contains("did you mean") && error.contains("probecard list"), "{error}");
        }
        assert!(choose(&["fault-*"], &[]).is_err(), "faults are run by full name only");
        assert!(choose(&[], &["*"]).unwrap_err().to_string().contains("no probe"));
    }

    #[test]
    fn every_probe_once_a_round_and_resuming_leaves_out_what_is_done() {
        let probes: Vec<&Probe> = catalog::ALL.to_vec();
        let mut schedule = Schedule::new(&probes, 3, 42, &[], false);
        assert_eq!(schedule.len(), 3 * probes.len());
        for (i, item) in schedule.items().enumerate() {
            assert_eq!(item.round as usize, i / probes.len());
        }
        schedule.leave_out(|_, round| round < 2);
        assert_eq!(schedule.len(), probes.len());
        assert!((schedule.share_left() - 1.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn a_round_visits_each_cpu_once_in_a_new_order_and_ends_with_the_last() {
        let each: Vec<&Probe> = probes(&[catalog::EACH_CPU], &[]).unwrap();
        let cpus: Vec<usize> = (0..64).collect();
        let schedule = Schedule::new(&each, 3, 7, &cpus, false);
        let orders: Vec<Vec<usize>> = (0..3)
            .map(|round| {
                let of_round: Vec<&Item> = schedule.items().filter(|i| i.round == round).collect();
                let ends = of_round.iter().filter(|i| i.is_last).count();
                assert!(ends == 1 && of_round.last().unwrap().is_last);
                of_round.iter().map(|i| i.cpu.unwrap()).collect()
            })
            .collect();
        assert!(orders[0] != orders[1] && orders[1] != orders[2]);
        for mut order in orders {
            order.sort_unstable();
            assert_eq!(order, cpus);
        }
        // A large machine gets the time that it needs, and a small one no more than ever.
        let many: Vec<usize> = (0..1024).collect();
        let time = |cpus: &[usize]| budget(Effort::Standard, &each, cpus).as_secs_f64();
        assert_eq!(time(&[0, 1]), 110.0);
        assert!((1024.0..=1.75 * 1024.0).contains(&time(&many)), "{}", time(&many));
        assert_eq!(budget(Effort::Standard, catalog::ALL, &many), Duration::from_secs(110));
        // And the larger budget is the tier's own, also as a card holds it.
        for tier in Effort::ALL {
            let own = budget(tier, &each, &many).as_secs_f64();
            let generosity = |allowed| generosity(tier, allowed, &each, &many);
            assert_eq!(generosity(Duration::from_secs_f64(own)), needed(tier));
            assert_eq!(generosity(Duration::from_mins(2)), f64::INFINITY);
        }
    }

    #[test]
    fn slices_add_up_to_the_budget_and_no_tier_takes_more_than_it_needs() {
        let schedule = Schedule::new(catalog::ALL, 5, 1, &[], false);
        let mut left = Duration::from_secs(100);
        let start = Extras::default();
        for done in 0..schedule.len() {
            let slice = schedule.slice(done, left, f64::INFINITY, &start);
            left = left.saturating_sub(slice + START);
        }
        assert!(left < Duration::from_millis(200), "{left:?}");
        let much = Duration::from_secs(100_000);
        let first = schedule.items().next().unwrap().probe.seconds;
        assert_eq!(schedule.slice(0, much, 1.0, &start), Duration::from_secs_f64(first));
        assert_eq!(schedule.slice(0, Duration::ZERO, 1.0, &start), Duration::ZERO);
        let all: f64 = schedule.items().map(|i| i.probe.seconds).sum();
        assert_eq!(schedule.time_left(0, much, 1.0), Duration::from_secs_f64(all));
        assert_eq!(schedule.time_left(0, much, f64::INFINITY), much);
    }

    #[test]
    fn what_a_round_takes_beyond_its_slice_is_set_aside_for_the_next_ones() {
        let schedule = Schedule::new(catalog::ALL, 3, 1, &[], false);
        let budget = Duration::from_secs(30);
        let (mut now, mut extras) = (Duration::ZERO, Extras::default());
        for (done, item) in schedule.items().enumerate() {
            let slice = schedule.slice(done, budget.saturating_sub(now), 0.4, &extras);
            // Some probes have fixed costs, and one child hangs.
            let fixed = START * if item.probe.name.contains("memory") { 6 } else { 1 };
            let took = slice + if done == 7 { START * 30 } else { fixed };
            extras.note(item.probe, slice, took);
            now += took;
        }
        assert!(now < budget.mul_f64(1.01), "{now:?}");
        let probe = catalog::ALL[0];
        assert!(extras.of(probe) <= Duration::from_secs_f64(probe.seconds).max(START));
    }

    #[test]
    fn rounds_that_hang_leave_time_to_others_and_end_with_the_budget() {
        for seconds in [10, 30, 110, 900] {
            let (began, budget) = (Instant::now(), Duration::from_secs(seconds));
            let limits = Limits::new(began, budget, 1.0);
            let first = limits.patience(Duration::from_millis(100), began).unwrap();
            assert!(
                first <= budget / 2 && first >= Duration::from_secs(2),
                "{first:?} of {budget:?}"
            );
            // Each of them is waited for in vain.
            let (mut now, mut rounds) = (began, 0);
            while let Some(wait) = limits.patience(Duration::from_millis(100), now) {
                (now, rounds) = (now + wait, rounds + 1);
            }
            assert!(rounds > 2 && now - began <= budget.mul_f64(1.1), "{rounds} {:?}", now - began);
        }
        // A resumed run with one round to go.
        let began = Instant::now();
        let limits = Limits::new(began, Duration::from_secs(30), 0.01);
        assert!(limits.patience(Duration::ZERO, began).unwrap() > Duration::from_secs(2));
    }

    #[test]
    fn times_have_units_and_limits() {
        for time in ["90s", "1.5m", "1.5min", "90", "0.025h", "1m 30s"] {
            assert_eq!(parse_time(time), Ok(Duration::from_secs(90)), "{time}");
        }
        for (wrong, hint) in [
            ("", "90s, 5m or 1h"),
            ("s", "90s, 5m or 1h"),
            ("5x", "90s, 5m or 1h"),
            ("1.2.3s", "90s, 5m or 1h"),
            ("NaN", "90s, 5m or 1h"),
            ("1e300", "90s, 5m or 1h"),
            ("-3s", "between 10 s and 24 h"),
            ("-3", "between 10 s and 24 h"),
            ("1s", "between 10 s and 24 h"),
            ("999h", "between 10 s and 24 h"),
        ] {
            let error = parse_time(wrong).unwrap_err();
            assert!(error.contains(hint), "{wrong}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_time_or_an_error(text in "\\PC{0,8}") {
            let _ = parse_time(&text);
        }
    }
}
