//! `probecard run`: plans the rounds, runs them, and leaves card, page and pictures behind.

mod plan;
mod progress;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use card::counters::Counting;
use card::machine::{Machine, format_list};
use card::peer::Peer;
use card::record::{Fail, FailKind, Record, Skip};
use probecard_probes::catalog;
use probecard_probes::harness::bench::Effort;
use probecard_probes::harness::clock::Timer;
use probecard_probes::harness::counters::EventFile;
use probecard_probes::probe::Probe;
use probecard_probes::run::child::Assignment;
use probecard_probes::run::counter_support;
use probecard_probes::run::placement;
use probecard_probes::run::rounds::{self, Outcome, Round};
use probecard_probes::threads::pinning;

use super::say;
use crate::{compress, files, report};
use card::file::{self, Card, End, EndState, Header, Held, Line, Plan, RoundDone, Tool, Writer};
use card::findings::Severity;
use card::machine::Fact;
use card::metrics;
use card::summary::Summary;
use plan::{Choice, Schedule};
use probecard_probes::sys::process;
use progress::Progress;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How thorough: quick takes up to 30 s, standard 120 s, thorough 15 min.
    #[arg(long, default_value = "standard", value_parser = plan::parse_tier)]
    tier: Effort,
    /// Time for the whole run instead of the tier's, such as 90s or 5m.
    #[arg(long, value_name = "TIME", value_parser = plan::parse_time, allow_hyphen_values = true)]
    budget: Option<Duration>,
    /// Only probes whose name matches, such as 'memory-*'; may be repeated.
    #[arg(long, value_name = "GLOB")]
    only: Vec<String>,
    /// Not the probes whose name matches; may be repeated.
    #[arg(long, value_name = "GLOB")]
    skip: Vec<String>,
    /// Measure on this CPU instead of the quietest.
    #[arg(long, value_name = "N")]
    cpu: Option<usize>,
    /// Look at every CPU in turn, for one that is slower than its like or computes wrong answers,
    /// instead of measuring the machine; probes named by --only are measured as well.
    #[arg(long, conflicts_with = "cpu")]
    each_cpu: bool,
    /// Directory for the file that storage is measured with, which vanishes; by default that of the
    /// card.
    #[arg(long, value_name = "DIR", value_parser = plan::parse_scratch)]
    scratch: Option<String>,
    /// Host and TCP port that round trips over the network are measured to; any open port will do.
    #[arg(long, value_name = "HOST:PORT")]
    peer: Option<Peer>,
    /// File that says how this CPU calls its events, for a design that this program does not know.
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Directory for card, page and pictures; by default probecard-<host>-<UTC time>.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Overwrite a card that is already in the directory.
    #[arg(long)]
    force: bool,
    /// Go on with an interrupted run; its card is continued.
    #[arg(long, value_name = "CARD", conflicts_with_all = ["tier", "budget", "only", "skip", "cpu", "each_cpu", "scratch", "peer", "events", "out", "force"])]
    resume: Option<PathBuf>,
    /// Print one JSON object for programs at the end instead of the text.
    #[arg(long)]
    json: bool,
}

/// Left of the budget for metrics, page and pictures.
const REPORT_TIME: Duration = Duration::from_millis(4500);

/// What a child may take beyond three times its share before it is killed: rings for a large cache
/// take seconds to lay.
const GRACE: Duration = Duration::from_secs(20);

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let stop = stop_flag()?;
    let machine = probecard_probes::run::machine();
    let timer = placement::timer(&machine);
    let (mut run, mut writer) = match &args.resume {
        Some(path) => resumed(path, machine)?,
        None => fresh(args, machine, &timer)?,
    };
    stay_away_from(run.header.plan.cpu, &run.machine);
    let budget =
        Duration::from_secs_f64(run.header.plan.budget_s).mul_f64(run.schedule.share_left());
    run.deadline = began + budget.saturating_sub(REPORT_TIME);
    let ended = run.measure(&mut writer, &timer, &stop).and_then(|state| {
        let wall_s = run.wall_before + began.elapsed().as_secs_f64();
        append(&mut writer, Line::End(End { state, wall_s }))
    });
    finish(writer, args.json, ended)
}

