//! x86_64 instructions behind the kernels.
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
