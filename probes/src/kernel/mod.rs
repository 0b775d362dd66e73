//! The measured loops: assembly behind safe functions. Each kernel owns its loop, takes the
//! number of operations, and returns something by which its work can be checked.
//!
//! `x86_64/` holds the instructions, one file for each file here; another architecture gets a
//! folder with the same functions. Nothing outside this folder, `sys/` and `machine` asks for
//! the architecture.

#[cfg(target_arch = "x86_64")]
#[path = "x86_64/mod.rs"]
mod arch;

#[cfg(not(target_arch = "x86_64"))]
compile_error!("no kernels for this architecture yet: add a folder beside kernel/x86_64");

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
pub mod simd;
pub mod stream;
pub mod switch;
pub mod timer;
pub mod vector;
pub mod window;
