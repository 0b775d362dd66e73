//! What kernels are on every architecture: loops and routines that lack nothing but instructions,
//! which each architecture fills in.

#![warn(clippy::cast_possible_truncation)]

pub(super) mod bandwidth;
pub(super) mod branch;
pub(super) mod emit;
pub(super) mod forward;
pub(super) mod loops;
pub(super) mod parallel;
pub(super) mod routines;
pub(super) mod simd;
pub(super) mod switch;
