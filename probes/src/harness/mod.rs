//! The sampling protocol, the clock, and where threads and processes run.
//!
//! Read in this order: [`clock`] (time and the core's own clock), [`meter`] (one timed batch),
//! [`sampling`] (which batches count), [`mod@bench`] (what a probe sees), [`rounds`] (fresh
//! processes), [`placement`] (which CPU), [`gang`] (several threads at once),
//! [`crew`] (all CPUs at work for a fixed time), [`scratch`] (a file that vanishes).

pub mod backing;
pub mod bench;
pub mod clock;
pub mod code;
pub mod counters;
pub mod crew;
pub mod gang;
pub mod levels;
pub mod meter;
pub mod partner;
pub mod ping_pong;
pub mod placement;
pub mod rounds;
pub mod sampling;
pub mod scratch;
pub mod search;
pub mod width;
