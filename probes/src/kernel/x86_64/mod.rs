//! x86_64 instructions behind the kernels.
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
pub(super) mod switch;
pub(super) mod timer;
pub(super) mod vector;
pub(super) mod width;
pub(super) mod window;

/// The end of a loop: once more from label 2, while `n` is not zero.
macro_rules! again {
    () => {
        "dec {n}\njnz 2b"
    };
}
pub(in crate::kernel) use again;

/// Adds up `a` to `d`, into `a`.
macro_rules! total {
    () => {
        "add {a}, {b}\nadd {c}, {d}\nadd {a}, {c}"
    };
}
pub(in crate::kernel) use total;
