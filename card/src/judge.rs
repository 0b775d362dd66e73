//! Whether a machine got worse: cards against cards.
//!
//! Method: the rounds of a run are fresh processes spread over it, and nearly all that two runs of one
//! machine differ by is what their rounds differ by. So a change is held against the spread of the
//! rounds, moderated by what was learned of that metric ([`prior`]), and against a floor below which
//! nobody acts; a group of metrics that one fault moves together is judged by its median; the clock
//! comes first, since much follows it. What is beyond its limit is *suspect*; *worse* is what a second
//! run, later and in new processes, confirms against three baseline cards or more.
//!
//! Everything here is computed from cards alone. Which metrics may speak is declared with them
//! ([`crate::declare::ReportOnly`]); limits, classes and groups are data ([`rules`]).

mod causes;
mod comparable;
pub mod expect;
mod judgement;
pub mod learn;
mod neighbours;
pub mod prior;
pub mod rules;
mod statistic;
mod verdict;

pub use causes::Cause;
pub use comparable::{Difference, SetAside};
pub use judgement::{
    CONFIRMS, Clock, GroupChange, Judgement, LEAST_CARDS, MetricChange, PropertyChange, Standing,
    Verdict,
};
pub use verdict::{compare, judge};
