//! The probes of probecard: everything that touches the hardware, and nothing else.
//!
//! `suite/` holds one file per probe (safe code); `harness/` the sampling protocol and the clock,
//! `threads/` teams of them, `run/` the parent's side; `kernel/` the measured loops and `sys/` the system calls, which are the only places
//! with `unsafe` code.

pub mod catalog;
pub mod harness;
pub mod kernel;
pub mod probe;
pub mod run;
pub mod suite;
pub mod sys;
pub mod threads;
