//! Dependent integer chains.
use crate::kernel::generic::loops::chain;

/// Cycles of a multiplication: 2 to 5, by the design.
pub(in crate::kernel) const MUL_CYCLES: Option<f64> = None;

// A register operand, because newer cores fold additions of small constants at rename and would read
// several times too fast.
chain!(add: 0_u64, 1_u64, "add {value}, {value}, {operand}");
chain!(mul: 1_u64, 3_u64, "mul {value}, {value}, {operand}");
