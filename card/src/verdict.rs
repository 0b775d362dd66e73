//! PASS, CHECK or FAIL: what a card says of its machine in one line, by rules that are the same for
//! every machine. There is no score.
//!
//! FAIL: an answer was wrong, or a probe failed in half of its rounds or more. CHECK: a probe failed in
//! fewer, a claim does not hold, a published value of the core or of its first two caches is off by more
//! than a tenth beyond its interval, or the run is not whole. PASS: none of these. Noise changes what may
//! be trusted, never the verdict.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use crate::declare::{ReportOnly, Unit};
use crate::file::{Card, End, EndState};
use crate::findings::{Finding, Group, WRONG_ANSWER, design};
use crate::format::{self, count};
use crate::metrics::{Grade, State, Value};
use crate::record::FailKind;
use crate::reference::{self, Published};
use crate::summary::Summary;

/// The word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// Nothing is wrong.
    Pass,
    /// Something is worth a look.
    Check,
    /// The machine, or the measurement, is broken.
    Fail,
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Word::Pass => "PASS",
            Word::Check => "CHECK",
            Word::Fail => "FAIL",
        })
    }
}

/// A part of the machine, in the order in which people read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Area {
    /// Clock, arithmetic, front end, out-of-order window.
    Core,
    /// The first two caches and the TLBs.
    Caches,
    /// The last-level cache.
    L3,
    /// Main memory.
    Dram,
    /// Several threads: lines, locks, scaling.
    Threads,
    /// System calls, faults, switches, timers, noise.
    System,
    /// Small programs.
    Programs,
    /// Disk and network.
    Devices,
}

impl Area {
    /// All of them, in their order.
    pub const ALL: [Area; 8] = [
        Area::Core,
        Area::Caches,
        Area::L3,
        Area::Dram,
        Area::Threads,
        Area::System,
        Area::Programs,
        Area::Devices,
    ];

    /// For people.
    pub const fn title(self) -> &'static str {
        match self {
            Area::Core => "core",
            Area::Caches => "L1, L2, TLB",
            Area::L3 => "L3",
            Area::Dram => "DRAM",
            Area::Threads => "threads",
            Area::System => "OS",
            Area::Programs => "programs",
            Area::Devices => "disk, network",
        }
    }

    /// The area of a family of metrics.
    pub fn of(family: &str) -> Option<Area> {
        Some(match family {
            "core-frequency" | "alu" | "branch" | "window" | "each-cpu" => Area::Core,
            "l1-l2" | "tlb" => Area::Caches,
            "l3" => Area::L3,
            "dram-latency" | "dram-bandwidth" => Area::Dram,
            "core-to-core" | "locks" | "scaling" => Area::Threads,
            "os" | "context-switch" | "timer" | "jitter" => Area::System,
            "idioms" | "compress" => Area::Programs,
            "network" | "storage" => Area::Devices,
            _ => return None,
        })
    }
}

/// Published values of an area, and how many of them were measured again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Reproduced {
    /// Where.
    pub area: Area,
    /// Within the published range, or within 5 % of it.
    pub within: usize,
    /// All that are published and were measured.
    pub of: usize,
}

/// How well the values of an area repeat from round to round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Repeats {
    /// Where.
    pub area: Area,
    /// Rounds within 5 %.
    pub within_5: usize,
    /// Within 25 %.
    pub within_25: usize,
    /// Wider: not to be quoted.
    pub wider: usize,
}

impl Repeats {
    /// All values of the area that have a grade.
    pub fn all(&self) -> usize {
        self.within_5 + self.within_25 + self.wider
    }
}

/// What a card says of its machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// In a word.
    pub word: Word,
    /// In a sentence.
    pub sentence: String,
    /// What made it so: stable codes of findings, each once.
    pub codes: Vec<String>,
    /// Published values reproduced, by area.
    pub published: Vec<Reproduced>,
    /// What may be trusted, by area.
    pub repeats: Vec<Repeats>,
}

