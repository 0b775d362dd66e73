//! Every CPU by itself: a dozen rows of what may be hundreds of CPUs.

use card::file::Card;
use card::format;
use card::view::each_cpu::{Cpu, Trait, ranked};
use serde::Serialize;

/// The ranked table.
#[derive(Serialize)]
pub(in crate::report) struct Table {
    /// What the order and the last column say.
    pub(in crate::report) legend: &'static str,
    /// One for each trait, with its unit.
    pub(in crate::report) heads: Vec<String>,
    pub(in crate::report) rows: Vec<Row>,
}

/// A CPU, or all those between the slowest and the fastest.
#[derive(Serialize)]
pub(in crate::report) struct Row {
    pub(in crate::report) name: String,
    /// In the order of the heads.
    pub(in crate::report) cells: Vec<String>,
    /// Beside the median of its kind.
    pub(in crate::report) pace: String,
    /// Whether it is slow, or wrong.
    pub(in crate::report) is_bad: bool,
}

const LEGEND: &str =
    "The slowest first, by what each is slowest at beside the median of its kind (1: as fast).";

/// Of more CPUs than this, the slowest and the fastest are shown.
const MOST: usize = 12;
const SLOWEST: usize = 7;
const FASTEST: usize = 4;

/// The CPUs in the order of [`ranked`]; `None` where they were not visited.
pub(in crate::report) fn table(card: &Card) -> Option<Table> {
    let cpus = ranked(card);
    if cpus.is_empty() {
        return None;
    }
    let rows = if cpus.len() <= MOST {
        cpus.iter().map(row).collect()
    } else {
        let (slowest, rest) = cpus.split_at(SLOWEST);
        let (others, fastest) = rest.split_at(rest.len() - FASTEST);
        let slowest = slowest.iter().map(row);
        slowest.chain([between(others)]).chain(fastest.iter().map(row)).collect()
    };
    let head = |at: Trait| format!("{}, {}", at.title(), at.unit());
    Some(Table { legend: LEGEND, heads: Trait::ALL.map(head).into(), rows })
}

fn row(cpu: &Cpu) -> Row {
    let cell = |at| cpu.traits.get(&at).map(|spread| format::number(spread.value));
    let pace = cpu.pace.map(|pace| format!("{pace:.3}×"));
    Row {
        name: format!("CPU {}", cpu.cpu),
        cells: Trait::ALL.map(|at| cell(at).unwrap_or_default()).into(),
        pace: if cpu.failed.is_some() { "failed".into() } else { pace.unwrap_or_default() },
        is_bad: cpu.failed.is_some() || !cpu.slow.is_empty(),
    }
}

fn between(others: &[Cpu]) -> Row {
    let slowest = others.iter().filter_map(|cpu| cpu.pace).fold(1.0, f64::min);
    Row {
        name: format!("{} others", others.len()),
        cells: vec![String::new(); Trait::ALL.len()],
        pace: format!("within {:.1} %", 100.0 * (1.0 - slowest)),
        is_bad: others.iter().any(|cpu| cpu.failed.is_some() || !cpu.slow.is_empty()),
    }
}
