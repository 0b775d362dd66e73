//! Dependent integer chains.
use crate::kernel::generic::loops::chain;

// A register operand, because newer cores fold additions of small constants at rename and would read
// several times too fast.
chain!(add: 0_u64, 1_u64, "add {value}, {value}, {operand}");
chain!(mul: 1_u64, 3_u64, "mul {value}, {value}, {operand}");

#[cfg(test)]
chain!(mul_add_add: 1_u64, 3_u64, "mul {value}, {value}, {operand}\nadd {value}, {value}, {operand}\nadd {value}, {value}, {operand}");
