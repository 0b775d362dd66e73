//! Which cards may be held against each other, and what else differs between them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::file::{Card, Header};
use crate::machine::Fact;

/// A fact that differs between the baseline and the card, and may explain what else does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What it is about: "kernel".
    pub fact: String,
    /// In the latest card of the baseline.
    pub then: String,
    /// In the card.
    pub now: String,
}

/// A card of the baseline that the card is not held against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SetAside {
    /// Id of its run.
    pub run: String,
    /// When it began.
    pub start: String,
    /// Why.
    pub why: String,
}

/// What makes two cards those of different machines, or measured in different ways, the most telling first.
fn unlike(base: &Header, now: &Header) -> impl Iterator<Item = Difference> {
    let model = |h: &Header| h.machine.cpu.brand.known().cloned().unwrap_or_default();
    let cpus = |h: &Header| h.machine.allowed_cpus().len().to_string();
    let architecture = |h: &Header| h.machine.cpu.architecture.clone();
    let design = |h: &Header| {
        h.machine.cpu.microarchitecture.known().map(|d| d.name.clone()).unwrap_or_default()
    };
    let nothing_else = |then: String| if then.is_empty() { "unknown".into() } else { then };
    type Get<'a> = &'a dyn Fn(&Header) -> String;
    let facts: [(&str, Get<'_>); 6] = [
        ("architecture", &architecture),
        ("processor", &model),
        ("design of core", &design),
        ("number of CPUs", &cpus),
        ("tier", &|h| h.plan.tier.clone()),
        ("CPU measured", &|h| format!("CPU {}", h.plan.cpu)),
    ];
    let differences = facts.map(|(fact, of)| Difference {
        fact: fact.into(),
        then: nothing_else(of(base)),
        now: nothing_else(of(now)),
    });
    differences.into_iter().filter(|difference| difference.then != difference.now)
}

/// Why a card is no baseline: it is of another machine model, or was measured in another way.
pub(super) fn obstacle(base: &Header, now: &Header) -> Option<String> {
    let Difference { fact, then, now } = unlike(base, now).next()?;
    Some(format!("another {fact}: {then} there, {now} here"))
}

/// All that differs, the most telling first.
pub(super) fn differences(base: &Header, now: &Header) -> Vec<Difference> {
    let text = |fact: &Fact<String>| fact.known().cloned();
    let flag = |fact: &Fact<bool>| fact.known().map(|&on| if on { "on" } else { "off" }.to_owned());
    type Get<'a> = &'a dyn Fn(&Header) -> Option<String>;
    let facts: [(&str, Get<'_>); 14] = [
        ("microcode", &|h| text(&h.machine.cpu.microcode)),
        ("kernel", &|h| text(&h.machine.kernel.release)),
        ("clock source", &|h| text(&h.machine.kernel.clock_source)),
        ("governor", &|h| text(&h.machine.kernel.governor)),
        ("boost", &|h| flag(&h.machine.kernel.boost)),
        ("idle driver", &|h| text(&h.machine.kernel.idle_driver)),
        ("transparent huge pages", &|h| text(&h.machine.memory.transparent_huge_pages)),
        ("memory nodes", &|h| Some(h.machine.numa_nodes().len().to_string())),
        ("threads per core", &|h| h.machine.threads_per_core().map(|n| n.to_string())),
        ("hypervisor", &|h| text(&h.machine.host.hypervisor)),
        ("seccomp", &|h| text(&h.machine.limits.seccomp)),
        ("CPU quota", &|h| match h.machine.limits.cpu_quota.known() {
            Some(Some(quota)) => Some(format!("{:.2} CPUs", quota.cpus)),
            Some(None) => Some("none".into()),
            None => None,
        }),
        ("host", &|h| text(&h.machine.host.name)),
        ("program", &|h| Some(format!("{} ({})", h.tool.version, h.tool.revision))),
    ];
    let unknown = || "unknown".to_owned();
    let others = facts.into_iter().filter_map(|(fact, of)| {
        let (then, now) = (of(base), of(now));
        (then != now).then(|| Difference {
            fact: fact.into(),
            then: then.unwrap_or_else(unknown),
            now: now.unwrap_or_else(unknown),
        })
    });
    let mut found: Vec<Difference> = unlike(base, now).chain(others).collect();
    let mitigations =
        |h: &'_ Header| h.machine.kernel.mitigations.known().cloned().unwrap_or_default();
    let (then, now) = (mitigations(base), mitigations(now));
    let names: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    let of = |all: &BTreeMap<String, String>, name: &String| {
        all.get(name).cloned().unwrap_or_else(unknown)
    };
    let changed = names.into_iter().filter(|name| then.get(*name) != now.get(*name));
    found.extend(changed.map(|name| Difference {
        fact: format!("mitigation of {name}"),
        then: of(&then, name),
        now: of(&now, name),
    }));
    found
}

/// Whether both cards measured that probe in the same way. Cards of before methods had numbers did if
/// the same program wrote them.
pub(super) fn same_method(base: &Card, now: &Card, probe: &str) -> bool {
    let method = |card: &Card| {
        let declared = card.header.declarations.iter().find(|d| d.probe == probe);
        declared.map_or(0, |d| d.method)
    };
    let (then, now_method) = (method(base), method(now));
    let same_program = base.header.tool.revision == now.header.tool.revision;
    then == now_method && (then != 0 || same_program)
}
