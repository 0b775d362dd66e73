//! x86_64 instructions behind the kernels.
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
/// and 64 bits that a multiply-add works on, twice; the vectors, with what to call them; those
/// whose load may move the clock; those that gather, with the share of one element in it; and the
/// one that has no fused multiply-add as baseline.
macro_rules! widths {
    ($with:ident) => {
        $with! {
            all: ["scalar" 2.0 2.0] ["sse" 8.0 4.0] ["avx" 16.0 8.0] ["avx512" 32.0 16.0];
            vectors: ["sse" "128-bit"] ["avx" "256-bit"] ["avx512" "512-bit"];
            wide: ["avx" "256-bit"] ["avx512" "512-bit"];
            gathers: ["scalar" 1.0] ["avx" 0.125] ["avx512" 0.0625];
            unfused: ["sse"];
        }
    };
}
pub(crate) use widths;
