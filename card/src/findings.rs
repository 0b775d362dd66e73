//! What a card says besides its numbers: claims that do not hold, what limits the machine, advice for
//! code, and how far the measurement can be trusted. Each as data, for text, page, exports and verdict.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::declare::Unit;
use crate::file::Card;
use crate::format;
use crate::machine::{Machine, Microarchitecture, format_list};
use crate::metrics::{Metrics, State};
use crate::record::{Fail, FailKind, Strayed};

mod branch;
mod caches;
mod clock;
mod coherence;
mod core_window;
mod counter_findings;
mod each_cpu;
mod idioms;
mod locks;
mod memory;
mod network;
mod noise;
mod os;
mod published;
mod scaling;
mod storage;
mod switches;
mod vcpus;
mod vectors;

pub use caches::{level_ends, size_ids};
pub use memory::one_core;
pub use network::own_peer;
pub use storage::unknown_disk;

/// What a finding is about, in the order in which people read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Something that the machine claims, or is expected to do, and does not.
    Claim,
    /// What keeps this machine from being faster.
    Limit,
    /// What code gains here by being written otherwise.
    Advice,
    /// How far the measurement can be trusted.
    Quality,
}

impl Group {
    /// All of them, in their order.
    pub const ALL: [Group; 4] = [Group::Claim, Group::Limit, Group::Advice, Group::Quality];

    /// The heading for people.
    pub const fn title(self) -> &'static str {
        match self {
            Group::Claim => "Claims that do not hold",
            Group::Limit => "What limits this machine",
            Group::Advice => "Advice for code",
            Group::Quality => "Measurement quality",
        }
    }

    /// The word in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Group::Claim => "claim",
            Group::Limit => "limit",
            Group::Advice => "advice",
            Group::Quality => "quality",
        }
    }
}

/// The code of a computed answer that was wrong.
pub const WRONG_ANSWER: &str = "WRONG_ANSWER";

/// One thing worth knowing. One cause is one finding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable name of its kind, such as `L3_CAPACITY`.
    pub code: String,
    /// What it is about.
    pub group: Group,
    /// The finding in at most fourteen words, with its number.
    pub headline: String,
    /// What is claimed, for the first column of a table: `L3 32 MiB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed: Option<String>,
    /// What was measured, for the column beside it: `4 to 8 MiB usable`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<String>,
    /// How many times as long code takes that does otherwise; none where advice is to leave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
    /// The spread between rounds of the first metric of the evidence, in the unit in which that is
    /// printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// Why it is so, or most likely so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The metrics it rests on.
    #[serde(default)]
    pub evidence: Vec<String>,
}

impl Finding {
    fn new(group: Group, code: &str, headline: impl Into<String>) -> Finding {
        Finding {
            code: code.into(),
            group,
            headline: headline.into(),
            claimed: None,
            measured: None,
            factor: None,
            interval: None,
            cause: None,
            action: None,
            evidence: Vec::new(),
        }
    }

    fn claim(
        code: &str,
        headline: impl Into<String>,
        claimed: impl Into<String>,
        measured: impl Into<String>,
    ) -> Finding {
        let (claimed, measured) = (Some(claimed.into()), Some(measured.into()));
        Finding { claimed, measured, ..Finding::new(Group::Claim, code, headline) }
    }

    fn limit(code: &str, headline: impl Into<String>) -> Finding {
        Finding::new(Group::Limit, code, headline)
    }

    /// What to do, and how many times as long it takes otherwise.
    fn advice(code: &str, headline: impl Into<String>, factor: f64, action: &str) -> Finding {
        let factor = Some(factor);
        Finding { factor, ..Finding::new(Group::Advice, code, headline).action(action) }
    }

    /// What guides warn of, and makes no difference here.
    fn no_gain(code: &str, headline: impl Into<String>) -> Finding {
        Finding::new(Group::Advice, code, headline)
    }

    fn quality(code: &str, headline: impl Into<String>) -> Finding {
        Finding::new(Group::Quality, code, headline)
    }

