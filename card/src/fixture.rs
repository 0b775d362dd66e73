//! Cards for the tests of the readers: one that was recorded, and what small changes make of it; and
//! files of other machines.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::counters::{CounterSupport, Event};
use crate::declare::{Better, Declaration, Derive, Edge, Metric, NoiseClass, Proof, Select, Unit};
use crate::machine::Machine;
use crate::record::{Disturbances, Fail, FailKind, Param, Point, PointState, Skip};

use crate::file::{Card, Header, Plan, Tool};
use crate::metrics::{Metrics, State};
use crate::summary::Summary;

mod coherence;
mod counters;
mod trees;

pub use trees::tree;

/// What the probes declare today on x86_64.
pub fn all_declared() -> &'static [Declaration] {
    static ALL: LazyLock<Vec<Declaration>> =
        LazyLock::new(|| serde_json::from_str(crate::today::DECLARED).unwrap());
    &ALL
}

/// What that probe declares.
pub fn declared(probe: &str) -> Declaration {
    all_declared().iter().find(|d| d.probe == probe).unwrap().clone()
}

/// What a run left on a Zen 4 guest with two CPUs, whose host plays its disk.
pub fn recorded() -> Summary {
    static READ: LazyLock<Summary> = LazyLock::new(|| {
        let at = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cards/x86_64.card.jsonl.zst");
        Summary::of(Card::read(std::path::Path::new(at)).unwrap())
    });
    READ.clone()
}

/// The same with what it lacks of all that a report must show: a failure, and a number on which two
/// methods disagree.
pub fn summary() -> Summary {
    static MADE: LazyLock<Summary> = LazyLock::new(|| {
        let mut summary = recorded();
        summary.card.fails.push(Fail {
            cpu: None,
            probe: "branch".into(),
            round: 2,
            cause: FailKind::Killed,
            how: "killed by signal 11 (SIGSEGV)".into(),
            stderr: "first line\nlast line".into(),
        });
        let line = summary.metrics.0.iter_mut().find(|v| v.id == "cache.line_bytes").unwrap();
        line.state = State::Inconsistent;
        line.reason = Some("two methods say 64 B, two say 128 B".into());
        let used = |state| summary.metrics.0.iter().any(|v| v.state == state);
        assert!([State::Ok, State::Noisy, State::Unavailable].into_iter().all(used));
        summary
    });
    MADE.clone()
}

/// The recorded card of a machine with two memory nodes, whose other one is claimed to be 2.1 times
/// as far as the own and is 1.4 times as far.
pub fn two_nodes() -> Summary {
    static MADE: LazyLock<Summary> = LazyLock::new(|| {
        let mut card = recorded().card;
        card.skips.retain(|skip| skip.probe != "numa");
        let own: Vec<Point> = card.points.iter().filter(|p| p.probe == "numa").cloned().collect();
        for (cpu, memory) in [(0, 1), (1, 0), (1, 1)] {
            let (place, far) = if cpu == memory { ("local", 1.0) } else { ("remote", 1.4) };
            card.points.extend(own.iter().cloned().map(|mut point| {
                point.samples.iter_mut().for_each(|sample| *sample *= far);
                let to = [("cpu_node", Param::Int(cpu)), ("memory_node", Param::Int(memory))];
                with(point, &[&to[..], &[("place", Param::from(place))]].concat())
            }));
        }
        let node = |id: usize, distances: [u64; 2]| serde_json::json!({ "id": id, "cpus": [id], "memory_bytes": 1 << 30, "distances": distances });
        let nodes = serde_json::json!([node(0, [10, 21]), node(1, [21, 10])]);
        card.header.machine.topology.numa_nodes = serde_json::from_value(nodes).unwrap();
        Summary::of(card)
    });
    MADE.clone()
}

/// So many CPUs that were measured at one line.
pub fn cores(cpus: usize) -> Summary {
    let mut card = blank("9B14");
    card.header.machine.topology = serde_json::from_value(coherence::topology(cpus)).unwrap();
    card.header.declarations = vec![declared("false-sharing"), declared("core-to-core")];
    (0..5).for_each(|round| coherence::points(&mut card, round, cpus));
    Summary::of(card)
}

/// What was recorded, as far as a core with NEON has it.
pub fn neon() -> Summary {
    arm("avx")
}

/// The same for a core with vectors of 256 bits in SVE beside NEON.
pub fn sve() -> Summary {
    use crate::declare::Estimator;
    let mut card = arm("avx512").card;
    let compute = card.header.declarations.iter_mut().find(|d| d.probe == "simd-compute");
    let declared = &mut compute.unwrap().metrics;
    let bytes = Derive::Value(Select::of("vector", &[]), Estimator::Median);
    let id = "simd.sve_vector_bytes";
    declared.push(metric(id, "", Unit::Bytes, Better::Higher, NoiseClass::T1, "alu", bytes));
    let vector = |round| point("simd-compute", "vector", round, Unit::Bytes, vec![32.0]);
    card.points.extend((0..3).map(vector));
    Summary::of(card)
}

/// The vectors of x86 under Arm's names, without those that begin like this.
fn arm(without: &str) -> Summary {
    let mut card = recorded().card;
    card.points.retain(|p| {
        let width = p.params.get("width").map(ToString::to_string);
        !width.is_some_and(|width| width.starts_with(without))
    });
    for width in card.points.iter_mut().filter_map(|p| p.params.get_mut("width")) {
        *width = match width.to_string().as_str() {
            "sse" => Param::from("neon"),
            "avx" => Param::from("sve"),
            _ => continue,
        };
    }
    let without = format!(".{without}");
    for declaration in &mut card.header.declarations {
        let metrics = &mut declaration.metrics;
        metrics.retain(|m| !m.id.contains(&without) && !m.id.contains(".mul_add."));
        let text = serde_json::to_string(metrics).unwrap();
        let text = text.replace("sse", "neon").replace("avx", "sve");
        *metrics = serde_json::from_str(&text).unwrap();
    }
    Summary::of(card)
}

