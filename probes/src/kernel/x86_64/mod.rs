//! x86_64 instructions behind the kernels.
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

/// Calls a macro with the widths that metrics are declared for: all of them; the vectors, with what
/// to call them; those whose load may move the clock; those that gather; the one that has no
/// fused multiply-add as baseline; and the one whose length is the processor's: here, none.
macro_rules! widths {
    ($with:ident) => {
        $with! {
            all: ["scalar"] ["sse"] ["avx"] ["avx512"];
            vectors: ["sse" "128-bit"] ["avx" "256-bit"] ["avx512" "512-bit"];
            wide: ["avx" "256-bit"] ["avx512" "512-bit"];
            gathers: ["scalar"] ["avx"] ["avx512"];
            unfused: ["sse"];
            scalable:;
        }
    };
}
pub(crate) use widths;