    fn cause(self, cause: impl Into<String>) -> Finding {
        Finding { cause: Some(cause.into()), ..self }
    }

    fn action(self, action: impl Into<String>) -> Finding {
        Finding { action: Some(action.into()), ..self }
    }

    fn of(self, evidence: &[&str]) -> Finding {
        Finding { evidence: evidence.iter().map(|&id| id.to_owned()).collect(), ..self }
    }

    /// Headline, cause and action in one line.
    pub fn text(&self) -> String {
        let cause = self.cause.as_ref().map_or(String::new(), |cause| format!(": {cause}"));
        let action = self.action.as_ref().map_or(String::new(), |action| format!("; {action}"));
        format!("{}{cause}{action}", self.headline)
    }
}

/// `2.4×`, `34×`.
pub fn times(ratio: f64) -> String {
    if ratio < 9.5 { format!("{ratio:.1}×") } else { format!("{ratio:.0}×") }
}

/// A metric as it stands on every report: with its unit, and to the digit that its rounds agree on.
fn shown(metrics: &Metrics, id: &str) -> String {
    metrics.get(id).map(format::measured).unwrap_or_default()
}

/// The noun that a summary begins with, in a headline: what is before its colon, or its first words.
fn noun(summary: &str) -> String {
    const MOST: usize = 7;
    let noun = summary.split(':').next().unwrap_or_default();
    let words: Vec<&str> = noun.split_whitespace().collect();
    match words.get(..MOST) {
        Some(first) if words.len() > MOST => format!("{}…", first.join(" ")),
        _ => words.join(" "),
    }
}

/// Everything worth saying of a card, by group.
pub fn find(card: &Card, metrics: &Metrics) -> Vec<Finding> {
    let mut found = failures(card);
    found.extend(each_cpu::find(card));
    found.extend(caches::find(card, metrics));
    found.extend(memory::find(card, metrics));
    found.extend(vcpus::find(card, metrics));
    found.extend(storage::find(card, metrics));
    found.extend(clock::find(card, metrics));
    found.extend(os::find(card, metrics));
    found.extend(switches::find(card, metrics));
    found.extend(idioms::find(metrics));
    found.extend(coherence::find(card, metrics));
    found.extend(vectors::find(metrics));
    found.extend(scaling::find(card));
    found.extend(locks::find(metrics));
    found.extend(branch::find(card, metrics));
    found.extend(core_window::find(card, metrics));
    found.extend(published::cycles(card, metrics));
    found.extend(noise::find(card, metrics));
    found.extend(counter_findings::find(card));
    found.extend(network::find(card, metrics));
    found.extend(placement(card));
    // Of advice, what gains most comes first.
    let gain = |f: &Finding| f.factor.unwrap_or(f64::NEG_INFINITY);
    found.sort_by(|a, b| a.group.cmp(&b.group).then(gain(b).total_cmp(&gain(a))));
    for finding in &mut found {
        finding.interval = interval(finding, metrics);
    }
    found
}

/// The spread of the first metric of the evidence, unless it is not what the finding is about.
fn interval(finding: &Finding, metrics: &Metrics) -> Option<String> {
    let first = metrics.get(finding.evidence.first()?)?;
    let about = finding.group != Group::Advice || first.unit == Unit::Ratio;
    let spread = about && first.low < first.high;
    spread.then(|| format::interval(first)).filter(|interval| interval.contains('–'))
}

/// The machine, as long as what it claims is claimed of the CPU that was measured: with cores of
/// several kinds, the card must say so of that very CPU.
fn claims(card: &Card) -> Option<&Machine> {
    let (machine, plan) = (&card.header.machine, &card.header.plan);
    let own = plan.pinned && machine.cpu.number == plan.cpu;
    (own || machine.kinds().len() < 2).then_some(machine)
}

/// The design of the CPU that was measured, by which values are published.
pub(crate) fn design(card: &Card) -> Option<&Microarchitecture> {
    claims(card)?.cpu.microarchitecture.known()
}

