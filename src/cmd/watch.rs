//! `probecard watch`: `check` on a timer, as a node's agent runs it.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use card::judge::{Judgement, Verdict};
use card::summary::Summary;
use probecard_probes::sys::process;

use super::check::{self, Against, LATER, Yardstick};
use super::export::Target;
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
    /// A file to replace after each check with the card and its judgement, in a format of `export`:
    /// prom=/var/lib/prometheus/node-exporter/probecard.prom; may be repeated.
    #[arg(long = "export", value_name = "FORMAT=FILE", value_parser = Target::parse)]
    exports: Vec<Target>,
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
        write(args, &judgement, &now)?;
        wait(LATER.unsigned_abs(), stop);
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        let again = check::measure_again(&judgement, &now, Some(&args.state.join(AGAIN)), true)?;
        judgement = judgement.confirmed_by(&yardstick.judge(&again)?);
    }
    write(args, &yardstick.beside_golden(judgement, &now), &now)
}

/// Tells whoever reads files of it.
fn write(args: &Args, judgement: &Judgement, card: &Summary) -> anyhow::Result<()> {
    say(&headline(judgement));
    let json = check::json(judgement)?;
    files::write(&args.state.join(STATUS), json.as_bytes()).context("the judgement is lost")?;
    // As others read it.
    let judged = serde_json::from_str(&json)?;
    args.exports.iter().try_for_each(|target| target.write(card, &judged))
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

#[cfg(test)]
mod tests {
    use card::judge::judge;
    use card::judge::prior::Prior;
    use card::simulate::{MEASURED, Simulator};
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn exports_tell_what_the_judgement_does() {
        let mut machine =
            Simulator::new(&card::fixture::recorded(), Prior::embedded(), MEASURED, 1);
        let baseline = [machine.run().clone()];
        let now = machine.run().clone();
        let judgement = judge(&baseline, &now, Prior::embedded());
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let export = |format: &str| format!("{format}={}", path(format));
        let line = ["watch", "--baseline", "b", "--state", &path("")].map(str::to_owned);
        let exports = ["prom", "nagios", "ndjson"].map(|f| ["--export".to_owned(), export(f)]);
        let line = Line::parse_from(line.into_iter().chain(exports.into_iter().flatten()));
        // Twice: what was there is replaced.
        for _ in 0..2 {
            write(&line.args, &judgement, &now).unwrap();
        }
        let read = |name: &str| fs::read_to_string(path(name)).unwrap();
        assert!(read(STATUS).contains(&headline(&judgement)));
        assert_eq!(read("prom").matches("probecard_check_verdict{").count(), 4);
        assert!(read("nagios").contains(&headline(&judgement)));
        assert_eq!(read("ndjson").lines().count(), now.metrics.0.len());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4, "nothing half is left behind");
    }
}
