//! Measured against claimed and published.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::record::{Backing, Fail, FailKind, Param, Point, Strayed};
use serde::{Deserialize, Serialize};

use crate::file::Card;
use crate::machine::{Machine, Microarchitecture, format_list, human_bytes};
use crate::metrics::{Metrics, State};

mod branch;
mod caches;
mod coherence;
mod core_window;
mod counter_findings;
mod each_cpu;
mod idioms;
mod locks;
mod memory;
mod network;
mod os;
mod published;
mod scaling;
mod storage;
mod switches;
mod vectors;

pub use caches::{level_ends, size_ids};
pub use memory::{one_core, sentences};
pub use network::own_peer;
pub use storage::unknown_disk;

/// How much a reader should care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Note,
    /// A claim does not hold, or a number must be read with care.
    Warning,
    /// A kernel computed a wrong answer.
    Corruption,
}

/// A measurement that contradicts a claim, in plain words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// One or two sentences.
    pub text: String,
    /// The metrics it speaks of.
    pub metrics: Vec<String>,
}

impl Finding {
    fn new(severity: Severity, text: String, metrics: &[&str]) -> Finding {
        Finding { severity, text, metrics: metrics.iter().map(|&m| m.to_owned()).collect() }
    }

    fn note(text: String, metrics: &[&str]) -> Finding {
        Finding::new(Severity::Note, text, metrics)
    }

    fn warning(text: String, metrics: &[&str]) -> Finding {
        Finding::new(Severity::Warning, text, metrics)
    }
}

/// Everything worth saying of a card, what matters most first.
pub fn find(card: &Card, metrics: &Metrics) -> Vec<Finding> {
    let mut found = failures(card);
    found.extend(placement(card));
    found.extend(each_cpu::find(card));
    found.extend(clock(card, metrics));
    found.extend(counter_findings::find(card));
    found.extend(line_size(card, metrics));
    found.extend(caches::find(card, metrics));
    found.extend(page_size(card));
    found.extend(memory::find(card, metrics));
    found.extend(coherence::find(card, metrics));
    found.extend(storage::find(card, metrics));
    found.extend(network::find(card, metrics));
    found.extend(vectors::find(metrics));
    found.extend(os::find(card, metrics));
    found.extend(locks::find(metrics));
    found.extend(noise(card, metrics));
    found.extend(branch::find(card, metrics));
    found.extend(core_window::find(card, metrics));
    found.extend(switches::find(card, metrics));
    found.extend(idioms::find(metrics));
    found.extend(scaling::find(card));
    found.extend(published::cycles(card, metrics));
    found.sort_by_key(|f| std::cmp::Reverse(f.severity));
    found
}

/// The machine, as long as what it claims is claimed of the CPU that was measured: with cores of
/// several kinds, the card must say so of that very CPU.
fn claims(card: &Card) -> Option<&Machine> {
    let (machine, plan) = (&card.header.machine, &card.header.plan);
    let own = plan.pinned && machine.cpu.number == plan.cpu;
    (own || machine.kinds().len() < 2).then_some(machine)
}

/// The design of the CPU that was measured, by which values are published.
fn design(card: &Card) -> Option<&Microarchitecture> {
    claims(card)?.cpu.microarchitecture.known()
}

/// The number, unless two methods disagree on it.
fn believed(metrics: &Metrics, id: &str) -> Option<f64> {
    let value = metrics.get(id).filter(|v| matches!(v.state, State::Ok | State::Noisy))?;
    value.value.filter(|v| v.is_finite() && *v > 0.0)
}

/// How bad, in how many rounds, how, and the probe where it visits each CPU.
type Case<'a> = (Reverse<Severity>, usize, &'a str, Option<&'a str>);

