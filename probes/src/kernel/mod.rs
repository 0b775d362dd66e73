//! The measured loops: assembly behind safe functions. Each kernel owns its loop, takes the
//! number of operations, and returns something by which its work can be checked.
//!
//! `x86_64/` and `aarch64/` hold the instructions, one file for each file here, and `generic/` what goes
//! around them on every architecture; another architecture gets a folder with the same functions. It
//! also says which widths of vectors there are: what it lacks is a type without values, so that
//! nobody can ask for it. Nothing outside this folder, `sys/` and `machine` asks for the
//! architecture.

#[cfg(target_arch = "x86_64")]
#[path = "x86_64/mod.rs"]
mod arch;

#[cfg(target_arch = "aarch64")]
#[path = "aarch64/mod.rs"]
mod arch;

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("no kernels for this architecture yet: add a folder beside kernel/x86_64");

mod generic;

use std::num::NonZeroU64;

pub mod atomic;
pub mod bandwidth;
pub mod branch;
pub mod chain;
pub mod chase;
pub mod coherence;
pub mod elements;
pub mod forward;
pub mod jumps;
pub mod line;
pub mod load;
pub mod parallel;
mod scattering;
pub mod simd;
pub mod stream;
pub mod switch;
pub mod timer;
pub mod vector;
pub mod width;
pub mod window;

/// What follows begins a line of code, and so does the function that it is in. Loops that the compiler
/// makes lie elsewhere in every build otherwise, and predictors and caches of decoded instructions go by
/// the address: the same calls through a pointer took 25 % less, in the same switch of coroutines 66 %
/// more, after a change elsewhere.
#[inline(always)]
pub fn begin_line() {
    // SAFETY: instructions that do nothing, as many as are needed.
    unsafe { std::arch::asm!(".p2align 6", options(nomem, nostack, preserves_flags)) };
}

/// How many blocks at least so many operations take: one, where none are wanted, since the loops count
/// down and only then look.
#[inline(always)]
fn whole_blocks(ops: u64, block: u64) -> NonZeroU64 {
    NonZeroU64::new(ops.div_ceil(block)).unwrap_or(NonZeroU64::MIN)
}
