//! What a probecard *card* is and what it says: the vocabulary that measuring and reading share.
//!
//! No unsafe code, no system calls, nothing of assembly: it builds for any target, so that whoever
//! reads a card (an analyst's laptop, a fleet) needs none of the measuring program.
//!
//! # Modules
//!
//! - [`declare`]: what a probe records and which metrics come of it; [`record`]: what it hands over
//!   while it runs; [`counters`]: which hardware events could be counted. With [`machine`], what the
//!   hardware and the kernel claim of themselves, these are the contents of a card.
//! - [`mod@file`]: reading and writing a card; [`legacy`] and [`today`]: what older cards said in
//!   other words.
//! - [`estimate`]: pure functions from samples to estimates; [`series`]: the points of a quantity by
//!   setting and round; [`metrics`]: points to metrics; [`view`]: what the points of one probe show.
//! - [`findings`]: measured against claimed and published; [`mod@reference`]: what is
//!   published; [`summary`]: a card with all of this.
//! - [`judge`]: whether a machine got worse: cards against cards.
//!   [`simulate`]: cards without hardware.
//! - [`format`](mod@format): numbers for people; [`clean`]: texts from outside; [`glob`]: names by
//!   pattern; [`peer`]: the other end of a network; [`plausible`]: what no machine can have given.
//!
//! # Words
//!
//! From the smallest to the largest:
//!
//! - **lap**: once through all that a kernel has laid out: a buffer, a ring of pointers or of jumps.
//! - **window**: a span of time during which several threads work at once, each counting its work.
//! - **sample**: one timed run of a kernel, divided by its operations.
//! - **setting**: what is varied in a sweep, as the parameters of a point say: a size, a variant.
//! - **pass**: all settings sampled once, in random order, so that what drifts drifts for all.
//! - **point**: the samples of one quantity at one setting in one round, with what disturbed them.
//! - **round**: one run of a probe, in a fresh process; rounds are spread over the whole run.
//! - **probe**: a measuring procedure: what it declares, and a function that records points.
//! - **card**: the file with all results of one run on one machine.
//!
//! What is recorded and what comes of it:
//!
//! - **quantity**: what a probe records under one name, with its unit and the order statistic that
//!   stands for the samples of a round.
//! - **metric**: a number with a stable id that is derived from quantities, as its declaration says.
//! - **state** of a metric: `ok`, `noisy` (the rounds disagree), `inconsistent` (two methods
//!   disagree) or `unavailable` (not measured).
//! - **skip**: a probe, or metrics of it, that cannot be measured here: what it needs, what is there
//!   instead, and what would help.
//! - **fail**: a round that went wrong: it crashed, hung, or a kernel computed a wrong answer.
//!
//! What it is held against:
//!
//! - **claim**: what the machine says of itself; it never stands in for a measurement.
//! - **reference**: what others have published of such a core, with its source.
//! - **finding**: one thing worth knowing, with a stable code: a claim that does not hold, a limit of the
//!   machine, advice for code, or a doubt about the measurement.
//! - **verdict**: PASS, CHECK or FAIL, by fixed rules from one card.
#![forbid(unsafe_code)]

pub mod clean;
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
pub mod judge;
pub mod legacy;
pub mod machine;
pub mod metrics;
pub mod peer;
pub mod plausible;
pub mod record;
pub mod reference;
pub mod series;
pub mod simulate;
pub mod summary;
pub mod today;
pub mod verdict;
pub mod view;
mod vocabulary;