/// The code of a value of core, L1 or L2 that is far from what is published.
const OFF: &str = "OFF_PUBLISHED";

/// The code of a run that did not come to its end.
const INCOMPLETE: &str = "INCOMPLETE";

/// The code of a probe that failed.
const FAILED: &str = "PROBE_FAILED";

/// Within this of the published range a value is reproduced.
const REPRODUCED: f64 = 0.05;

/// A value that is further off, beyond its own interval, is worth a look.
const FAR: f64 = 0.10;

/// Share of an area's values that stands for it.
const MOST: f64 = 0.75;

impl Verdict {
    /// The verdict on a card.
    pub fn of(summary: &Summary) -> Verdict {
        let beside = beside_published(summary);
        let far: Vec<&Value> = beside.iter().filter(|(v, p)| is_far(v, p)).map(|b| b.0).collect();
        let claims: Vec<&Finding> =
            summary.findings.iter().filter(|f| f.group == Group::Claim).collect();
        let wrong = claims.iter().any(|f| f.code == WRONG_ANSWER);
        let failed = failed_rounds(&summary.card);
        let whole = is_whole(summary);
        let word = if wrong || failed * 2 >= summary.card.header.plan.rounds.max(1) {
            Word::Fail
        } else if failed > 0 || !claims.is_empty() || !far.is_empty() || !whole {
            Word::Check
        } else {
            Word::Pass
        };
        let mut codes: Vec<String> = claims.iter().map(|f| f.code.clone()).collect();
        let others = [(failed > 0, FAILED), (!far.is_empty(), OFF), (!whole, INCOMPLETE)];
        codes.extend(others.iter().filter(|(is, _)| *is).map(|(_, code)| (*code).to_owned()));
        codes.sort_by_key(|code| claims.iter().position(|f| f.code == *code).unwrap_or(usize::MAX));
        codes.dedup();
        let published = reproduced(&beside);
        let sentence = sentence(summary, &claims, &far, &published, whole);
        Verdict { word, sentence, codes, published, repeats: repeats(&summary.metrics.0) }
    }

    /// "41 of 45", over all areas.
    pub fn all_published(&self) -> (usize, usize) {
        let sum = |of: fn(&Reproduced) -> usize| self.published.iter().map(of).sum();
        (sum(|r| r.within), sum(|r| r.of))
    }

    /// Areas by what their values are good for: to be quoted, to be read with their interval, and not to
    /// be compared.
    pub fn trust(&self) -> [Vec<Area>; 3] {
        let mut trust = [const { Vec::new() }; 3];
        for repeats in &self.repeats {
            let all = repeats.all() as f64;
            let most = |count: usize| count as f64 >= MOST * all;
            let at = match repeats {
                r if most(r.within_5) => 0,
                r if most(r.within_5 + r.within_25) => 1,
                _ => 2,
            };
            trust[at].push(repeats.area);
        }
        trust
    }

    /// The same of the grades: within 5 %, within 25 %, wider.
    pub fn grades(&self) -> [usize; 3] {
        let sum = |of: fn(&Repeats) -> usize| self.repeats.iter().map(of).sum();
        [sum(|r| r.within_5), sum(|r| r.within_25), sum(|r| r.wider)]
    }
}

/// Whether all that was begun came to its end and there is something to judge by.
fn is_whole(summary: &Summary) -> bool {
    let ended = matches!(&summary.card.end, Some(End { state: EndState::Complete, .. }));
    ended && summary.metrics.0.iter().any(|v| v.value.is_some())
}

/// In how many rounds the probe failed that failed most often, without wrong answers.
fn failed_rounds(card: &Card) -> u32 {
    let mut rounds: BTreeMap<(&str, Option<usize>), BTreeSet<u32>> = BTreeMap::new();
    for fail in card.fails.iter().filter(|fail| fail.cause != FailKind::Corruption) {
        rounds.entry((&fail.probe, fail.cpu)).or_default().insert(fail.round);
    }
    rounds.values().map(|rounds| rounds.len() as u32).max().unwrap_or(0)
}