/// Set by Ctrl-C, a termination or a hang-up; the run then ends in order. What was ignored when the
/// program began, as under `nohup`, stays ignored.
fn stop_flag() -> anyhow::Result<Arc<AtomicBool>> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|&s| !process::ignores(s)) {
        signal_hook::flag::register(signal, stop.clone()).context("cannot handle signals")?;
    }
    Ok(stop)
}

/// A run that goes on, or begins.
struct Run {
    header: Header,
    /// The machine as it is now: a resumed run may have other limits than its header says.
    machine: Machine,
    tier: Effort,
    schedule: Schedule,
    deadline: Instant,
    wall_before: f64,
}

fn fresh(args: &Args, machine: Machine, timer: &Timer) -> anyhow::Result<(Run, Writer)> {
    let mut only = args.only.clone();
    only.extend(args.each_cpu.then(|| catalog::EACH_CPU.to_owned()));
    let probes = Choice { only: &only, skip: &args.skip }.probes()?;
    let choice = match args.cpu {
        None => placement::choose(machine.allowed_cpus(), timer),
        Some(cpu) => chosen(cpu, machine.allowed_cpus())?,
    };
    let tier = args.tier;
    let runnable: Vec<&Probe> = probes
        .iter()
        .copied()
        .filter(|p| p.needs.iter().all(|n| n.unmet(&machine).is_none()))
        .collect();
    anyhow::ensure!(
        !runnable.is_empty(),
        "none of the chosen probes can run here; `probecard list` says why"
    );
    let cpus = machine.allowed_cpus();
    let budget = args.budget.unwrap_or_else(|| plan::budget(tier, &runnable, cpus));
    let events = args.events.as_deref().map(EventFile::read).transpose()?;
    // Where this is not permitted, the trials run wherever the thread is.
    pinning::pin(choice.cpu);
    let counters = counter_support::take(&machine, events.as_ref());
    let now = jiff::Timestamp::now();
    let host = file_name(machine.host.name.known().map_or("unknown-host", String::as_str));
    let dir = args.out.clone().unwrap_or_else(|| {
        PathBuf::from(format!("probecard-{host}-{}", now.strftime("%Y%m%dT%H%M%SZ")))
    });
    let seed = fastrand::u64(..);
    let header = Header {
        format: file::FORMAT,
        tool: this_program(),
        id: format!("{}-{seed:016x}", now.strftime("%Y%m%dT%H%M%SZ")),
        start: now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        arguments: arguments(),
        seed,
        plan: Plan {
            tier: tier.name().into(),
            rounds: plan::rounds(tier),
            budget_s: budget.as_secs_f64(),
            cpu: choice.cpu,
            cpu_reason: choice.reason,
            pinned: choice.pinned,
            scratch: args.scratch.clone(),
            peer: args.peer.clone(),
        },
        machine,
        counters,
        declarations: probes.iter().map(|p| p.declaration()).collect(),
    };
    let mut writer = create(&dir, &host, &header, args.force)?;
    for probe in &probes {
        for skip in probe.needs.iter().filter_map(|n| n.unmet(&header.machine)) {
            let probe = probe.name.to_owned();
            append(&mut writer, Line::Skip(Skip { probe, ..skip }))?;
        }
    }
    let cpus = header.machine.allowed_cpus();
    let schedule = Schedule::new(&runnable, header.plan.rounds, seed, cpus);
    let machine = header.machine.clone();
    let deadline = Instant::now();
    Ok((Run { header, machine, tier, schedule, deadline, wall_before: 0.0 }, writer))
}

/// What the run was called with; a path among it may be more than text.
fn arguments() -> Vec<String> {
    std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect()
}

