//! What the arithmetic and the memory of this machine, as measured, let a kernel do: the time of
//! an element is the longest of its arithmetic, its loads in L1, and its bytes in its level.

use super::vectors::{WIDTHS, bytes};
use card::file::Card;
use card::metrics::Metrics;
use card::series;

/// Instructions of our search for eight bytes without vectors, which aarch64 has a better one for, and
/// for each vector.
const SCALAR_SEARCH: f64 = 5.0;
const SCALAR_SEARCH_AARCH64: f64 = 4.0;
const VECTOR_SEARCH: f64 = 2.0;

/// Speed of a kernel at a width ÷ that of scalar code, by the model. `None` where something that
/// it rests on was not measured.
pub(in crate::report) fn speed_up(
    card: &Card,
    metrics: &Metrics,
    kernel: &str,
    width: &str,
    level: &str,
) -> Option<f64> {
    let time = |width| Model { card, metrics, width }.cycles(kernel, level);
    Some(time("scalar")? / time(width)?)
}

struct Model<'a> {
    card: &'a Card,
    metrics: &'a Metrics,
    width: &'a str,
}

impl Model<'_> {
    /// Cycles of an element.
    fn cycles(&self, kernel: &str, level: &str) -> Option<f64> {
        let arithmetic = self.arithmetic(kernel)?;
        let loads = self.loads(kernel)?;
        Some(arithmetic.max(loads).max(self.level(kernel, level)?))
    }

    fn number(&self, id: &str) -> Option<f64> {
        self.metrics.number(id).filter(|v| v.is_finite() && *v > 0.0)
    }

    /// The narrowest vectors of the card's architecture.
    fn narrow(&self) -> &'static str {
        let widths = super::vectors::widths(self.metrics);
        if widths.iter().any(|&i| WIDTHS[i].0 == "neon") { "neon" } else { "sse" }
    }

    /// Numbers of four bytes in a register.
    fn lanes(&self) -> f64 {
        bytes(self.metrics, self.width).map_or(1.0, |bytes| bytes / 4.0)
    }

    fn rate(&self, op: &str, of: &str) -> Option<f64> {
        self.number(&format!("simd.{op}.{of}.{}.instructions_per_cycle", self.width))
    }

    fn arithmetic(&self, kernel: &str) -> Option<f64> {
        Some(match kernel {
            "sum" => 1.0 / (self.rate("add", "f32")? * self.lanes()),
            "bytesearch" if self.width == "scalar" => {
                let instructions = match self.narrow() {
                    "neon" => SCALAR_SEARCH_AARCH64,
                    _ => SCALAR_SEARCH,
                };
                instructions / (8.0 * self.rate("add", "i32")?)
            }
            "bytesearch" => VECTOR_SEARCH / (4.0 * self.lanes() * self.rate("add", "i32")?),
            // Two operations an element: fused where our kernels have it.
            _ => match (self.narrow(), self.width) {
                ("sse", "scalar" | "sse") => {
                    let four = self.number("simd.mul_add.f32.sse.flops_per_cycle")?;
                    2.0 / (four / 4.0 * self.lanes())
                }
                _ => 2.0 / self.number(&format!("simd.fma.f32.{}.flops_per_cycle", self.width))?,
            },
        })
    }

    /// Loads in L1 as fast as the reading kernel has them. A single number is loaded as fast as a
    /// narrow vector: both go to the vector registers, whose loads are fewer a cycle on some cores.
    fn loads(&self, kernel: &str) -> Option<f64> {
        let single = self.width == "scalar" && kernel != "bytesearch";
        let (width, numbers) =
            if single { (self.narrow(), 1.0) } else { (self.width, self.lanes()) };
        let settings = series::settings(self.card, "memory-bandwidth", "time_per_byte");
        let here = settings
            .iter()
            .filter(|s| s.is("kernel", "read") && s.is("level", "l1") && s.is("width", width));
        let per_byte = here.filter_map(|s| s.cycles).min_by(f64::total_cmp)?;
        let register = if single { 16.0 } else { 4.0 * self.lanes() };
        Some(match kernel {
            "bytesearch" => per_byte,
            "sum" => per_byte * register / numbers,
            _ => 2.0 * per_byte * register / numbers,
        })
    }

    /// Bytes through the level at the best width of a kernel that moves them alike. The triad's
    /// third array is fetched before it is stored to, beyond L1; that of saxpy was loaded anyway.
    fn level(&self, kernel: &str, level: &str) -> Option<f64> {
        let rate = |k: &str| self.number(&format!("memory.bandwidth.{k}.{level}_bytes_per_cycle"));
        Some(match kernel {
            "bytesearch" => 1.0 / rate("read")?,
            "sum" => 4.0 / rate("read")?,
            "dot" => 8.0 / rate("read")?,
            _ if level == "l1" => 12.0 / rate("triad")?,
            _ => 12.0 / (rate("triad")? * 4.0 / 3.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use card::fixture;

    #[test]
    fn the_model_is_the_width_in_l1_and_next_to_nothing_in_memory() {
        let summary = fixture::recorded();
        let model = |kernel, width, level| {
            speed_up(&summary.card, &summary.metrics, kernel, width, level).unwrap()
        };
        for kernel in ["sum", "dot", "saxpy", "bytesearch"] {
            let (near, far) = (model(kernel, "avx", "l1"), model(kernel, "avx", "dram"));
            assert!(near > 3.0, "{kernel}: {near}");
            assert!((1.0..near).contains(&far), "{kernel}: {far}");
            assert!((model(kernel, "scalar", "l1") - 1.0).abs() < 1e-9);
        }
        assert!((model("sum", "avx", "l1") / 8.0 - 1.0).abs() < 0.1);
    }

    #[test]
    fn neon_has_a_model_too() {
        let summary = fixture::neon();
        // Four numbers at a time, and two instructions for 16 bytes instead of four for eight.
        for kernel in ["sum", "dot", "saxpy", "bytesearch"] {
            let near = speed_up(&summary.card, &summary.metrics, kernel, "neon", "l1").unwrap();
            assert!((1.5..4.04).contains(&near), "{kernel}: {near}");
            assert_eq!(speed_up(&summary.card, &summary.metrics, kernel, "sse", "l1"), None);
        }
    }

    #[test]
    fn without_bandwidths_there_is_no_model() {
        let summary = fixture::empty();
        assert_eq!(speed_up(&summary.card, &summary.metrics, "sum", "avx", "l1"), None);
    }
}