/// Wrong answers, and probes that did not come to their end.
fn failures(card: &Card) -> Vec<Finding> {
    let mut by_probe: BTreeMap<(&str, Option<usize>), Vec<&Fail>> = BTreeMap::new();
    for fail in &card.fails {
        by_probe.entry((&fail.probe, fail.cpu)).or_default().push(fail);
    }
    // What befell several probes alike, or several CPUs, is said once.
    let mut alike: BTreeMap<Case<'_>, Vec<(&str, Option<usize>)>> = BTreeMap::new();
    for ((probe, cpu), fails) in by_probe {
        let corruption = fails.iter().find(|f| f.cause == FailKind::Corruption);
        let severity = if corruption.is_some() { Severity::Corruption } else { Severity::Warning };
        let how = &corruption.unwrap_or(&fails[0]).how;
        let visitor = cpu.map(|_| probe);
        alike.entry((Reverse(severity), fails.len(), how, visitor)).or_default().push((probe, cpu));
    }
    let rounds = card.header.plan.rounds;
    let finding =
        |((severity, count, how, visitor), all): (Case<'_>, Vec<(&str, Option<usize>)>)| {
            let who = match visitor {
                Some(probe) => {
                    let cpus: Vec<usize> = all.iter().filter_map(|&(_, cpu)| cpu).collect();
                    format!("{probe} failed on {}", cpu_names(&card.header.machine, &cpus))
                }
                None => {
                    let probes: Vec<&str> = all.iter().map(|&(probe, _)| probe).collect();
                    format!("{} failed", probes.join(", "))
                }
            };
            Finding::new(severity.0, format!("{who} in {count} of {rounds} rounds: {how}"), &[])
        };
    alike.into_iter().map(finding).collect()
}

/// Each by its name, or a range where they are many.
fn cpu_names(machine: &Machine, cpus: &[usize]) -> String {
    if cpus.len() > MOST_NAMES {
        return format!("{} CPUs ({})", cpus.len(), format_list(cpus));
    }
    cpus.iter().map(|&cpu| machine.cpu_name(cpu)).collect::<Vec<String>>().join(", ")
}

/// CPUs that are named one by one.
const MOST_NAMES: usize = 4;

/// Where it ran, and where not.
fn placement(card: &Card) -> Vec<Finding> {
    let plan = &card.header.plan;
    let unpinned = (!plan.pinned).then(|| Finding::warning(plan.cpu_reason.clone(), &[]));
    let strayed = card.points.iter().filter_map(|p| p.disturbances.strayed);
    let moved = strayed.reduce(|a, b| Strayed { samples: a.samples + b.samples, ..b });
    let moved = moved.map(|moved| {
        Finding::warning(format!("{} samples {moved}; they were set aside", moved.samples), &[])
    });
    let class = plan.left_class.as_ref().map(|class| {
        Finding::note(
            format!(
                "started under {class} and measured under SCHED_OTHER: a thread that spins in a \
                 real-time class keeps the others from its CPU"
            ),
            &[],
        )
    });
    [unpinned, moved, class].into_iter().flatten().collect()
}

/// The two-chain clock's own invariants, the counter's claimed rate, and vector clocks.
fn clock(card: &Card, metrics: &Metrics) -> Vec<Finding> {
    let mut found = Vec::new();
    let steady = |id| metrics.get(id).filter(|v| v.state == State::Ok).and_then(|v| v.value);
    let multiply = metrics.get(MULTIPLY);
    // Three on cards of before that was measured.
    let taken = multiply.and_then(|m| m.value).unwrap_or(3.0);
    if let Some(reason) = multiply.filter(|m| m.state == State::Inconsistent).map(|m| &m.reason) {
        let reason = reason.as_deref().unwrap_or_default();
        found.push(Finding::warning(
            format!(
                "the clock of the core is not known, and no number in cycles is to be trusted: \
                 {reason}. A hyperthread sibling that never rests, a virtual CPU that moves between \
                 kinds of cores, or an emulated core does that"
            ),
            &["clock.core_ghz", MULTIPLY],
        ));
    } else if let Some(ratio) = steady(MUL_ADD)
        && (ratio - taken).abs() > 0.02
    {
        found.push(Finding::warning(
            format!(
                "a multiplication takes {ratio:.3} additions, not {taken}: either a hyperthread \
                 sibling never rests, or the two-chain clock does not fit this CPU and cycle counts \
                 are not to be trusted"
            ),
            &[MUL_ADD],
        ));
    }
    if let Some(chase) = metrics.number(L1_CHASE)
        && (chase / chase.round() - 1.0).abs() > 0.01
    {
        found.push(Finding::warning(
            format!(
                "an L1 load takes {chase:.2} cycles, which is no whole number: the core clock may \
                 be off by as much"
            ),
            &[L1_CHASE, "clock.core_ghz"],
        ));
    }
    let rates = metrics.number(TSC).and_then(|measured| {
        let claims = card.header.machine.cpu.tsc.known()?;
        let claim = claims.iter().find(|claim| claim.means_the_counter(measured * 1e9))?;
        Some((claim.hz as f64 / 1e9, measured))
    });
    if let Some((claimed, measured)) = rates
        && (measured / claimed - 1.0).abs() > 0.001
    {
        found.push(Finding::warning(
            format!(
                "the time counter runs at {measured:.4} GHz, claimed {claimed:.4} GHz: programs that \
                 trust the claim measure time wrongly"
            ),
            &[TSC],
        ));
    }
    if let Some(withdrawn) = card.header.machine.withdrawn_counter() {
        found.push(Finding::warning(
            format!(
                "the time counter is not to be trusted, {withdrawn}: what it found wrong stands in \
                 dmesg, and programs that read the counter measure time wrongly"
            ),
            &[TSC],
        ));
    }
    for (id, what) in [
        ("clock.neon_ratio", "128-bit"),
        ("clock.avx_ratio", "256-bit"),
        ("clock.avx512_ratio", "512-bit"),
    ] {
        if let Some(ratio) = steady(id)
            && ratio < 0.97
        {
            let lost = 100.0 * (1.0 - ratio);
            found.push(Finding::note(
                format!("{what} multiply-adds cost {lost:.0} % of the core clock"),
                &[id],
            ));
        }
    }
    found
}

