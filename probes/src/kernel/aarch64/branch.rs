//! Conditional branches whose outcomes are the bits of a word.
use crate::kernel::generic::branch::{bits, fixed, serial};

/// Multiplications from one branch of [`serial()`] to the next: with the longest delay a block still
/// fits into its line.
pub(in crate::kernel) const CHAIN: usize = 6;

serial!(
    11: ["ldr {word}, [{next}], #8"]
    ["mov {mask}, {chain}" "mul {mask}, {mask}, {one}"] ["tst {word}, {mask}" "b.eq 3f"]
    "add {chain}, {chain}, {zero}" "lsr {word}, {word}, #1" "mul {chain}, {chain}, {one}"
);

// The highest bit first: a branch that is taken when it is set, over the addition that counts clear
// bits.
bits!(parallel: ["ldr {word}, [{next}], #8"]
    ["adds {word}, {word}, {word}" "b.cs 3f" "add {count}, {count}, {one}" "3:"]
    [one = in(reg) 1_u64,]);

// An addition of the bit.
bits!(set: ["ldr {word}, [{next}], #8"]
    ["adds {word}, {word}, {word}" "adc {count}, {count}, xzr"]
    []);

fixed!("cmp {zero}, {other}" "b.eq 3f");
