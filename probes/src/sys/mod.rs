//! Linux: memory, usage counters, clocks, processes. One unsafe operation per block.

pub mod code;
pub mod memory;
pub mod process;
pub mod thread;
pub mod time;
