//! aarch64 instructions behind the kernels.
//!
//! Arrangements stand behind the instruction, as in `fadd.4s v\r`, where a register's number is a
//! parameter: the assembler would read `v\r.4s` as a parameter of another name.
pub(super) mod atomic;
pub(super) mod bandwidth;
pub(super) mod branch;
pub(super) mod chain;
pub(super) mod chase;
pub(super) mod elements;
mod emit;
pub(super) mod forward;
pub(super) mod jumps;
pub(super) mod line;
pub(super) mod load;
pub(super) mod parallel;
pub(super) mod simd;
pub(super) mod stream;
pub(super) mod switch;
pub(super) mod timer;
pub(super) mod vector;
pub(super) mod window;

/// Calls a macro with the widths that metrics are declared for: all of them with the numbers of 32
/// and 64 bits that a multiply-add works on, twice; the vectors, with what to call them; those whose
/// load may move the clock; those that gather, with the share of one element in it; and the one that
/// has no fused multiply-add as baseline: here, none.
macro_rules! widths {
    ($with:ident) => {
        $with! {
            all: ["scalar" 2.0 2.0] ["neon" 8.0 4.0];
            vectors: ["neon" "128-bit"];
            wide: ["neon" "128-bit"];
            gathers: ["scalar" 1.0];
            unfused:;
        }
    };
}
pub(crate) use widths;