/// What is published for this core and was measured, but for lower bounds: there the method ends first.
fn beside_published(summary: &Summary) -> Vec<(&Value, Published)> {
    let Some(arch) = design(&summary.card) else { return Vec::new() };
    let bounds = summary.findings.iter().filter(|f| f.code == "LOWER_BOUND");
    let bounds: Vec<&String> = bounds.flat_map(|f| &f.evidence).collect();
    // Sizes are held against the machine's own claims.
    let sized = |v: &&Value| v.unit == Unit::Bytes;
    let measured =
        summary.metrics.0.iter().filter(|v| format::believable(v).is_some() && !sized(v));
    measured
        .filter(|v| !bounds.contains(&&v.id))
        .filter_map(|v| Some((v, reference::published(&arch.key, &v.id)?)))
        .collect()
}

fn reproduced(beside: &[(&Value, Published)]) -> Vec<Reproduced> {
    let within = |value: &Value, p: &Published| {
        value
            .value
            .is_some_and(|v| v >= p.low * (1.0 - REPRODUCED) && v <= p.high * (1.0 + REPRODUCED))
    };
    let of_area = |area: Area| {
        let here = || beside.iter().filter(move |(v, _)| Area::of(&v.family) == Some(area));
        let within = here().filter(|(v, p)| within(v, p)).count();
        Reproduced { area, within, of: here().count() }
    };
    Area::ALL.into_iter().map(of_area).filter(|r| r.of > 0).collect()
}

/// Whether it is the core, or near it, and no round came near what is published. What differs from
/// process to process is no property of the core.
fn is_far(value: &Value, published: &Published) -> bool {
    let near = matches!(Area::of(&value.family), Some(Area::Core | Area::Caches));
    let speaks = matches!(value.report_only, None | Some(ReportOnly::Repeats));
    let (low, high) = (value.low.or(value.value), value.high.or(value.value));
    let off = low.zip(high).is_some_and(|(low, high)| {
        low > published.high * (1.0 + FAR) || high < published.low * (1.0 - FAR)
    });
    near && speaks && off
}

fn repeats(values: &[Value]) -> Vec<Repeats> {
    let of_area = |area: Area| {
        let here = |grade| {
            let of = |v: &&Value| Area::of(&v.family) == Some(area) && v.grade == Some(grade);
            values.iter().filter(|v| v.state != State::Unavailable).filter(of).count()
        };
        Repeats {
            area,
            within_5: here(Grade::Within5),
            within_25: here(Grade::Within25),
            wider: here(Grade::Wider),
        }
    };
    Area::ALL.into_iter().map(of_area).filter(|r| r.all() > 0).collect()
}

