//! Cards for the tests of the readers: one that was recorded, and others made in memory; and files of
//! other machines.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::counters::{CounterSupport, Event};
use crate::declare::{
    Better, Declaration, Derive, Edge, Level, Metric, NoiseClass, Proof, Select, Unit,
};
use crate::machine::Machine;
use crate::record::{Disturbances, Fail, FailKind, Param, Point, PointState, Skip};

use crate::file::{Card, End, EndState, Header, Plan, Tool};
use crate::findings::{Finding, Severity};
use crate::metrics::{Grade, Metrics, State, Value};
use crate::summary::Summary;

mod coherence;
mod counters;
mod memory;
mod trees;

pub use trees::tree;

/// What the probes declare today on x86_64, as `probecard list --json` prints it: kept as text, since
/// a card knows no probe's code.
pub fn all_declared() -> &'static [Declaration] {
    static ALL: LazyLock<Vec<Declaration>> =
        LazyLock::new(|| serde_json::from_str(include_str!("fixture/declarations.json")).unwrap());
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

/// Gaps in the noise points of [`summary`].
pub const GAPS: usize = 1_206;

/// A machine, a full card, and something of everything that a report must show.
pub fn summary() -> Summary {
    static MADE: LazyLock<Summary> = LazyLock::new(make_summary);
    MADE.clone()
}

fn make_summary() -> Summary {
    let mut card = blank("9B45");
    card.points = points();
    card.header.declarations = memory::declarations();
    let skip = Skip::new("a folder on a disk", "the root file system is in memory", "mount a disk");
    card.skips.push(Skip { probe: "storage".into(), ..skip });
    card.fails.push(Fail {
        cpu: None,
        probe: "branch".into(),
        round: 2,
        cause: FailKind::Killed,
        how: "killed by signal 11 (SIGSEGV)".into(),
        stderr: "first line\nlast line".into(),
    });
    card.end = Some(End { state: EndState::Complete, wall_s: 93.4 });
    let mut metrics = metrics();
    metrics.0.extend(crate::metrics::evaluate(&card).0);
    Summary { card, metrics, findings: findings() }
}

/// A Zen 4 guest whose metrics and findings all come from its points.
pub fn memory() -> Summary {
    static MADE: LazyLock<Summary> = LazyLock::new(make_memory);
    MADE.clone()
}

fn make_memory() -> Summary {
    let mut card = summary().card;
    card.header.machine = guest("9B14", ("zen4", "Zen 4 (Genoa)"), (32 << 10, 8));
    let latency = declared("memory-latency");
    card.header.declarations.insert(0, latency);
    (card.skips, card.fails) = (Vec::new(), Vec::new());
    card.points.iter_mut().filter(|p| p.probe == "memory-latency").for_each(|p| p.note = None);
    Summary::of(card)
}

/// The same on a machine of two memory nodes.
pub fn two_nodes() -> Summary {
    let mut card = memory().card;
    card.points.retain(|p| p.probe != "numa");
    (0..5).for_each(|round| memory::numa(&mut card.points, round, 2));
    let node = |id: usize| serde_json::json!({ "id": id, "cpus": [id], "memory_bytes": 1u64 << 30, "distances": if id == 0 { [10, 21] } else { [21, 10] } });
    let nodes = serde_json::json!([node(0), node(1)]);
    card.header.machine.topology.numa_nodes = serde_json::from_value(nodes).unwrap();
    Summary::of(card)
}

