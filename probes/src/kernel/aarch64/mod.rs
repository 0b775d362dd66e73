//! aarch64 instructions behind the kernels.
//!
//! Arrangements stand behind the instruction, as in `fadd.4s v\r`, where a register's number is a
//! parameter: the assembler would read `v\r.4s` as a parameter of another name. Those of SVE cannot
//! stand there, and are parted from the parameter, as in `z\r\().s`; within a list in a list, of which
//! the outer one takes such a mark away, as in `z\i\\()().s`.
#![warn(clippy::cast_possible_truncation)]

pub(super) mod atomic;
pub(super) mod bandwidth;
pub(super) mod branch;
pub(super) mod chain;
pub(super) mod chase;
pub(super) mod elements;
pub(super) mod emit;
pub(super) mod forward;
pub(super) mod jumps;
pub(super) mod line;
pub(super) mod load;
pub(super) mod parallel;
pub(super) mod simd;
pub(super) mod stream;
mod sve;
pub(super) mod switch;
pub(super) mod timer;
pub(super) mod vector;
pub(super) mod width;
pub(super) mod window;

/// The end of a loop: once more from label 2, while `n` is not zero.
macro_rules! again {
    () => {
        "subs {n}, {n}, #1\nb.ne 2b"
    };
}
pub(in crate::kernel) use again;

/// Adds up `a` to `d`, into `a`.
macro_rules! total {
    () => {
        "add {a}, {a}, {b}\nadd {c}, {c}, {d}\nadd {a}, {a}, {c}"
    };
}
pub(in crate::kernel) use total;
