//! The vector metrics as tables: what the terminal and the pictures share.

use card::declare::Unit;
use card::format;

use card::metrics::{Metrics, State, Value};

/// Widths as in ids, their names, and bytes of a register; scalar code has one number in it, and the
/// length of SVE's is the processor's.
pub(in crate::report) const WIDTHS: [(&str, &str, Option<u32>); 6] = [
    ("scalar", "scalar", None),
    ("sse", "128 bit", Some(16)),
    ("neon", "128 bit", Some(16)),
    ("avx", "256 bit", Some(32)),
    ("avx512", "512 bit", Some(64)),
    ("sve", "SVE", None),
];

/// Bytes of a register; none of a single number, and where they are not known.
pub(in crate::report) fn bytes(metrics: &Metrics, width: &str) -> Option<f64> {
    match width {
        "sve" => metrics.number(SVE_BYTES),
        _ => WIDTHS.iter().find(|w| w.0 == width)?.2.map(f64::from),
    }
}

const SVE_BYTES: &str = "simd.sve_vector_bytes";

/// The places in [`WIDTHS`] of those that the card's architecture has, measured or not; SVE, which
/// is not in every processor of its architecture, only where its length is known.
pub(in crate::report) fn widths(metrics: &Metrics) -> Vec<usize> {
    let has = |width: &str| {
        let id = format!("simd.add.f32.{width}.latency_cycles");
        metrics.get(&id).is_some() && (width != "sve" || bytes(metrics, width).is_some())
    };
    (0..WIDTHS.len()).filter(|&i| has(WIDTHS[i].0)).collect()
}

/// An instruction on a type: as in ids, and in words.
pub(in crate::report) struct Instruction {
    op: &'static str,
    of: &'static str,
    pub(in crate::report) name: &'static str,
}

const fn instruction(op: &'static str, of: &'static str, name: &'static str) -> Instruction {
    Instruction { op, of, name }
}

/// In the order of the tables.
pub(in crate::report) const INSTRUCTIONS: [Instruction; 13] = [
    instruction("add", "f32", "add f32"),
    instruction("mul", "f32", "multiply f32"),
    instruction("fma", "f32", "FMA f32"),
    instruction("fma_add", "f32", "FMA + add f32"),
    instruction("mul_add", "f32", "multiply + add f32"),
    instruction("add", "f64", "add f64"),
    instruction("mul", "f64", "multiply f64"),
    instruction("fma", "f64", "FMA f64"),
    instruction("fma_add", "f64", "FMA + add f64"),
    instruction("mul_add", "f64", "multiply + add f64"),
    instruction("add", "i32", "add i32"),
    instruction("shuffle", "i32", "shuffle i32"),
    instruction("gather", "i32", "gather i32"),
];

/// An instruction at one width.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::report) struct Cost<'a> {
    /// Cycles.
    pub(in crate::report) latency: Option<&'a Value>,
    /// What the rate comes from.
    rate: Option<&'a Value>,
    /// Operations for one of its unit.
    factor: f64,
}

impl Cost<'_> {
    /// Operations a cycle: a multiply-add counts two for each number.
    pub(in crate::report) fn operations(&self) -> Option<f64> {
        Some(self.of(self.rate.and_then(believable)?))
    }

    /// The same as it is written.
    pub(in crate::report) fn text(&self) -> Option<String> {
        let (low, high) = format::spread(self.rate?);
        Some(format::within(self.operations()?, (self.of(low), self.of(high)), Unit::Unknown))
    }

    fn of(&self, rate: f64) -> f64 {
        match self.rate.map(|rate| rate.unit) {
            Some(Unit::Cycles) => self.factor / rate,
            _ => self.factor * rate,
        }
    }

    /// Whether the rounds agree on the rate.
    pub(in crate::report) fn steady(&self) -> bool {
        self.rate.is_none_or(|value| value.state == State::Ok)
    }
}

fn believable(value: &Value) -> Option<f64> {
    format::believable(value).filter(|v| *v > 0.0)
}

