//! The probes of probecard: everything that touches the hardware, and nothing else.
//!
//! `suite/` holds one file per probe (safe code); `harness/` the sampling protocol, clock and
//! placement; `kernel/` the measured loops and `sys/` the system calls, which are the only places
//! with `unsafe` code.
// These macros panic where the stream cannot be written to, and a measurement must not end with that.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod catalog;
pub mod checkup;
pub mod child;
pub mod harness;
pub mod kernel;
pub mod machine;
pub mod peer;
pub mod probe;
pub mod quantile;
pub mod record;
pub mod suite;
pub mod sys;
