//! Between-run spread of every metric, as a table: run the program several times, then
//! `cargo run --release --example spread CARD CARD ...`. With `--ok` it lists instead the values that
//! a card calls ok and the other cards contradict, and their share: name cards of one tier.

use std::path::Path;

use card::declare::NoiseClass;
use card::estimate::median;
use card::file::Card;
use card::metrics::{self, Metrics, State, Value};

fn main() -> anyhow::Result<()> {
    let (options, paths): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|arg| arg.starts_with("--"));
    anyhow::ensure!(paths.len() >= 2, "name at least two cards");
    let cards: Vec<Metrics> = paths
        .iter()
        .map(|p| Ok(metrics::evaluate(&Card::read(Path::new(p))?)))
        .collect::<anyhow::Result<_>>()?;
    match &options.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => table(&cards),
        ["--ok"] => contradicted(&cards, &paths),
        _ => anyhow::bail!("the only option is --ok"),
    }
    Ok(())
}

fn table(cards: &[Metrics]) {
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

/// How far a value may lie from the median over the cards and still be called ok rightly.
fn allowed(tier: NoiseClass) -> f64 {
    match tier {
        NoiseClass::T1 => 0.03,
        NoiseClass::T2 => 0.05,
        NoiseClass::T3 => 0.10,
        NoiseClass::T4 | NoiseClass::Unknown => 0.20,
    }
}

/// Values called ok that lie too far from the median over the cards, and for each class how many are
/// measured, called ok, and contradicted.
fn contradicted(cards: &[Metrics], paths: &[String]) {
    println!("| metric | class | median of runs | off by | low–high | rounds | card |");
    println!("|---|---|---|---|---|---|---|");
    let classes = [NoiseClass::T1, NoiseClass::T2, NoiseClass::T3, NoiseClass::T4];
    let mut counts = classes.map(|_| [0_u32; 3]);
    let of = |id: &str| -> Vec<f64> { cards.iter().filter_map(|card| card.number(id)).collect() };
    for (card, path) in cards.iter().zip(paths) {
        let measured = card.0.iter().filter_map(|value| Some((value, value.value?)));
        for (value, number) in measured {
            let count = &mut counts[value.tier as usize];
            count[0] += 1;
            if value.state != State::Ok {
                continue;
            }
            count[1] += 1;
            let Some(middle) = median(&of(&value.id)) else { continue };
            let off = (number - middle).abs();
            if off > allowed(value.tier) * middle.abs() {
                count[2] += 1;
                println!("{}", row(value, middle, number / middle - 1.0, path));
            }
        }
    }
    println!("\n| class | values | ok | ok but off |\n|---|---|---|---|");
    let all = counts.iter().fold([0; 3], |all, c| [0, 1, 2].map(|i| all[i] + c[i]));
    let names = classes.map(|class| format!("{class:?}")).into_iter().chain(["all".to_owned()]);
    for (name, [values, ok, off]) in names.zip(counts.into_iter().chain([all])) {
        let share = 100.0 * f64::from(off) / f64::from(ok.max(1));
        println!("| {name} | {values} | {ok} | {off}: {share:.2} % |");
    }
}

fn row(value: &Value, middle: f64, off: f64, path: &str) -> String {
    format!(
        "| {} | {:?} | {middle:.4} {} | {:+.1} % | {:.4}–{:.4} | {} | {} |",
        value.id,
        value.tier,
        value.unit.symbol(),
        100.0 * off,
        value.low.unwrap_or(f64::NAN),
        value.high.unwrap_or(f64::NAN),
        value.rounds,
        Path::new(path).file_name().map(|name| name.to_string_lossy()).unwrap_or_default()
    )
}