fn line_size(card: &Card, metrics: &Metrics) -> Option<Finding> {
    let claimed = claims(card)?.claimed_line_bytes()?;
    let value = metrics.get(LINE)?;
    let measured = value.value?;
    (measured != claimed as f64).then(|| {
        Finding::warning(
            format!("cache line claimed {claimed} bytes, measured {measured}"),
            &[LINE],
        )
    })
}

/// Pages that were asked for and not had.
fn page_size(card: &Card) -> Option<Finding> {
    // Small pages are of KiB, and called 4k, 16k, 64k; huge ones are of MiB.
    let huge = |p: &&Point| match p.params.get("variant") {
        Some(Param::Text(name)) => name.starts_with("random_") && name.ends_with('m'),
        _ => false,
    };
    let other = card.points.iter().filter(huge).find(|p| p.backing != Backing::AsAsked)?;
    let note = other.backing.note().or_else(|| other.note.clone()).unwrap_or_default();
    let [_, size] = card.header.machine.memory.page_sizes().map(human_bytes);
    Some(Finding::warning(
        format!("the {size} latency curve is none ({note}): its upper half contains page walks"),
        &["memory.latency.dram_ns"],
    ))
}

fn noise(card: &Card, metrics: &Metrics) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(busy) = metrics.number(SIBLING)
        && busy > 0.02
    {
        let threads =
            claims(card).map_or(0, |machine| machine.siblings_of(card.header.plan.cpu).len());
        let claim =
            if threads == 1 { ", although the machine claims one thread for it" } else { "" };
        found.push(Finding::note(
            format!(
                "something on the same core was at work {:.0} % of the time{claim}; disturbed \
                 samples were set aside",
                busy * 100.0
            ),
            &[SIBLING],
        ));
    }
    found.extend(own_quota(card));
    if let Some(lost) = metrics.number(GAPS)
        && lost > 0.01
    {
        let lost = lost * 100.0;
        let quota = card.header.machine.cpu_quota();
        let text = match card.throttled(|probe| probe == "noise").by(quota) {
            Some(own) => format!("{lost:.1} % of the CPU's time was lost while {own}"),
            None => format!(
                "noisy host: {lost:.1} % of the CPU's time went to interrupts, other threads or the \
                 hypervisor"
            ),
        };
        found.push(Finding::warning(text, &[GAPS]));
    }
    found
}

const MULTIPLY: &str = "clock.multiply_cycles";

/// What this run did to itself by asking for more than its share.
fn own_quota(card: &Card) -> Option<Finding> {
    let all = card.throttled(|_| true);
    let text = all.by(card.header.machine.cpu_quota())?;
    let text = format!(
        "{text} during this run, for {:.1} s of its threads' time: what was measured then is the \
         quota, not the machine; give the group more CPU time",
        all.seconds
    );
    Some(Finding::warning(text, &[]))
}