fn resumed(path: &Path, machine: Machine) -> anyhow::Result<(Run, Writer)> {
    let compressed = path.extension().is_some_and(|e| e == "zst");
    anyhow::ensure!(!compressed, "{}: resume the .card.jsonl beside it", path.display());
    let held = Held::open(path)?;
    let card = held.card();
    anyhow::ensure!(
        !card.is_complete(),
        "{} is complete; there is nothing to resume",
        path.display()
    );
    same_program(&card.header.tool).with_context(|| refusal(path))?;
    same_machine(&card.header.machine, &machine).with_context(|| refusal(path))?;
    let cpu = card.header.plan.cpu;
    anyhow::ensure!(
        machine.allowed_cpus().contains(&cpu),
        "{} was measured on CPU {cpu}, which this process may not use now ({} allowed)",
        path.display(),
        format_list(machine.allowed_cpus())
    );
    let tier = Effort::named(&card.header.plan.tier)
        .with_context(|| format!("{} has no tier that this version knows", path.display()))?;
    let probes: Vec<&Probe> = card
        .header
        .declarations
        .iter()
        .filter_map(|d| catalog::find(&d.probe))
        .filter(|p| p.needs.iter().all(|n| n.unmet(&machine).is_none()))
        .collect();
    let (rounds, seed) = (card.header.plan.rounds, card.header.seed);
    let mut schedule = Schedule::new(&probes, rounds, seed, machine.allowed_cpus());
    schedule.leave_out(|probe, round| card.has_round(probe, round));
    let wall_before = card.end.as_ref().map_or(0.0, |e| e.wall_s);
    let header = card.header.clone();
    let writer = Writer::resume(held).map_err(|error| files::unwritable(path, error))?;
    let deadline = Instant::now();
    Ok((Run { header, machine, tier, schedule, deadline, wall_before }, writer))
}

fn refusal(path: &Path) -> String {
    format!("cannot go on with {}", path.display())
}

/// This program, as a card names it.
fn this_program() -> Tool {
    Tool {
        name: "probecard".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        revision: env!("PROBECARD_REVISION").into(),
    }
}

/// Rounds are compared with each other, and a card names one program that has measured them all.
fn same_program(then: &Tool) -> anyhow::Result<()> {
    let now = this_program();
    let words = |tool: &Tool| format!("{} {} ({})", tool.name, tool.version, tool.revision);
    anyhow::ensure!(
        *then == now,
        "it was begun by {}, and this is {}; resume it with that program, or begin a new run",
        words(then),
        words(&now)
    );
    Ok(())
}

fn same_machine(then: &Machine, now: &Machine) -> anyhow::Result<()> {
    fn known(fact: &Fact<String>) -> &str {
        fact.known().map_or("that is unknown", String::as_str)
    }
    let facts = [
        ("the host", &then.host.name, &now.host.name),
        ("the processor", &then.cpu.brand, &now.cpu.brand),
    ];
    for (what, then, now) in facts {
        anyhow::ensure!(
            then == now,
            "it was measured on {what} {}, and this is {}; resume it there, or begin a new run here",
            known(then),
            known(now)
        );
    }
    Ok(())
}

impl Run {
    /// A budget that was asked for is used up; a tier takes no more than it needs.
    fn generosity(&self) -> f64 {
        let probes: Vec<&Probe> = self.schedule.items().map(|item| item.probe).collect();
        let of_tier = plan::budget(self.tier, &probes, self.machine.allowed_cpus());
        if self.header.plan.budget_s != of_tier.as_secs_f64() {
            f64::INFINITY
        } else {
            plan::generosity(self.tier)
        }
    }

    /// Where probes may put files: what was asked for, or beside the card.
    fn scratch(&self, card: &Path) -> anyhow::Result<PathBuf> {
        let beside = card.parent().unwrap_or(Path::new(""));
        let dir = self.header.plan.scratch.as_ref().map_or(beside, Path::new);
        // The empty path is this directory, which cannot be made absolute as it is.
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        std::path::absolute(dir).with_context(|| format!("cannot find {}", dir.display()))
    }

