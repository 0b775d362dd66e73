//! One file per probe: what is swept, with which kernel, and which metrics come of it.

pub mod branch;
pub mod cache_line;
pub mod cache_structure;
pub mod clock;
pub mod compress;
pub mod context_switch;
pub mod core_to_core;
pub mod core_window;
pub mod false_sharing;
pub mod faults;
pub mod idioms;
pub mod loaded_latency;
pub mod locks;
pub mod memory_bandwidth;
pub mod memory_latency;
pub mod memory_parallelism;
pub mod network;
pub mod noise;
pub mod numa;
pub mod os;
pub mod scaling;
pub mod simd_compute;
pub mod simd_memory;
pub mod storage;
pub mod store_forwarding;
pub mod tlb;
