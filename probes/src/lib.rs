//! The probes of probecard: everything that touches the hardware, and nothing else.
//!
//! `suite/` holds one file per probe (safe code); `harness/` the sampling protocol and the clock,
//! `threads/` teams of them, `run/` the parent's side; `kernel/` the measured loops and `sys/` the system calls, which are the only places
//! with `unsafe` code.
// These macros panic where the stream cannot be written to, and a measurement must not end with that.
#![deny(clippy::print_stdout, clippy::print_stderr)]
#![deny(unsafe_code)]

pub mod catalog;
pub mod harness;
#[allow(unsafe_code, reason = "instructions that no safe code has")]
pub mod kernel;
pub mod probe;
pub mod run;
pub mod suite;
#[allow(unsafe_code, reason = "system calls that no safe code has")]
pub mod sys;
pub mod threads;
