//! Dependent integer chains.
use crate::kernel::generic::loops::chain;

/// Cycles of a multiplication, since Nehalem and Zen.
pub(in crate::kernel) const MUL_CYCLES: Option<f64> = Some(3.0);

// A register operand, because newer cores fold additions of small constants at rename and would read
// several times too fast.
chain!(add: 0_u64, 1_u64, "add {value}, {operand}");
chain!(mul: 1_u64, 3_u64, "imul {value}, {operand}");
