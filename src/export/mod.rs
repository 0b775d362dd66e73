//! What other programs read of a card: a file for each format, and in it a function from a summary to text.
//!
//! A number that is not there, or on which two methods disagree, is left out or said to be missing, as the
//! format has it, and never written as 0. Texts from outside are cleaned and then escaped as the format asks.

pub mod answer;
mod families;
pub mod judged;
pub mod junit;
pub mod nagios;
pub mod ndjson;
pub mod npd;
pub mod openmetrics;
pub mod perfetto;
pub mod prom;
pub mod superbench;

/// A number without the digits that computing has added to it: no sample has nine.
fn tidy(number: f64) -> f64 {
    format!("{number:.8e}").parse().unwrap_or(number)
}

#[cfg(test)]
mod tests;