const MUL_ADD: &str = "clock.mul_add_ratio";
const L1_CHASE: &str = "clock.l1_chase_cycles";
const TSC: &str = "clock.tsc_ghz";
const LINE: &str = "cache.line_bytes";
const SIBLING: &str = "noise.sibling_busy_ratio";
const GAPS: &str = "noise.gap_ratio";

#[cfg(test)]
pub(crate) mod tests {
    use crate::declare::{Better, NoiseClass, Unit};

    use super::branch::{PIPELINE, SLOPE};
    use super::*;
    use crate::file::RoundDone;
    use crate::fixture::{blank, point};
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
        find(&blank("test"), &Metrics(values)).into_iter().map(|f| f.text).collect()
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
        assert!(text.contains("2.630 additions"), "{text}");
        let text = said(vec![value(L1_CHASE, Unit::Cycles, 4.5)]).join("\n");
        assert!(text.contains("no whole number"), "{text}");
        // Where it takes another number of cycles, that many additions are right.
        let of = |cycles, ratio| {
            let multiply = value(MULTIPLY, Unit::Cycles, cycles);
            said(vec![multiply, value(MUL_ADD, Unit::Ratio, ratio)]).join("\n")
        };
        assert!(!of(5.0, 4.999).contains("additions"));
        assert!(of(5.0, 4.83).contains("4.830 additions, not 5"));
        // A noisy value proves nothing.
        let noisy = Value { state: State::Noisy, ..value(MUL_ADD, Unit::Ratio, 2.63) };
        assert_eq!(said(vec![noisy]), [] as [String; 0]);
    }

    #[test]
    fn a_multiplication_is_held_against_what_is_published() {
        let text = said(vec![value(MULTIPLY, Unit::Cycles, 5.0)]).join("\n");
        assert!(text.contains("5.0 cycles, published for Zen 5 (Turin) 3"), "{text}");
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
        assert!(text.contains("at work 30 % of the time"), "{text}");
        let text = said(vec![value(GAPS, Unit::Ratio, 0.025)]).join("\n");
        assert!(text.contains("noisy host: 2.5 %"), "{text}");
    }

    #[test]
    fn claims_are_held_only_against_the_cpu_that_they_are_of() {
        let found = |card: &Card| {
            let short = vec![value("cache.l3_knee_bytes", Unit::Bytes, kib(6.0 * 1024.0))];
            find(card, &Metrics(short)).iter().any(|f| f.text.contains("L3 claimed 32 MiB"))
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
            found.iter().any(|f| f.text.contains("the time counter runs at"))
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
        let texts: Vec<String> = find(&card, &metrics).into_iter().map(|f| f.text).collect();
        let text = texts.join("\n");
        let own = "this group's own CPU quota of 0.5 CPU (cgroup cpu.max /q) stopped it 65 times";
        assert!(text.contains(&format!("47.3 % of the CPU's time was lost while {own}")), "{text}");
        assert!(text.contains(&format!("{own} during this run, for 6.2 s")), "{text}");
        assert!(!text.contains("noisy host"), "{text}");
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
        let text = found.into_iter().map(|f| f.text).collect::<Vec<_>>().join("\n");
        for said in [
            "clock, noise failed in 2 of 5 rounds: not pinned to CPU 1",
            "tlb failed in 1 of 5 rounds",
            "8 samples ran on CPU 0, not on CPU 1 as pinned: something moves this process",
            "started under SCHED_FIFO and measured under SCHED_OTHER",
        ] {
            assert!(text.contains(said), "{said}: {text}");
        }
    }

    #[test]
    fn what_lies_outside_the_published_range_is_noted() {
        let text = said(vec![value("memory.latency.l1_cycles", Unit::Cycles, 5.0)]).join("\n");
        assert!(text.contains("5.0 cycles, published for Zen 5 (Turin) 4"), "{text}");
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
        assert_eq!(found[0].severity, Severity::Corruption);
        assert!(found[0].text.contains("CPU 3"));
        assert_eq!(found.len(), 3);
    }
}
