//! probecard: measures what a CPU really does and draws it beside what it claims, what is
//! published and the latency numbers every programmer should know.
//!
//! Data flows one way: the `run` command writes a card ([`card::file`]), and everything else (metrics,
//! findings, text, page, pictures) is computed from cards alone.
#![forbid(unsafe_code)]

pub mod cmd;
mod compress;
pub mod report;
