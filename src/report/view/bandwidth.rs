//! The bandwidth metrics as a table: what the terminal, the page and the picture share.
//!
//! One thread's rates in each level, all threads' from memory: some eighty metrics, which no one
//! reads line by line.

use card::format;
use card::metrics::{Metrics, State, Value};

/// The levels as in ids, and in words.
pub(in crate::report) const LEVELS: [(&str, &str); 4] =
    [("l1", "L1"), ("l2", "L2"), ("l3", "L3"), ("dram", "DRAM")];

/// A kernel in one level.
#[derive(Clone, Copy, Default)]
pub(in crate::report) struct Cell<'a> {
    pub(in crate::report) gbs: Option<&'a Value>,
    pub(in crate::report) per_cycle: Option<&'a Value>,
}

/// A kernel.
pub(in crate::report) struct Row<'a> {
    pub(in crate::report) kernel: &'a str,
    /// In the order of [`LEVELS`].
    pub(in crate::report) levels: [Cell<'a>; 4],
    /// All threads together, from memory.
    pub(in crate::report) all_threads: Option<&'a Value>,
    /// With the lines that a store reads before it writes, one thread, from memory.
    pub(in crate::report) bus: Option<&'a Value>,
}

impl<'a> Row<'a> {
    fn new(kernel: &'a str) -> Row<'a> {
        Row { kernel, levels: Default::default(), all_threads: None, bus: None }
    }

    /// Everything that stands in the row.
    pub(in crate::report) fn values(&self) -> impl Iterator<Item = &'a Value> {
        let cells = self.levels.into_iter().flat_map(|c| [c.gbs, c.per_cycle]);
        cells.chain([self.all_threads, self.bus]).flatten()
    }

    fn place(&mut self, column: Column) -> &mut Option<&'a Value> {
        match column {
            Column::Gbs(level) => &mut self.levels[level].gbs,
            Column::PerCycle(level) => &mut self.levels[level].per_cycle,
            Column::AllThreads => &mut self.all_threads,
            Column::Bus => &mut self.bus,
        }
    }
}

#[derive(Clone, Copy)]
enum Column {
    Gbs(usize),
    PerCycle(usize),
    AllThreads,
    Bus,
}

/// `memory.bandwidth.read.l1_gbs` → `read` and its column.
fn parse(id: &str) -> Option<(&str, Column)> {
    let (kernel, rest) = id.strip_prefix("memory.bandwidth.")?.split_once('.')?;
    let level = |suffix| {
        let level = rest.strip_suffix(suffix)?;
        LEVELS.iter().position(|(id, _)| *id == level)
    };
    let column = match rest {
        "dram_all_threads_gbs" => Column::AllThreads,
        "dram_bus_gbs" => Column::Bus,
        _ => level("_gbs").map(Column::Gbs).or(level("_bytes_per_cycle").map(Column::PerCycle))?,
    };
    Some((kernel, column))
}

/// Whether a metric has its place in the table, and so needs no line of its own.
pub(in crate::report) fn in_table(id: &str) -> bool {
    parse(id).is_some()
}

/// The kernels in the order of the card; empty where the card has no bandwidths.
pub(in crate::report) fn rows(metrics: &Metrics) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> = Vec::new();
    for value in &metrics.0 {
        let Some((kernel, column)) = parse(&value.id) else { continue };
        let at = rows.iter().position(|r| r.kernel == kernel).unwrap_or_else(|| {
            rows.push(Row::new(kernel));
            rows.len() - 1
        });
        *rows[at].place(column) = Some(value);
    }
    rows
}

/// What a kernel does, for readers who do not know its name.
pub(in crate::report) fn words(kernel: &str) -> &'static str {
    match kernel {
        "read" => "loads",
        "write" => "stores",
        "write_nt" => "non-temporal (streaming) stores",
        "write_nt_zero" => "non-temporal stores of zeros",
        "zero_line" => "cache-line zeroing (CLZERO, DC ZVA)",
        "copy" => "loads and stores; both count",
        "copy_nt" => "loads and non-temporal stores; both count",
        "triad" => "a = b + s·c; all three count",
        "update" => "read-modify-write; loads and stores count",
        "memcpy" => "C library memcpy; loads and stores count",
        _ => "",
    }
}

/// The number without its unit, which stands above the column.
pub(in crate::report) fn number(value: &Value) -> String {
    format::bare(value)
}