impl Instruction {
    /// What it costs at a width.
    pub(in crate::report) fn cost<'a>(&self, metrics: &'a Metrics, width: usize) -> Cost<'a> {
        let Instruction { op, of, .. } = self;
        let (width, ..) = WIDTHS[width];
        let get = |id: String| metrics.get(&id).filter(|value| value.value.is_some());
        let size = if *of == "f64" { 8.0 } else { 4.0 };
        let lanes = bytes(metrics, width).map_or(1.0, |bytes| bytes / size);
        let (rate, factor) = if *op == "gather" {
            (get(format!("simd.gather.{width}.cycles_per_element_cycles")), 1.0)
        } else if let Some(flops) = get(format!("simd.{op}.{of}.{width}.flops_per_cycle")) {
            (Some(flops), 1.0)
        } else {
            (get(format!("simd.{op}.{of}.{width}.instructions_per_cycle")), lanes)
        };
        Cost { latency: get(format!("simd.{op}.{of}.{width}.latency_cycles")), rate, factor }
    }
}

/// Kernels as in ids, and in words.
pub(in crate::report) const KERNELS: [(&str, &str); 4] =
    [("sum", "sum"), ("dot", "dot product"), ("saxpy", "y + a·x"), ("bytesearch", "byte search")];

/// How a kernel goes: as in ids, and in words; all against scalar code with eight accumulators.
pub(in crate::report) const WAYS: [(&str, &str); 6] = [
    ("naive", "1 accum."),
    ("sse", "128 bit"),
    ("neon", "128 bit"),
    ("avx", "256 bit"),
    ("avx512", "512 bit"),
    ("sve", "SVE"),
];

/// Speed against scalar code with eight accumulators.
pub(in crate::report) fn speed_up<'a>(
    metrics: &'a Metrics,
    kernel: &str,
    way: &str,
    level: &str,
) -> Option<&'a Value> {
    metrics.get(&format!("simd.{kernel}.{way}.{level}_ratio")).filter(|v| v.value.is_some())
}

/// How fast that scalar code is: bytes a cycle, in main memory GB/s.
pub(in crate::report) fn scalar_pace<'a>(
    metrics: &'a Metrics,
    kernel: &str,
    level: &str,
) -> Option<&'a Value> {
    let unit = if level == "dram" { "gbs" } else { "bytes_per_cycle" };
    metrics.get(&format!("simd.{kernel}.scalar.{level}_{unit}")).filter(|v| v.value.is_some())
}

/// Whether a metric is one of the two that a ratio is made of, which speaks for it.
pub(in crate::report) fn behind_ratio(id: &str) -> bool {
    in_table(id) && (id.ends_with("_bytes_per_cycle") || id.ends_with("_gbs"))
}

/// Whether a metric has its place in a table, and so needs no line of its own.
pub(in crate::report) fn in_table(id: &str) -> bool {
    let Some(rest) = id.strip_prefix("simd.") else { return false };
    let parts: Vec<&str> = rest.split('.').collect();
    match parts[..] {
        [op, of, _, _] => INSTRUCTIONS.iter().any(|i| i.op == op && i.of == of),
        ["gather", ..] => true,
        [kernel, _, _] => KERNELS.iter().any(|k| k.0 == kernel),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use card::fixture;

    #[test]
    fn operations_count_numbers_and_twice_for_multiply_adds() {
        let summary = fixture::recorded();
        let operations = |name: &str, width: &str| {
            let instruction = INSTRUCTIONS.iter().find(|i| i.name == name).unwrap();
            let width = WIDTHS.iter().position(|w| w.0 == width).unwrap();
            instruction.cost(&summary.metrics, width).operations().unwrap().round()
        };
        assert_eq!(operations("add f32", "avx"), 16.0);
        assert_eq!(operations("FMA f32", "avx"), 32.0);
        assert_eq!(operations("FMA f64", "avx512"), 16.0);
        assert_eq!(operations("gather i32", "avx"), 1.0);
    }

    #[test]
    fn every_metric_with_a_place_is_an_instruction_or_a_kernel() {
        let summary = fixture::recorded();
        let placed = summary.metrics.0.iter().filter(|v| in_table(&v.id)).count();
        assert!(placed > 100, "{placed}");
        for id in ["simd.peak_ratio", "simd.peak.f32_gflops", "simd.denormal_ratio", "tlb.walk_ns"]
        {
            assert!(!in_table(id), "{id}");
        }
        assert!(
            behind_ratio("simd.sum.avx.l1_bytes_per_cycle") && in_table("simd.dot.avx.dram_gbs")
        );
        assert!(!behind_ratio("simd.sum.avx.l1_ratio") && !behind_ratio("simd.peak.f32_gflops"));
    }
}
