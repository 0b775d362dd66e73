//! probecard: measures what a CPU really does and draws it beside what it claims, what is
//! published and the latency numbers every programmer should know.
//!
//! Data flows one way: the `run` command writes a card ([`card::file`]), and everything else (metrics,
//! findings, text, page, pictures) is computed from cards alone.
#![forbid(unsafe_code)]
// These macros panic where the stream cannot be written to, and a measurement must not end with that.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod archive;
pub mod cmd;
mod compress;
pub mod export;
mod files;
pub mod report;
