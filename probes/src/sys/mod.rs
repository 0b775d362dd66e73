//! Linux: memory, usage counters, clocks, processes. One unsafe operation per block.

pub mod call;
pub mod code;
pub mod errno;
pub mod file;
pub mod ipc;
pub mod link;
pub mod map;
pub mod memory;
pub mod process;
pub mod signal;
pub mod socket;
pub mod system;
pub mod thread;
pub mod time;