/// So many CPUs that were measured at one line.
pub fn cores(cpus: usize) -> Summary {
    let mut card = blank("9B14");
    card.header.machine = guest("9B14", ("zen4", "Zen 4 (Genoa)"), (32 << 10, 8));
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
    for round in 0..5 {
        let point = Point {
            unit: Unit::Bytes,
            ..memory::timed("simd-compute", "vector", round, 32.0, &[])
        };
        card.points.push(point);
    }
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

/// The Zen 4 guest on a host that lets it count.
pub fn counted() -> Summary {
    static MADE: LazyLock<Summary> = LazyLock::new(|| {
        let mut card = memory().card;
        let recorded = recorded().card;
        card.header.declarations.push(declared("branch"));
        card.points.extend(recorded.points.into_iter().filter(|p| p.probe == "branch"));
        card.header.counters = counters::survey();
        card.header.declarations.iter_mut().for_each(counters::prove);
        card.points.iter_mut().for_each(counters::count);
        Summary::of(card)
    });
    MADE.clone()
}

/// The same where there is nothing to count with.
pub fn uncounted() -> Summary {
    let mut card = memory().card;
    card.header.counters = counters::none();
    Summary::of(card)
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
    // With these there is every picture.
    let recorded = recorded().card;
    (card.points, card.header.declarations) = (recorded.points, recorded.header.declarations);
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
    summary.findings.iter_mut().for_each(|f| f.text = evil.into());
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

/// A repeatable wobble of up to `share`.
fn wobble(seed: f64, share: f64) -> f64 {
    1.0 + share * (seed * 12.9898).sin()
}

fn points() -> Vec<Point> {
    let mut points = Vec::new();
    for round in 0..5 {
        latency_points(&mut points, round);
        clock_points(&mut points, round);
        noise_points(&mut points, round);
        points.extend(memory::points(round));
    }
    points
}

/// Steps with soft edges, higher for 4 KiB pages, flat for the prefetched variants.
fn latency(variant: &str, bytes: f64) -> f64 {
    let step = |edge: f64, height: f64| height / (1.0 + (edge / bytes).powi(4));
    match variant {
        "random_2m" => 1.09 + step(55e3, 2.75) + step(1.3e6, 9.4) + step(9e6, 108.0),
        "random_4k" => {
            1.09 + step(55e3, 2.75) + step(1.2e6, 12.0) + step(7e6, 128.0) + step(40e6, 30.0)
        }
        "page_local" => 1.09 + step(55e3, 2.4) + step(1.3e6, 4.0) + step(12e6, 31.0),
        _ => 1.09 + step(55e3, 0.2) + step(1.3e6, 0.5) + step(16e6, 2.2),
    }
}

fn latency_points(points: &mut Vec<Point>, round: u32) {
    for variant in ["random_2m", "random_4k", "page_local", "sequential"] {
        for quarter in 0..=68 {
            let bytes = (4096.0 * 2f64.powf(f64::from(quarter) / 4.0) / 64.0).round() * 64.0;
            let ns = latency(variant, bytes) * wobble(f64::from(round * 100 + quarter), 0.03);
            let samples = (0..9).map(|i| ns * wobble(f64::from(i), 0.01)).collect();
            let params =
                [("working_set", Param::from(bytes as u64)), ("variant", Param::from(variant))];
            let mut point =
                with(point("memory-latency", "latency", round, Unit::Ns, samples), &params);
            point.core_ghz = vec![3.706; point.samples.len()];
            if variant == "random_2m" && bytes > 64e6 {
                point.note = Some("huge pages not granted: 4K".into());
            }
            points.push(point);
        }
    }
}

fn clock_points(points: &mut Vec<Point>, round: u32) {
    for (i, us) in
        [10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 50_000, 200_000, 1_000_000]
            .into_iter()
            .enumerate()
    {
        let rise = 1.0 - (-(us as f64) / 3_000.0).exp();
        let ghz = (2.9 + 0.81 * rise) * wobble(f64::from(round) + i as f64, 0.006);
        let params = [("after_idle_us", Param::from(us as u64))];
        points.push(with(
            point("clock", "core_ghz_after_idle", round, Unit::Ghz, vec![ghz; 3]),
            &params,
        ));
    }
}

/// 1,206 gaps in 6 s: ticks, and a few long ones.
fn noise_points(points: &mut Vec<Point>, round: u32) {
    let count = if round == 0 { 1_000 } else { 50 };
    let mut gaps: Vec<f64> = (0..count).map(|i| 3_200.0 * wobble(f64::from(i), 0.6)).collect();
    if round == 1 {
        gaps.extend([21e3, 35e3, 38e3, 400e3, 1.9e6, 4.1e6]);
    }
    let cpu = [("cpu", Param::from(1u64))];
    points.push(with(point("noise", "gap", round, Unit::Ns, gaps), &cpu));
    points.push(with(point("noise", "observed_ns", round, Unit::Ns, vec![1.2e9]), &cpu));
}

fn value(id: &str, family: &str, unit: Unit, value: f64) -> Value {
    Value {
        only_differs: false,
        id: id.into(),
        value: Some(value),
        low: Some(value * 0.99),
        high: Some(value * 1.01),
        unit,
        state: State::Ok,
        grade: Some(Grade::Within5),
        states: Vec::new(),
        reason: None,
        family: family.into(),
        tier: NoiseClass::T1,
        better: Better::Lower,
        rounds: 5,
        probe: "memory-latency".into(),
        summary: "what it says".into(),
    }
}

fn metrics() -> Metrics {
    let mut all = Vec::new();
    for (level, ns) in
        [(Level::L1, 1.09), (Level::L2, 3.84), (Level::L3, 13.2), (Level::Dram, 121.0)]
    {
        let name = format!("{level:?}").to_lowercase();
        all.push(value(&format!("memory.latency.{name}_ns"), "memory", Unit::Ns, ns));
        let cycles = ns * 3.706;
        all.push(value(&format!("memory.latency.{name}_cycles"), "memory", Unit::Cycles, cycles));
    }
    all.push(value("memory.read_1m_sequential_ns", "memory", Unit::Ns, 38_200.0));
    all.push(value("cache.l1d_knee_bytes", "cache", Unit::Bytes, 49_152.0));
    all.push(value("cache.l2_knee_bytes", "cache", Unit::Bytes, 1_048_576.0));
    all.push(value("cache.l3_knee_bytes", "cache", Unit::Bytes, 8_388_608.0));
    let mut line = value("cache.line_bytes", "cache", Unit::Bytes, 64.0);
    line.state = State::Inconsistent;
    line.reason = Some("two methods say 64 B, two say 128 B".into());
    all.push(line);
    let mut mispredict = value("branch.mispredict_ns", "branch", Unit::Ns, 4.71);
    (mispredict.state, mispredict.low, mispredict.high) = (State::Noisy, Some(3.9), Some(9.4));
    all.push(mispredict);
    all.push(value("branch.mispredict_pipeline_cycles", "branch", Unit::Cycles, 14.8));
    all.push(value("clock.core_ghz", "clock", Unit::Ghz, 3.706));
    all.push(value("clock.settle_ms", "clock", Unit::Ms, 8.4));
    all.push(value("noise.gap_ratio", "noise", Unit::Ratio, 0.001_54));
    all.push(value("noise.gap_p99_ns", "noise", Unit::Ns, 21_200.0));
    let mut steal = value("noise.steal_ratio", "noise", Unit::Ratio, 0.0);
    (steal.value, steal.low, steal.high) = (None, None, None);
    (steal.state, steal.rounds) = (State::Unavailable, 0);
    steal.reason = Some("the hypervisor does not report steal time".into());
    all.push(steal);
    Metrics(all)
}

fn findings() -> Vec<Finding> {
    let finding = |severity, text: &str, metric: &str| Finding {
        severity,
        text: text.into(),
        metrics: vec![metric.into()],
    };
    vec![
        finding(
            Severity::Warning,
            "The L3 cache is claimed to have 32 MiB, but a random walk leaves its level at 8 MiB: \
             neighbours share it.",
            "cache.l3_knee_bytes",
        ),
        finding(Severity::Note, "The branch numbers are noisy.", "branch.mispredict_ns"),
    ]
}

/// A guest on Zen 5 with the given name.
fn machine(name: &str) -> Machine {
    guest(name, ("zen5", "Zen 5 (Turin)"), (48 << 10, 12))
}

/// A guest of two CPUs with that microarchitecture, and an L1D of so many bytes and ways.
fn guest(name: &str, (key, arch): (&str, &str), (l1d, ways): (u64, u64)) -> Machine {
    let cache = |level: u8, kind: &str, bytes: u64, ways: u64| serde_json::json!({ "level": level, "kind": kind, "bytes": bytes, "ways": ways, "source": "sysfs" });
    serde_json::from_value(serde_json::json!({
        "cpu": {
            "architecture": "x86_64",
            "vendor": "AuthenticAMD",
            "brand": format!("AMD EPYC {name}"),
            "microarchitecture": { "key": key, "name": arch },
        },
        "caches": [
            cache(1, "data", l1d, ways),
            cache(2, "unified", 1 << 20, if key == "zen5" { 16 } else { 8 }),
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