/// Why cells are empty: each reason with the cells it holds for, as few words as possible.
pub(in crate::report) fn missing(rows: &[Row<'_>]) -> Vec<(String, Vec<String>)> {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    let columns = LEVELS.iter().enumerate().map(|(i, (_, name))| {
        let cell = move |row: &Row<'_>| {
            let cell = row.levels[i];
            reason(cell.gbs.or(cell.per_cycle))
        };
        (format!("in {name}"), rows.iter().map(cell).collect::<Vec<_>>())
    });
    let all = rows.iter().map(|row| reason(row.all_threads)).collect();
    for (place, reasons) in columns.chain([("by all threads".to_owned(), all)]) {
        let mut distinct: Vec<&String> = reasons.iter().flatten().collect();
        distinct.sort_unstable();
        distinct.dedup();
        for reason in distinct {
            let here = reasons.iter().zip(rows).filter(|(r, _)| r.as_ref() == Some(reason));
            let kernels: Vec<&str> = here.map(|(_, row)| row.kernel).collect();
            let cells = match kernels.len() == rows.len() {
                true => format!("all {place}"),
                false => format!("{} {place}", kernels.join(", ")),
            };
            match groups.iter_mut().find(|g| g.0 == *reason) {
                Some(group) => group.1.push(cells),
                None => groups.push((reason.clone(), vec![cells])),
            }
        }
    }
    groups
}

/// Why there is no value.
fn reason(value: Option<&Value>) -> Option<String> {
    let value = value.filter(|v| v.state == State::Unavailable)?;
    Some(value.reason.clone().unwrap_or_else(|| "not measured".into()))
}

/// The smallest and the largest disagreement of rounds among the noisy values, relative to them.
pub(in crate::report) fn noise(rows: &[Row<'_>]) -> Option<(f64, f64)> {
    let spread = |v: &Value| Some((v.high? - v.low?) / v.value.filter(|v| *v > 0.0)?);
    let noisy = rows.iter().flat_map(Row::values).filter(|v| v.state == State::Noisy);
    let spreads: Vec<f64> = noisy.filter_map(spread).filter(|s| s.is_finite()).collect();
    let least = spreads.iter().copied().min_by(f64::total_cmp)?;
    Some((least, spreads.into_iter().max_by(f64::total_cmp)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use card::fixture;

    #[test]
    fn every_bandwidth_has_its_place_and_nothing_else_has() {
        let summary = fixture::recorded();
        let rows = rows(&summary.metrics);
        let kernels: Vec<&str> = rows.iter().map(|r| r.kernel).collect();
        assert!(kernels.contains(&"read") && kernels.contains(&"memcpy"), "{kernels:?}");
        let placed = rows.iter().flat_map(Row::values).count();
        let all: Vec<&Value> =
            summary.metrics.0.iter().filter(|v| v.id.starts_with("memory.bandwidth.")).collect();
        assert_eq!(placed, all.len());
        assert!(placed >= 75 && all.iter().all(|v| in_table(&v.id)));
        for id in ["memory.bandwidth.read.l9_gbs", "memory.latency.l1_ns", "memory.bandwidth.x"] {
            assert!(!in_table(id), "{id}");
        }
    }

    #[test]
    fn a_reason_names_its_cells_once() {
        let mut summary = fixture::recorded();
        for kernel in ["read", "copy"] {
            for (level, reason) in [("l1", "a"), ("l2", "a"), ("dram", "b")] {
                let id = format!("memory.bandwidth.{kernel}.{level}_gbs");
                let value = summary.metrics.0.iter_mut().find(|v| v.id == id).unwrap();
                (value.value, value.state) = (None, State::Unavailable);
                value.reason = Some(reason.into());
            }
        }
        let missing = missing(&rows(&summary.metrics));
        let said: Vec<String> =
            missing.iter().map(|(r, c)| format!("{}: {r}", c.join("; "))).collect();
        assert_eq!(said, ["read, copy in L1; read, copy in L2: a", "read, copy in DRAM: b"]);
    }

    #[test]
    fn empty_cells_say_why_and_noise_says_how_much() {
        let mut summary = fixture::recorded();
        for value in &mut summary.metrics.0 {
            value.state = State::Ok;
            if value.id.contains(".l3_") {
                (value.value, value.state) = (None, State::Unavailable);
                value.reason = Some("no L3".into());
            }
            if value.id == "memory.bandwidth.read.l1_gbs" {
                value.state = State::Noisy;
                (value.value, value.low, value.high) = (Some(100.0), Some(90.0), Some(110.0));
            }
        }
        let rows = rows(&summary.metrics);
        let missing = missing(&rows);
        assert_eq!(missing.len(), 1);
        assert_eq!(missing[0].0, "no L3");
        assert_eq!(missing[0].1, ["all in L3"]);
        let (least, most) = noise(&rows).unwrap();
        assert!((least - 0.2).abs() < 1e-9 && least == most, "{least} {most}");
    }
}
