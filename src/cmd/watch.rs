//! `probecard watch`: `check` on a timer, as a node's agent runs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use card::judge::{Judgement, Verdict};
use probecard_probes::sys::process;

use super::check::{self, Against, LATER, Yardstick};
use super::run::{self, parse_time};
use super::say;
use crate::files;
use crate::report::text::judgement::headline;

/// The last judgement, for `status` and exports.
const STATUS: &str = "status.json";

/// What is measured in the state's directory.
const RUN: &str = "run";
const AGAIN: &str = "confirm";

/// Between two looks at whether to stop.
const LOOK: Duration = Duration::from_millis(200);

/// A machine that has so many runnable tasks for each of its CPUs is at work: its numbers would be
/// those of the work, and the work would suffer.
const BUSY: f64 = 0.5;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    against: Against,
    /// Between two checks; each takes as long as the baseline's tier, 30 s if that is quick.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_time)]
    every: Duration,
    /// Directory for the last card and status.json, the last judgement; nothing else is kept.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
}

/// Checks until it is told to stop.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let stop = run::stop_flag()?;
    fs::create_dir_all(&args.state).map_err(|error| files::unwritable(&args.state, error))?;
    // It gives way to whatever else there is.
    process::give_way();
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        if let Some(load) = busy() {
            say(&format!("skipped: the machine is busy (load {load:.2})"));
        } else if let Err(error) = check_once(args, &stop) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            // The next one may go well: a disk that was full, a baseline that was being changed.
            say(&format!("probecard: {error:#}"));
        }
        wait(args.every.saturating_sub(began.elapsed()), &stop);
    }
    Ok(ExitCode::SUCCESS)
}

/// One check, and the confirmation of what it finds.
fn check_once(args: &Args, stop: &AtomicBool) -> anyhow::Result<()> {
    // Read anew each time: cards may have been added, accepted or frozen.
    let yardstick = Yardstick::of(&args.against, None)?;
    let now = yardstick.measure(Some(&args.state.join(RUN)), true)?;
    let mut judgement = yardstick.judge(&now)?;
    if judgement.verdict == Verdict::Suspect {
        write(&args.state, &judgement)?;
        wait(LATER.unsigned_abs(), stop);
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        let again = check::measure_again(&judgement, &now, Some(&args.state.join(AGAIN)), true)?;
        judgement = judgement.confirmed_by(&yardstick.judge(&again)?);
    }
    write(&args.state, &yardstick.beside_golden(judgement, &now))
}

fn write(state: &Path, judgement: &Judgement) -> anyhow::Result<()> {
    say(&headline(judgement));
    files::write(&state.join(STATUS), check::json(judgement)?.as_bytes())
        .context("the judgement is lost")
}

/// The load of the last minute, if it is that of a machine at work.
fn busy() -> Option<f64> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    let load: f64 = text.split_whitespace().next()?.parse().ok()?;
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    (load > BUSY * cpus as f64).then_some(load)
}

fn wait(time: Duration, stop: &AtomicBool) {
    let until = Instant::now() + time;
    while !stop.load(Ordering::Relaxed) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        thread::sleep(left.min(LOOK));
    }
}