/// The number, unless two methods disagree on it.
fn believed(metrics: &Metrics, id: &str) -> Option<f64> {
    let value = metrics.get(id).filter(|v| matches!(v.state, State::Ok | State::Noisy))?;
    value.value.filter(|v| v.is_finite() && *v > 0.0)
}

/// Whether an answer was wrong, how many rounds were lost, how, and the probe where it visits each CPU.
type Case<'a> = (bool, usize, &'a str, Option<&'a str>);

/// Wrong answers, and probes that did not come to their end.
fn failures(card: &Card) -> Vec<Finding> {
    let mut by_probe: BTreeMap<(&str, Option<usize>), Vec<&Fail>> = BTreeMap::new();
    for fail in &card.fails {
        by_probe.entry((&fail.probe, fail.cpu)).or_default().push(fail);
    }
    // What befell several probes alike, or several CPUs, is said once; wrong answers come first.
    let mut alike: BTreeMap<Case<'_>, Vec<(&str, Option<usize>)>> = BTreeMap::new();
    for ((probe, cpu), fails) in by_probe {
        let wrong = fails.iter().find(|f| f.cause == FailKind::Corruption);
        let how = &wrong.unwrap_or(&fails[0]).how;
        let visitor = cpu.map(|_| probe);
        alike.entry((wrong.is_none(), fails.len(), how, visitor)).or_default().push((probe, cpu));
    }
    let rounds = card.header.plan.rounds;
    let finding = |((right, count, how, visitor), all): (Case<'_>, Vec<(&str, Option<usize>)>)| {
        let who = match visitor {
            Some(probe) => {
                let cpus: Vec<usize> = all.iter().filter_map(|&(_, cpu)| cpu).collect();
                format!("{probe} on {}", cpu_names(&card.header.machine, &cpus))
            }
            None => listed(&all.iter().map(|&(probe, _)| probe).collect::<Vec<&str>>()),
        };
        if right {
            let headline = format!("{who} failed in {count} of {rounds} rounds");
            return Finding::quality("PROBE_FAILED", headline).cause(how);
        }
        let measured = format!("wrong answer in {count} of {rounds} rounds");
        Finding::claim(WRONG_ANSWER, format!("{who}: {measured}"), "right answers", measured)
            .cause(how)
            .action("take the machine out of service; `probecard run --each-cpu` names the CPU")
    };
    alike.into_iter().map(finding).collect()
}

/// Names that stand in a headline.
const MOST_NAMES: usize = 4;

/// The names, or the first of them where they are many.
fn listed(names: &[&str]) -> String {
    match names.get(MOST_NAMES..) {
        Some(rest) if !rest.is_empty() => {
            format!("{} and {} more", names[..MOST_NAMES].join(", "), rest.len())
        }
        _ => names.join(", "),
    }
}

/// Each by its name, or a range where they are many.
fn cpu_names(machine: &Machine, cpus: &[usize]) -> String {
    if cpus.len() > MOST_NAMES {
        return format!("{} CPUs ({})", cpus.len(), format_list(cpus));
    }
    cpus.iter().map(|&cpu| machine.cpu_name(cpu)).collect::<Vec<String>>().join(", ")
}