    /// What is counted for a probe.
    fn counting(&self, probe: &Probe) -> Counting {
        let proofs = probe.declaration().proofs;
        let proves = |event| proofs.iter().any(|proof| proof.event == event);
        self.header.counters.counting.proving(proves)
    }

    /// Runs every round that is left; `Interrupted` when asked to stop.
    fn measure(
        &self,
        writer: &mut Writer,
        timer: &Timer,
        stop: &AtomicBool,
    ) -> anyhow::Result<EndState> {
        let mut progress = Progress::new(self.schedule.len(), self.header.plan.rounds);
        let scratch = self.scratch(writer.path())?;
        let mut hung: Vec<(&str, Option<usize>)> = Vec::new();
        let (mut given, mut used) = (Duration::ZERO, Duration::ZERO);
        for (done, item) in self.schedule.items().enumerate() {
            // A probe that hung once would cost as much again in every round.
            if hung.contains(&(item.probe.name, item.cpu)) {
                continue;
            }
            let left = self.deadline.saturating_duration_since(Instant::now());
            let slice = self.schedule.slice(done, left, self.generosity());
            // Probes that know enough end early; those to come will do so as much as those before.
            let thrift = if given.is_zero() { 1.0 } else { used.div_duration_f64(given).min(1.0) };
            let left_at_most = self.schedule.time_left(done, left, self.generosity());
            progress.begin(item.probe.name, item.round, left_at_most.mul_f64(thrift));
            let cpu = item.cpu.unwrap_or(self.header.plan.cpu);
            if item.cpu.is_some() {
                stay_away_from(cpu, &self.machine);
            }
            let assignment = Assignment {
                parent: std::process::id(),
                probe: item.probe.name.to_owned(),
                round: item.round,
                seed: item.seed,
                cpu,
                tier: self.tier,
                slice_s: slice.as_secs_f64(),
                timer: *timer,
                machine: self.machine.clone(),
                known: metrics::numbers(writer.card(), item.probe.uses),
                skips: skips(writer.card(), item.probe.name),
                scratch: scratch.clone().into(),
                peer: self.header.plan.peer.clone(),
                counting: self.counting(item.probe),
            };
            let round = Round {
                probe: item.probe.name,
                round: item.round,
                assignment: &serde_json::to_vec(&assignment)?,
                deadline: slice * 3 + GRACE,
            };
            let began = Instant::now();
            let mut keep = |record: Record| append(writer, named(record, item.cpu).into());
            match rounds::run(child(), &round, stop, &mut keep)? {
                Outcome::Done => {}
                Outcome::Failed(fail) => {
                    if fail.cause == FailKind::TimedOut {
                        hung.push((item.probe.name, item.cpu));
                    }
                    progress.say(&format!("{} round {}: {}", fail.probe, fail.round + 1, fail.how));
                    append(writer, named(Record::Fail(fail), item.cpu).into())?;
                }
                Outcome::Stopped => return Ok(EndState::Interrupted),
            }
            given += slice;
            used += began.elapsed();
            if item.is_last {
                let (probe, round) = (item.probe.name.to_owned(), item.round);
                let wall_s = began.elapsed().as_secs_f64();
                append(writer, Line::Round(RoundDone { probe, round, wall_s }))?;
            }
        }
        let stopped = stop.load(Ordering::Relaxed);
        Ok(if stopped { EndState::Interrupted } else { EndState::Complete })
    }
}

/// A failure says which of the CPUs it was that a round of its probe visits.
fn named(record: Record, cpu: Option<usize>) -> Record {
    match record {
        Record::Fail(fail) => Record::Fail(Fail { cpu, ..fail }),
        other => other,
    }
}

/// What a probe could not measure so far.
fn skips(card: &Card, probe: &str) -> Vec<Skip> {
    card.skips.iter().filter(|s| s.probe == probe).cloned().collect()
}

/// This program again, in its hidden role: the very file that runs now, even if another has taken
/// its name meanwhile.
fn child() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg("child");
    command
}