fn sentence(
    summary: &Summary,
    claims: &[&Finding],
    far: &[&Value],
    published: &[Reproduced],
    whole: bool,
) -> String {
    let mut parts = Vec::new();
    let bad = summary.findings.iter().find(|f| f.code == WRONG_ANSWER || f.code == FAILED);
    parts.extend(bad.map(|finding| finding.headline.clone()));
    if !whole {
        parts.push(if summary.card.end.is_none() {
            "interrupted before the end".into()
        } else {
            "not a whole run".to_owned()
        });
    }
    let (within, of) =
        published.iter().fold((0, 0), |(within, of), r| (within + r.within, of + r.of));
    if of > 0 {
        let design = design(&summary.card).map_or("", |arch| arch.name.as_str());
        let design = design.split(" (").next().unwrap_or_default();
        let core = if far.is_empty() { "core as published" } else { "core not as published" };
        parts.push(format!("{core} ({within} of {of} {design} values)"));
    }
    let platform = claims.iter().filter(|f| f.code != WRONG_ANSWER).count();
    parts.push(match platform {
        0 => "all claims that were tested hold".into(),
        1 => "1 claim does not hold".into(),
        many => format!("{} do not hold", count(many, "claim")),
    });
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{self, all_declared, recorded};
    use crate::record::Fail;

    #[test]
    fn every_declared_family_has_an_area() {
        for metric in all_declared().iter().flat_map(|d| &d.metrics) {
            assert!(Area::of(&metric.family).is_some(), "{}: {}", metric.id, metric.family);
        }
    }

    #[test]
    fn a_machine_that_keeps_its_claims_passes_and_an_empty_card_does_not() {
        let mut summary = recorded();
        summary.findings.retain(|f| f.group != Group::Claim);
        let verdict = Verdict::of(&summary);
        assert_eq!((verdict.word, verdict.codes.len()), (Word::Pass, 0), "{}", verdict.sentence);
        assert!(verdict.sentence.contains("core as published"), "{}", verdict.sentence);
        let empty = Verdict::of(&fixture::empty());
        assert_eq!((empty.word, empty.codes), (Word::Check, vec![INCOMPLETE.to_owned()]));
    }

    #[test]
    fn a_claim_that_fails_is_worth_a_look_and_a_wrong_answer_fails() {
        let mut summary = recorded();
        let verdict = Verdict::of(&summary);
        assert_eq!(verdict.word, Word::Check);
        assert!(verdict.codes.contains(&"L3_CAPACITY".to_owned()), "{:?}", verdict.codes);
        let fail = |cause, how: &str| Fail {
            probe: "simd-compute".into(),
            round: 0,
            cpu: None,
            cause,
            how: how.into(),
            stderr: String::new(),
        };
        for (cause, code) in [(FailKind::Killed, FAILED), (FailKind::Corruption, WRONG_ANSWER)] {
            summary.card.fails = (0..3).map(|_| fail(cause, "on CPU 3: 1 + 1")).collect();
            for (round, fail) in summary.card.fails.iter_mut().enumerate() {
                fail.round = round as u32;
            }
            let failed = Verdict::of(&Summary::of(summary.card.clone()));
            assert_eq!(failed.word, Word::Fail);
            assert!(failed.codes.contains(&code.to_owned()), "{:?}", failed.codes);
            assert!(failed.sentence.starts_with("simd-compute"), "{}", failed.sentence);
        }
        summary.card.fails = vec![fail(FailKind::Killed, "killed by SIGKILL")];
        let once = Verdict::of(&Summary::of(summary.card));
        assert_eq!(once.word, Word::Check, "one killed child of five");
        assert!(once.codes.contains(&FAILED.to_owned()), "{:?}", once.codes);
    }

    #[test]
    fn a_core_that_is_far_from_what_is_published_is_worth_a_look() {
        let mut summary = recorded();
        summary.findings.retain(|f| f.group != Group::Claim);
        let latency = |v: &&mut Value| v.id == "memory.latency.l1_cycles";
        let value = summary.metrics.0.iter_mut().find(latency).unwrap();
        (value.value, value.low, value.high) = (Some(4.5), Some(4.3), Some(4.7));
        assert_eq!(Verdict::of(&summary).word, Word::Pass, "within a tenth");
        let value = summary.metrics.0.iter_mut().find(latency).unwrap();
        (value.value, value.low, value.high) = (Some(6.0), Some(5.9), Some(6.1));
        let verdict = Verdict::of(&summary);
        assert_eq!((verdict.word, verdict.codes), (Word::Check, vec![OFF.to_owned()]));
        assert!(verdict.sentence.contains("core not as published"), "{}", verdict.sentence);
    }

    #[test]
    fn what_is_counted_is_what_the_metrics_say() {
        let summary = recorded();
        let verdict = Verdict::of(&summary);
        let graded = summary.metrics.0.iter().filter(|v| v.grade.is_some());
        assert_eq!(verdict.grades().iter().sum::<usize>(), graded.count());
        let (within, of) = verdict.all_published();
        assert!(within <= of && of >= 20, "{within} of {of}");
        let l3 = verdict.published.iter().find(|r| r.area == Area::L3);
        assert!(l3.is_some_and(|r| r.of >= 1), "{:?}", verdict.published);
    }
}