/// The recorded card as a host that lets its guest count would have it.
pub fn counted() -> Summary {
    static MADE: LazyLock<Summary> = LazyLock::new(|| {
        let mut card = recorded().card;
        counters::count(&mut card);
        Summary::of(card)
    });
    MADE.clone()
}

/// The recorded card without what the kernel counted: there was nothing else to count with.
pub fn uncounted() -> Summary {
    let mut summary = recorded();
    summary.card.points.iter_mut().for_each(|p| p.counts.clear());
    summary
}

/// A header and nothing else.
pub fn empty() -> Summary {
    let card = blank("empty");
    Summary { card, metrics: Metrics::default(), findings: Vec::new() }
}

/// Every text of the card wants to be markup, or to steer a terminal.
pub fn hostile() -> Summary {
    let evil = "<script>alert(1)</script>\" onload='x' \x1b[31m\u{9b}\u{202e}\u{2067}\0&";
    let mut summary = summary();
    let card = &mut summary.card;
    card.header.machine = machine(evil);
    card.header.tool.version = evil.into();
    card.header.tool.revision = evil.into();
    card.header.start = evil.into();
    card.header.plan.tier = evil.into();
    card.header.plan.cpu_reason = evil.into();
    card.remarks.push(evil.into());
    card.points.iter_mut().for_each(|p| p.note = Some(evil.into()));
    for skip in &mut card.skips {
        *skip = Skip { probe: evil.into(), ..Skip::new(evil, evil, evil).of([evil]) };
    }
    card.fails.iter_mut().for_each(|f| (f.how, f.stderr) = (evil.into(), evil.into()));
    for value in &mut summary.metrics.0 {
        value.family = evil.into();
        value.summary = evil.into();
        value.reason = Some(evil.into());
    }
    for f in &mut summary.findings {
        f.headline = evil.into();
        for text in [&mut f.claimed, &mut f.measured, &mut f.cause, &mut f.action] {
            *text = Some(evil.into());
        }
    }
    summary
}

pub fn blank(hostname: &str) -> Card {
    Card {
        header: Header {
            format: 1,
            tool: Tool {
                name: "probecard".into(),
                version: "0.1.0".into(),
                revision: "0123456".into(),
            },
            id: "00000000-test".into(),
            start: "2025-11-22T04:08:09Z".into(),
            arguments: vec!["run".into()],
            seed: 42,
            plan: Plan {
                tier: "standard".into(),
                rounds: 5,
                budget_s: 120.0,
                cpu: 1,
                cpu_reason: "the quieter of two".into(),
                pinned: true,
                left_class: None,
                scratch: None,
                peer: None,
            },
            machine: machine(hostname),
            counters: CounterSupport::default(),
            declarations: Vec::new(),
        },
        points: Vec::new(),
        skips: Vec::new(),
        fails: Vec::new(),
        rounds: Vec::new(),
        end: None,
        remarks: Vec::new(),
    }
}

pub fn point(probe: &str, quantity: &str, round: u32, unit: Unit, samples: Vec<f64>) -> Point {
    Point {
        backing: Default::default(),
        probe: probe.into(),
        round,
        quantity: quantity.into(),
        params: BTreeMap::new(),
        unit,
        samples,
        ops: 1000,
        core_ghz: Vec::new(),
        clock_doubt: None,
        counts: BTreeMap::new(),
        disturbances: Disturbances::default(),
        state: PointState::Ok,
        note: None,
    }
}

pub fn with(mut point: Point, params: &[(&str, Param)]) -> Point {
    point.params = params.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
    point
}

/// A guest of two Zen 5 CPUs with the given name.
fn machine(name: &str) -> Machine {
    let cache = |level: u8, kind: &str, bytes: u64, ways: u64| serde_json::json!({ "level": level, "kind": kind, "bytes": bytes, "ways": ways, "source": "sysfs" });
    serde_json::from_value(serde_json::json!({
        "cpu": {
            "architecture": "x86_64",
            "vendor": "AuthenticAMD",
            "brand": format!("AMD EPYC {name}"),
            "microarchitecture": { "key": "zen5", "name": "Zen 5 (Turin)" },
        },
        "caches": [
            cache(1, "data", 48 << 10, 12),
            cache(2, "unified", 1 << 20, 16),
            cache(3, "unified", 32 << 20, 16),
        ],
        "topology": { "online": [0, 1] },
        "limits": { "allowed_cpus": [0, 1] },
        "host": { "name": name, "hypervisor": "KVM" },
    }))
    .unwrap()
}

/// A metric in one line.
pub fn metric(
    id: &'static str,
    summary: &'static str,
    unit: Unit,
    better: Better,
    tier: NoiseClass,
    family: &'static str,
    from: Derive,
) -> Metric {
    Metric {
        id: id.into(),
        summary: summary.into(),
        unit,
        better,
        tier,
        family: family.into(),
        report_only: None,
        from,
    }
}

/// A proof in one line.
pub fn proof(
    metrics: &[&'static str],
    at: Select,
    end: Option<(&'static str, Edge)>,
    event: Event,
    (least, most): (Option<f64>, Option<f64>),
) -> Proof {
    let metrics = metrics.iter().map(|&id| id.into()).collect();
    Proof { metrics, at, end: end.map(|(x, edge)| (x.into(), edge)), event, least, most }
}
