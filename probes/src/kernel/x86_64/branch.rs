//! Conditional branches whose outcomes are the bits of a word.
use crate::kernel::generic::branch::{bits, fixed, serial};

/// Multiplications from one branch of [`serial()`] to the next. They put three cycles into four bytes.
pub(in crate::kernel) const CHAIN: usize = 7;

serial!(
    12: ["mov {word}, [{next}]" "add {next}, 8"]
    ["mov {mask}, {chain}" "imul {mask}, {one}"] ["test {word}, {mask}" "jz 3f"]
    "add {chain}, {zero}" "shr {word}" "imul {chain}, {one}"
);

// A branch that is taken when the bit is set, over the addition that counts clear bits.
bits!(parallel: ["mov {word}, [{next}]" "add {next}, 8"]
    ["shr {word}" "jc 3f" "add {count}, {one}" "3:"]
    [one = in(reg) 1_u64,]);

// An addition of the bit.
bits!(set: ["mov {word}, [{next}]" "add {next}, 8"]
    ["shr {word}" "adc {count}, {zero}"]
    [zero = in(reg) 0_u64,]);

fixed!("cmp {zero}, {other}" "je 3f");