/// Where it ran, and where not.
fn placement(card: &Card) -> Vec<Finding> {
    let plan = &card.header.plan;
    let unpinned = (!plan.pinned).then(|| {
        Finding::quality("NOT_PINNED", "not pinned to a CPU").cause(plan.cpu_reason.clone())
    });
    let strayed = card.points.iter().filter_map(|p| p.disturbances.strayed);
    let moved = strayed.reduce(|a, b| Strayed { samples: a.samples + b.samples, ..b });
    let moved = moved.map(|moved| {
        let headline = format!("{} samples ran on another CPU and were set aside", moved.samples);
        Finding::quality("LEFT_ITS_CPU", headline).cause(moved.to_string())
    });
    let class = plan.left_class.as_ref().map(|class| {
        Finding::quality(
            "REAL_TIME_CLASS",
            format!("started under {class} and measured under SCHED_OTHER"),
        )
        .cause("a thread that spins in a real-time class keeps the others from its CPU")
    });
    [unpinned, moved, class].into_iter().flatten().collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use crate::declare::{Better, NoiseClass};

    use super::branch::{PIPELINE, SLOPE};
    use super::clock::{L1_CHASE, MUL_ADD, MULTIPLY, TSC};
    use super::noise::{GAPS, SIBLING};
    use super::*;
    use crate::file::RoundDone;
    use crate::fixture::{self, blank, point};
    use crate::machine::{CoreKind, CpuQuota, Fact, Throttled, TscClaim};
    use crate::metrics::{Grade, Value};

    pub(crate) fn value(id: &str, unit: Unit, number: f64) -> Value {
        Value {
            id: id.into(),
            each_round: Vec::new(),
            report_only: None,
            only_differs: false,
            value: Some(number),
            low: Some(number),
            high: Some(number),
            unit,
            state: State::Ok,
            grade: Some(Grade::Within5),
            states: Vec::new(),
            reason: None,
            family: "f".into(),
            tier: NoiseClass::T1,
            better: Better::Lower,
            rounds: 5,
            probe: "p".into(),
            summary: "what it says".into(),
        }
    }

    /// What is said of a Zen 5 guest with 48 KiB, 1 MiB and 32 MiB of cache and these metrics.
    pub(crate) fn said(values: Vec<Value>) -> Vec<String> {
        find(&blank("test"), &Metrics(values)).into_iter().map(|f| f.text()).collect()
    }

    pub(crate) fn kib(n: f64) -> f64 {
        n * 1024.0
    }

    #[test]
    fn nothing_is_said_of_a_machine_that_keeps_its_claims() {
        let values = vec![
            value(MUL_ADD, Unit::Ratio, 3.001),
            value(L1_CHASE, Unit::Cycles, 4.003),
            value("cache.l1d_knee_bytes", Unit::Bytes, kib(48.0)),
            value("cache.l2_knee_bytes", Unit::Bytes, kib(861.0)),
            value("cache.l3_knee_bytes", Unit::Bytes, kib(33.0 * 1024.0)),
            value("memory.latency.l1_cycles", Unit::Cycles, 4.01),
            value(PIPELINE, Unit::Cycles, 15.0),
            value(SLOPE, Unit::Ratio, 0.98),
            value(SIBLING, Unit::Ratio, 0.001),
            value(GAPS, Unit::Ratio, 0.0005),
        ];
        assert_eq!(said(values), [] as [String; 0]);
    }

    #[test]
    fn a_clock_that_cannot_be_right_is_a_warning() {
        let text = said(vec![value(MUL_ADD, Unit::Ratio, 2.63)]).join("\n");
        assert!(text.contains("2.630 adds"), "{text}");
        let text = said(vec![value(L1_CHASE, Unit::Cycles, 4.5)]).join("\n");
        assert!(text.contains("no whole number"), "{text}");
        // Where it takes another number of cycles, that many additions are right.
        let of = |cycles, ratio| {
            let multiply = value(MULTIPLY, Unit::Cycles, cycles);
            said(vec![multiply, value(MUL_ADD, Unit::Ratio, ratio)]).join("\n")
        };
        assert!(!of(5.0, 4.999).contains("additions"));
        assert!(of(5.0, 4.83).contains("4.830 adds, not 5"));
        // A noisy value proves nothing.
        let noisy = Value { state: State::Noisy, ..value(MUL_ADD, Unit::Ratio, 2.63) };
        assert_eq!(said(vec![noisy]), [] as [String; 0]);
    }

    #[test]
    fn a_multiplication_is_held_against_what_is_published() {
        let text = said(vec![value(MULTIPLY, Unit::Cycles, 5.0)]).join("\n");
        assert!(text.contains("5.00 cycles, published 3 (Zen 5 (Turin))"), "{text}");
        assert_eq!(said(vec![value(MULTIPLY, Unit::Cycles, 3.0)]), [] as [String; 0]);
    }

    #[test]
    fn a_clock_that_is_not_known_is_a_warning_with_its_reason() {
        let doubtful = Value {
            state: State::Inconsistent,
            reason: Some("3.00 to 5.00 additions".into()),
            ..value(MULTIPLY, Unit::Cycles, 5.0)
        };
        let text = said(vec![doubtful, value(MUL_ADD, Unit::Ratio, 3.9)]).join("\n");
        assert!(text.contains("not known") && text.contains("3.00 to 5.00"), "{text}");
        assert!(!text.contains("published") && !text.contains("not 5"), "{text}");
    }

    #[test]
    fn noise_and_the_hidden_sibling_are_named() {
        let text = said(vec![value(SIBLING, Unit::Ratio, 0.3)]).join("\n");
        assert!(text.contains("active 30 % of the time"), "{text}");
        let text = said(vec![value(GAPS, Unit::Ratio, 0.025)]).join("\n");
        assert!(text.contains("2.5 % of the CPU's time lost"), "{text}");
    }

    #[test]
    fn claims_are_held_only_against_the_cpu_that_they_are_of() {
        let found = |card: &Card| {
            let short = vec![value("cache.l3_knee_bytes", Unit::Bytes, kib(6.0 * 1024.0))];
            find(card, &Metrics(short)).iter().any(|f| f.code == "L3_CAPACITY")
        };
        let mut card = blank("test");
        let kind = |cpus: &[usize]| CoreKind { cpus: cpus.to_vec(), ..CoreKind::default() };
        (card.header.machine.cpu.number, card.header.plan.cpu) = (0, 1);
        assert!(found(&card), "a card that knows no kinds");
        card.header.machine.cpu.kinds = Fact::Known(vec![kind(&[0, 1])]);
        assert!(found(&card), "all CPUs are alike");
        card.header.machine.cpu.kinds = Fact::Known(vec![kind(&[0]), kind(&[1])]);
        assert!(!found(&card), "another kind");
        card.header.machine.cpu.number = 1;
        assert!(found(&card));
        card.header.plan.pinned = false;
        assert!(!found(&card), "it ran where it liked");
    }

    #[test]
    fn a_figure_of_convention_is_no_claim_of_the_counters_rate() {
        let said = |source: &str, hz: u64| {
            let mut card = blank("test");
            let claim = TscClaim { hz, source: source.into() };
            card.header.machine.cpu.tsc = Fact::Known(vec![claim]);
            let found = find(&card, &Metrics(vec![value(TSC, Unit::Ghz, 2.6)]));
            found.iter().any(|f| f.code == "TSC_RATE")
        };
        assert!(said("CPUID 15h", 1_300_000_000));
        assert!(!said("BogoMIPS / 2", 1_300_000_000));
        assert!(said("BogoMIPS / 2", 2_500_000_000));
    }

    #[test]
    fn an_own_quota_is_named_before_the_host_is_blamed() {
        let mut card = blank("test");
        let quota = CpuQuota { cpus: 0.5, source: "cgroup cpu.max /q".into() };
        card.header.machine.limits.cpu_quota = Fact::Known(Some(quota));
        let throttled = Throttled { times: 13, seconds: 1.25 };
        let done = |round| RoundDone {
            probe: "noise".into(),
            round,
            start_s: None,
            wall_s: 1.0,
            throttled,
        };
        card.rounds = (0..5).map(done).collect();
        let metrics = Metrics(vec![value(GAPS, Unit::Ratio, 0.473)]);
        let texts: Vec<String> = find(&card, &metrics).into_iter().map(|f| f.text()).collect();
        let text = texts.join("\n");
        let own = "this group's own CPU quota of 0.5 CPU (cgroup cpu.max /q) stopped it 65 times";
        assert!(
            text.contains("47.3 % of the CPU's time lost to gaps above 1 µs: this group's own CPU")
        );
        assert!(text.contains(&format!("for 6.2 s of its threads' time: {own}")), "{text}");
        assert!(!text.contains("hypervisor"), "{text}");
    }

    #[test]
    fn what_befell_several_probes_is_said_once_and_who_was_moved_is_told() {
        let mut card = blank("test");
        for (probe, round) in [("clock", 1), ("clock", 2), ("noise", 1), ("noise", 2), ("tlb", 2)] {
            let (how, stderr, cpu) = ("not pinned to CPU 1".to_owned(), String::new(), None);
            let probe = probe.to_owned();
            card.fails.push(Fail { probe, round, cpu, cause: FailKind::Failed, how, stderr });
        }
        let mut moved = point("noise", "gap_ratio", 0, Unit::Ratio, vec![]);
        moved.disturbances.strayed = Some(Strayed { home: 1, cpu: 0, samples: 4 });
        card.points = vec![moved.clone(), moved];
        card.header.plan.left_class = Some("SCHED_FIFO".into());
        let found = find(&card, &Metrics::default());
        let text = found.iter().map(Finding::text).collect::<Vec<_>>().join("\n");
        for said in [
            "clock, noise failed in 2 of 5 rounds: not pinned to CPU 1",
            "tlb failed in 1 of 5 rounds",
            "8 samples ran on another CPU and were set aside: ran on CPU 0, not on CPU 1 as pinned",
            "started under SCHED_FIFO and measured under SCHED_OTHER",
        ] {
            assert!(text.contains(said), "{said}: {text}");
        }
    }

    #[test]
    fn what_lies_outside_the_published_range_is_noted() {
        let text = said(vec![value("memory.latency.l1_cycles", Unit::Cycles, 5.0)]).join("\n");
        assert!(text.contains("5.00 cycles, published 4 (Zen 5 (Turin))"), "{text}");
        let text = said(vec![value(PIPELINE, Unit::Cycles, 23.0)]).join("\n");
        assert!(text.contains("12 to 18"), "{text}");
    }

    #[test]
    fn corruption_comes_first() {
        let mut card = blank("test");
        let fail = |probe: &str, cause, how: &str| Fail {
            probe: probe.into(),
            round: 0,
            cpu: None,
            cause,
            how: how.into(),
            stderr: String::new(),
        };
        card.fails = vec![
            fail("a", FailKind::Killed, "killed by SIGSEGV"),
            fail("b", FailKind::Corruption, "on CPU 3: 1 + 1"),
        ];
        let found = find(&card, &Metrics(vec![value(GAPS, Unit::Ratio, 0.5)]));
        assert_eq!(found[0].code, WRONG_ANSWER);
        assert!(found[0].text().contains("CPU 3"));
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn headlines_are_short_codes_of_one_group_and_evidence_is_declared() {
        let all =
            [fixture::recorded(), fixture::counted(), fixture::uncounted(), fixture::two_nodes()];
        let mut groups = BTreeMap::new();
        for summary in all {
            for f in find(&summary.card, &summary.metrics) {
                let words = f.headline.split_whitespace().count();
                assert!(words <= 14, "{words}: {f:?}");
                assert_eq!(f.claimed.is_some(), f.group == Group::Claim, "{f:?}");
                assert_eq!(*groups.entry(f.code.clone()).or_insert(f.group), f.group, "{f:?}");
                let allowed = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
                assert!(f.code.chars().all(allowed), "{f:?}");
                for id in &f.evidence {
                    assert!(summary.metrics.get(id).is_some(), "{f:?}");
                }
            }
        }
        assert!(groups.len() > 15, "{groups:?}");
    }

    #[test]
    fn advice_fits_its_column() {
        for summary in [fixture::recorded(), fixture::two_nodes()] {
            let found = find(&summary.card, &summary.metrics);
            for f in found.iter().filter(|f| f.factor.is_some()) {
                let action = f.action.as_deref().unwrap_or_default();
                assert!((1..=29).contains(&action.chars().count()), "{f:?}");
            }
        }
    }
}