/// The parent writes and draws while a child measures: not on the child's core, if there is
/// another, and not on its CPU.
fn stay_away_from(cpu: usize, machine: &Machine) {
    let siblings = machine.siblings_of(cpu);
    let others = || machine.allowed_cpus().iter().copied().filter(|&c| c != cpu);
    let elsewhere = others().find(|c| !siblings.contains(c));
    if let Some(other) = elsewhere.or_else(|| others().next()) {
        // Where this is not permitted, the scheduler will mostly do the same.
        pinning::pin(other);
    }
}

fn chosen(cpu: usize, allowed: &[usize]) -> anyhow::Result<placement::Choice> {
    anyhow::ensure!(
        allowed.contains(&cpu),
        "--cpu {cpu}: not among the CPUs this process may use ({})",
        format_list(allowed)
    );
    let pinned = pinning::pin(cpu);
    let reason = if pinned {
        "chosen by --cpu"
    } else {
        "not pinned: sched_setaffinity is not permitted here, so --cpu has no effect"
    };
    Ok(placement::Choice { cpu, reason: reason.into(), pinned })
}

fn create(dir: &Path, host: &str, header: &Header, force: bool) -> anyhow::Result<Writer> {
    anyhow::ensure!(
        !dir.exists() || dir.is_dir(),
        "{} is a file; --out takes a directory",
        dir.display()
    );
    std::fs::create_dir_all(dir)
        .with_context(|| format!("cannot make {}; choose another --out", dir.display()))?;
    let mut files =
        std::fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    anyhow::ensure!(
        force || files.next().is_none(),
        "{} is not empty; add --force to overwrite an earlier run in it, --resume its card to go \
         on with it, or choose another --out",
        dir.display()
    );
    let path = dir.join(format!("{host}.card.jsonl"));
    Writer::create(&path, header, force).map_err(|error| files::unwritable(&path, error))
}

fn append(writer: &mut Writer, line: Line) -> anyhow::Result<()> {
    writer.append(line).map_err(|error| files::unwritable(writer.path(), error))
}

/// Prints what was measured, whatever has ended the run, and then writes what can be had from the
/// card again: the result waits for no file, and no file for a reader (`| head`).
fn finish(writer: Writer, json: bool, ended: anyhow::Result<()>) -> anyhow::Result<ExitCode> {
    let path = &writer.path().to_owned();
    let (card, file) = writer.finish();
    let summary = Summary::of(card);
    let shown = super::show::show(&summary, json);
    let mut right = true;
    let mut warn = |error: anyhow::Error| {
        right = false;
        say(&format!("probecard: {error:#}"));
    };
    let _ = ended.map_err(&mut warn);
    let small = compress::name(path);
    let compressed = compress::compress(&file).map_err(|error| files::unwritable(&small, error));
    let _ = compressed.and_then(|bytes| files::write(&small, &bytes)).map_err(&mut warn);
    let dir = path.parent().unwrap_or(Path::new("."));
    let written = report::write(dir, &summary, true).map_err(&mut warn).unwrap_or_default();
    shown?;
    let page = written.first().map(|p| format!(" and {}", p.display())).unwrap_or_default();
    say(&format!("\nwrote {}{page}", path.display()));
    if !summary.card.is_complete() {
        say(&format!("interrupted; go on with: probecard run --resume {}", path.display()));
        return Ok(ExitCode::from(2));
    }
    if !right {
        say(&format!(
            "the card is complete, but not all files beside it were written; draw them anew with: \
             probecard report --force {}",
            path.display()
        ));
    }
    let corrupt = summary.findings.iter().any(|f| f.severity == Severity::Corruption);
    let measured = summary.metrics.0.iter().any(|v| v.value.is_some());
    Ok(if corrupt || !measured || !right { ExitCode::from(2) } else { ExitCode::SUCCESS })
}

/// A host name as part of a file name.
fn file_name(host: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let name: String = host.chars().map(safe).collect();
    // No hidden file, and no way up.
    name.trim_start_matches('.').to_owned()
}
