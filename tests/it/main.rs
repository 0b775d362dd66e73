//! The real program, end to end, in one binary, which is linked once.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod common;

mod advice;
mod cli;
mod counters;
mod devices;
mod forbidden;
mod limits;
mod measure;
mod outputs;
mod page;
mod pictures;
mod prices;
mod readers;
mod survival;
mod switching;
mod tidy;
