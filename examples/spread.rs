//! Between-run spread of every metric, as a table: run the program several times, then
//! `cargo run --release --example spread CARD CARD ...`.

use std::path::Path;

use card::estimate::median;
use card::file::Card;
use card::metrics::{self, Metrics, State};

fn main() -> anyhow::Result<()> {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    anyhow::ensure!(paths.len() >= 2, "name at least two cards");
    let cards: Vec<Metrics> = paths
        .iter()
        .map(|p| Ok(metrics::evaluate(&Card::read(Path::new(p))?)))
        .collect::<anyhow::Result<_>>()?;
    println!(
        "| metric | median of runs | spread of all | spread of those ok | ok / noisy / inconsistent / none |"
    );
    println!("|---|---|---|---|---|");
    for metric in &cards[0].0 {
        let each: Vec<_> = cards.iter().filter_map(|c| c.get(&metric.id)).collect();
        let count = |state| each.iter().filter(|v| v.state == state).count();
        let states = [State::Ok, State::Noisy, State::Inconsistent, State::Unavailable]
            .map(|state| count(state).to_string())
            .join(" / ");
        let all: Vec<f64> = each.iter().filter_map(|v| v.value).collect();
        let ok: Vec<f64> =
            each.iter().filter(|v| v.state == State::Ok).filter_map(|v| v.value).collect();
        let middle =
            median(&all).map_or("–".to_owned(), |m| format!("{m:.4} {}", metric.unit.symbol()));
        println!("| {} | {middle} | {} | {} | {states} |", metric.id, spread(&all), spread(&ok));
    }
    Ok(())
}

/// Highest minus lowest, relative to the median.
fn spread(values: &[f64]) -> String {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match median(values) {
        Some(middle) if middle != 0.0 => format!("{:.1} %", 100.0 * (high - low) / middle.abs()),
        Some(_) => format!("{low:.4} to {high:.4}"),
        None => "–".to_owned(),
    }
}
