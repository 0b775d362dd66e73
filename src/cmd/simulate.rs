//! `probecard simulate CARD`: cards of a machine like that one, without hardware.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

use anyhow::Context;
use card::clean;
use card::judge::prior::Prior;
use card::simulate::{MEASURED, Scenario, Simulator, scenarios};
use card::summary::Summary;

use super::say;
use crate::files;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The card that the simulated ones are like.
    card: PathBuf,
    /// Runs.
    #[arg(long, value_name = "N", default_value_t = 1)]
    runs: usize,
    /// The same seed makes the same cards.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// A fault: turbo-off, throttled, lost-channel, slow-memory, prefetchers-off, mitigations, gather,
    /// hpet or sibling.
    #[arg(long, value_name = "FAULT", value_parser = scenario)]
    fault: Option<Scenario>,
    /// Directory for a summary of each run, instead of one line each on standard output.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

fn scenario(id: &str) -> Result<Scenario, String> {
    let known = scenarios().iter().find(|scenario| scenario.id == id);
    known.cloned().ok_or_else(|| {
        let all: Vec<&str> = scenarios().iter().map(|scenario| scenario.id.as_str()).collect();
        format!("there is no fault '{id}'; choose one of {}", all.join(", "))
    })
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let card = Summary::read(&args.card)?;
    let mut simulator = Simulator::new(&card, Prior::embedded(), MEASURED, args.seed);
    args.fault.iter().for_each(|fault| simulator.break_down(fault));
    if let Some(dir) = &args.out {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    let write = |number: usize, text: &str| match &args.out {
        Some(dir) => files::write(&dir.join(format!("{number:06}.summary.json")), text.as_bytes()),
        None => super::print_as_is(text),
    };
    // Each CPU makes every so manieth; they are written in their order.
    let makers = thread::available_parallelism().map_or(1, usize::from).min(args.runs.max(1));
    thread::scope(|scope| {
        let made: Vec<mpsc::Receiver<String>> = (0..makers)
            .map(|first| {
                let (give, made) = mpsc::sync_channel(AHEAD);
                let mut simulator = simulator.clone();
                scope.spawn(move || {
                    let mut numbers = (first..args.runs).step_by(makers);
                    // Where nothing more can be written, nobody takes it.
                    numbers.all(|number| give.send(text(&mut simulator, number)).is_ok())
                });
                made
            })
            .collect();
        for number in 0..args.runs {
            let text = made[number % makers].recv().context("a thread has ended early")?;
            write(number, &text)?;
        }
        Ok::<(), anyhow::Error>(())
    })?;
    if let Some(dir) = &args.out {
        say(&format!("wrote {} summaries to {}", args.runs, dir.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs that may wait to be written.
const AHEAD: usize = 32;

/// A run's summary, in which nothing acts on a terminal.
fn text(simulator: &mut Simulator, number: usize) -> String {
    clean::json(&simulator.nth(number as u64 + 1).stored())
}
