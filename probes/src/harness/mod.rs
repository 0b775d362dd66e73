//! What runs in the child: the sampling protocol, the clock, counters.
//!
//! Read in this order: [`clock`] (time and the core's own clock, for which [`multiply`] says what its chains
//! take), [`meter`] (one timed batch),
//! [`sampling`] (which batches count), [`turns`] (the loop that takes them), [`mod@bench`] (what a probe sees), [`scratch`] (a file that
//! vanishes).

pub mod backing;
pub mod bench;
pub mod clock;
pub mod code;
pub mod counters;
pub mod levels;
pub mod meter;
pub mod multiply;
pub mod need;
pub mod sampling;
pub mod scratch;
pub mod search;
pub mod turns;
pub mod width;
