//! What a probecard *card* is and what it says: the vocabulary that measuring and reading share.
//!
//! No unsafe code, no system calls, nothing of assembly: it builds for any target, so that whoever
//! reads a card (an analyst's laptop, a fleet) needs none of the measuring program.
#![forbid(unsafe_code)]

pub mod counters;
pub mod declare;
pub mod estimate;
pub mod file;
pub mod findings;
#[cfg(any(test, feature = "fixture"))]
#[doc(hidden)]
pub mod fixture;
pub mod format;
pub mod glob;
pub mod legacy;
pub mod machine;
pub mod metrics;
pub mod peer;
pub mod record;
pub mod reference;
pub mod series;
pub mod summary;
pub mod view;
