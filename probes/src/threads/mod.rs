//! Several threads or processes at work at once: on CPUs of their own, for a fixed time, in turns.

pub mod cpus;
pub mod partner;
pub mod ping_pong;
pub mod pinning;
pub mod team;
pub mod windows;
