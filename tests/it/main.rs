//! The real program, end to end, in one binary, which is linked once.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod common;

mod cli;
mod counters;
mod doctor;
mod each_cpu;
mod exports;
mod forbidden;
mod idioms_and_scaling;
mod inputs;
mod judging;
mod limits;
mod measure;
mod network_and_storage;
mod os_and_locks;
mod outputs;
mod page;
mod pictures;
mod readers;
mod survival;
mod switching;
mod tidy;
mod words;
