//! `probecard run`: plans the rounds, runs them, and leaves card, page and pictures behind.

mod plan;
mod progress;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use card::counters::Counting;
use card::declare::Declaration;
use card::machine::{Machine, Throttled, format_list};
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
use probecard_probes::run::reserve::{Reserve, bound_by_time};
use probecard_probes::run::rounds::{self, Outcome, Round};
use probecard_probes::threads::pinning;

use super::say;
use crate::{compress, files, report};
use card::file::{self, Card, End, EndState, Header, Held, Line, Plan, RoundDone, Tool, Writer};
use card::machine::Fact;
use card::metrics;
use card::summary::Summary;
use card::verdict::Verdict;
pub(super) use plan::parse_time;
use plan::{Choice, Extras, Item, Limits, Schedule};
use probecard_probes::sys::{self, process};
use progress::Progress;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How thorough: quick takes up to 30 s, standard 110 s, thorough 15 min.
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
    /// Measure on this CPU instead of the quietest of the most capable kind of core.
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

/// A probe that hung so often is not asked again: it would cost as much in every round.
const MOST_HANGS: usize = 2;

/// After a child that could not be started the run rests, twice as long each time: a limit may be used
/// up for a moment alone.
const FIRST_REST: Duration = Duration::from_millis(50);
const LONGEST_REST: Duration = Duration::from_secs(2);

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (writer, ended) = measured(args)?;
    finish(writer, args.json, ended)
}

/// Measures again what another card holds: those probes, the same tier, on the same CPU. The card
/// is left in the directory, without a page and pictures.
pub(super) fn like(
    other: &Plan,
    only: &[String],
    out: Option<&Path>,
    force: bool,
) -> anyhow::Result<Card> {
    let (writer, ended) = measured(&Args {
        tier: plan::parse_tier(&other.tier).map_err(anyhow::Error::msg)?,
        budget: None,
        only: only.to_vec(),
        skip: Vec::new(),
        cpu: Some(other.cpu),
        each_cpu: false,
        scratch: None,
        peer: None,
        events: None,
        out: out.map(Path::to_owned),
        force,
        resume: None,
        json: false,
    })?;
    ended?;
    let path = writer.path().to_owned();
    let (card, _) = writer.finish();
    anyhow::ensure!(
        card.is_complete(),
        "interrupted; go on with: probecard run --resume {}",
        path.display()
    );
    say(&format!("\nwrote {}", path.display()));
    Ok(card)
}

/// A card with all that could be measured, and how that ended.
fn measured(args: &Args) -> anyhow::Result<(Writer, anyhow::Result<()>)> {
    let began = Instant::now();
    let stop = stop_flag()?;
    // Before anything spins, or starts what spins.
    let left_class = probecard_probes::run::leave_real_time()
        .context("cannot leave the real-time class of the scheduler; start it without chrt")?;
    if let Some(class) = left_class {
        say(&format!(
            "measures under SCHED_OTHER, not {class}: threads that spin would starve others"
        ));
    }
    let machine = probecard_probes::run::machine();
    let timer = placement::timer(&machine);
    let (mut run, mut writer) = match &args.resume {
        Some(path) => resumed(path, machine, began)?,
        None => fresh(args, machine, &timer, began, left_class)?,
    };
    stay_away_from(run.header.plan.cpu, &run.machine);
    let ended = run.measure(&mut writer, &timer, &stop).and_then(|state| {
        let wall_s = run.wall_before + began.elapsed().as_secs_f64();
        append(&mut writer, Line::End(End { state, wall_s }))
    });
    // The next run of this process finds the machine as this one did, and not the one CPU left to its
    // parent.
    sys::thread::set_affinity(run.machine.allowed_cpus());
    // Drawing may need what it holds.
    drop(run);
    Ok((writer, ended))
}

/// Set by Ctrl-C, a termination or a hang-up; the run then ends in order. What was ignored when the
/// program began, as under `nohup`, stays ignored.
pub(super) fn stop_flag() -> anyhow::Result<Arc<AtomicBool>> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    // One for the whole program, however many runs it makes.
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    if let Some(stop) = FLAG.get() {
        return Ok(stop.clone());
    }
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|&s| !process::ignores(s)) {
        signal_hook::flag::register(signal, stop.clone()).context("cannot handle signals")?;
    }
    Ok(FLAG.get_or_init(|| stop).clone())
}

/// A run that goes on, or begins.
struct Run {
    header: Header,
    /// The machine as it is now: a resumed run may have other limits than its header says.
    machine: Machine,
    tier: Effort,
    schedule: Schedule,
    /// What probes are given at most of what they deserve.
    generosity: f64,
    /// What the rounds that take memory are lent.
    reserve: Option<Reserve>,
    limits: Limits,
    began: Instant,
    wall_before: f64,
}

fn fresh(
    args: &Args,
    mut machine: Machine,
    timer: &Timer,
    began: Instant,
    left_class: Option<&str>,
) -> anyhow::Result<(Run, Writer)> {
    let mut only = args.only.clone();
    only.extend(args.each_cpu.then(|| catalog::EACH_CPU.to_owned()));
    let probes = Choice { only: &only, skip: &args.skip }.probes()?;
    let choice = match args.cpu {
        None => placement::choose(&machine, timer),
        Some(cpu) => chosen(cpu, &machine)?,
    };
    // Where this is not permitted, the trials run wherever the thread is.
    pinning::pin(choice.cpu);
    machine.turn_to(choice.cpu);
    let tier = args.tier;
    let runnable = runnable(&probes, &machine);
    anyhow::ensure!(
        !runnable.is_empty(),
        "none of the chosen probes can run here; `probecard list` says why"
    );
    let cpus = machine.allowed_cpus();
    let budget = args.budget.unwrap_or_else(|| plan::budget(tier, &runnable, cpus));
    let generosity = plan::generosity(tier, budget, &runnable, cpus);
    let events = args.events.as_deref().map(EventFile::read).transpose()?;
    let reserve = reserve(&mut machine, &runnable, tier, budget, generosity);
    let counters = counter_support::take(&machine, events.as_ref());
    let now = jiff::Timestamp::now();
    let host = file_name(machine.host.name.known().map_or("", String::as_str));
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
            left_class: left_class.map(str::to_owned),
            scratch: args.scratch.clone(),
            peer: args.peer.clone(),
        },
        machine,
        counters,
        declarations: probes.iter().map(|p| p.declaration()).collect(),
    };
    let mut writer = create(&dir, &host, &header, args.force)?;
    for skip in unmet(&probes, &header.machine) {
        append(&mut writer, Line::Skip(skip))?;
    }
    let cpus = header.machine.allowed_cpus();
    let schedule = Schedule::new(&runnable, header.plan.rounds, seed, cpus, reserve.is_some());
    let machine = header.machine.clone();
    let limits = Limits::new(began, budget, 1.0);
    Ok((
        Run {
            header,
            machine,
            tier,
            schedule,
            generosity,
            reserve,
            limits,
            began,
            wall_before: 0.0,
        },
        writer,
    ))
}

/// Bounds the memory of rounds by their time, and keeps some for them where the host is slow to find it.
fn reserve(
    machine: &mut Machine,
    probes: &[&'static Probe],
    tier: Effort,
    budget: Duration,
    generosity: f64,
) -> Option<Reserve> {
    let cpus = machine.allowed_cpus();
    let schedule = Schedule::new(probes, plan::rounds(tier), 0, cpus, false);
    let left = budget.saturating_sub(plan::REPORT_TIME);
    let slice = schedule.longest_in_memory(left, generosity)?;
    machine.limits.buffers = bound_by_time(machine, slice);
    let mut reserve = Reserve::needed(machine)?;
    let millis = reserve.mib().as_secs_f64() * 1e3;
    say(&format!("the host takes {millis:.0} ms to find 1 MiB of memory: finding it once for all"));
    reserve.fill(machine, budget);
    let bound = reserve.bound().filter(|bound| bound.bytes < machine.buffer_limit());
    machine.limits.buffers = bound.or(machine.limits.buffers.take());
    Some(reserve)
}

/// What the run was called with; a path among it may be more than text.
fn arguments() -> Vec<String> {
    std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect()
}

fn resumed(path: &Path, mut machine: Machine, began: Instant) -> anyhow::Result<(Run, Writer)> {
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
        machine.allowed_cpus().contains(&cpu) || pinning::pin(cpu),
        "{} was measured on CPU {cpu}, which this process may not use now ({} allowed)",
        path.display(),
        format_list(machine.allowed_cpus())
    );
    pinning::pin(cpu);
    machine.turn_to(cpu);
    let tier = plan::check(&card.header.plan).with_context(|| refusal(path))?;
    let planned = planned(&card.header.declarations).with_context(|| refusal(path))?;
    let skips: Vec<Skip> = unmet(&planned, &machine).filter(|s| !card.skips.contains(s)).collect();
    let probes = runnable(&planned, &machine);
    let plan = &card.header.plan;
    let budget = Duration::from_secs_f64(plan.budget_s);
    let generosity = plan::generosity(tier, budget, &probes, machine.allowed_cpus());
    let reserve = reserve(&mut machine, &probes, tier, budget, generosity);
    let (seed, cpus) = (card.header.seed, machine.allowed_cpus());
    let mut schedule = Schedule::new(&probes, plan.rounds, seed, cpus, reserve.is_some());
    schedule.leave_out(|probe, round| card.has_round(probe, round));
    // Without an end it is at least as long as until the end of its last round.
    let ends = card.rounds.iter().filter_map(|round| Some(round.start_s? + round.wall_s));
    let so_far = ends.fold(0.0, f64::max);
    let wall_before = card.end.as_ref().map_or(so_far, |e| e.wall_s);
    let header = card.header.clone();
    let mut writer = Writer::resume(held).map_err(|error| files::unwritable(path, error))?;
    for skip in skips {
        append(&mut writer, Line::Skip(skip))?;
    }
    let limits = Limits::new(began, budget, schedule.share_left());
    Ok((
        Run { header, machine, tier, schedule, generosity, reserve, limits, began, wall_before },
        writer,
    ))
}

/// The probes that a card names, each once.
fn planned(declarations: &[Declaration]) -> anyhow::Result<Vec<&'static Probe>> {
    let mut planned: Vec<&Probe> = Vec::new();
    for Declaration { probe, .. } in declarations {
        let known = catalog::find(probe).with_context(|| {
            format!(
                "it was to measure {probe}, which this program has no probe for; resume it with the \
                 one that began it"
            )
        })?;
        if planned.iter().all(|p| p.name != known.name) {
            planned.push(known);
        }
    }
    Ok(planned)
}

/// What can be measured here.
fn runnable(probes: &[&'static Probe], machine: &Machine) -> Vec<&'static Probe> {
    let can = |p: &&Probe| p.needs.iter().all(|n| n.unmet(machine).is_none());
    probes.iter().copied().filter(can).collect()
}

/// Why the rest cannot.
fn unmet(probes: &[&'static Probe], machine: &Machine) -> impl Iterator<Item = Skip> {
    probes.iter().flat_map(move |probe| {
        let skips = probe.needs.iter().filter_map(move |n| n.unmet(machine));
        skips.map(|skip| Skip { probe: probe.name.to_owned(), ..skip })
    })
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
        &mut self,
        writer: &mut Writer,
        timer: &Timer,
        stop: &AtomicBool,
    ) -> anyhow::Result<EndState> {
        let mut progress = Progress::new(self.schedule.len(), self.header.plan.rounds);
        let scratch = self.scratch(writer.path())?;
        // By the CPU too, where a round visits each: one that hangs says nothing of the others.
        let mut hangs: HashMap<(&str, Option<usize>), usize> = HashMap::new();
        let mut rest = FIRST_REST;
        let mut visits: Option<Visits> = None;
        let mut extras = Extras::default();
        let (mut given, mut used) = (Duration::ZERO, Duration::ZERO);
        let run_began = Instant::now();
        for (done, item) in self.schedule.items().enumerate() {
            let hung = hangs.entry((item.probe.name, item.cpu)).or_default();
            if *hung == MOST_HANGS {
                continue;
            }
            let began = Instant::now();
            let left = self.limits.due.saturating_duration_since(began);
            let slice = self.schedule.slice(done, left, self.generosity, &extras);
            let Some(patience) = self.limits.patience(slice, began) else {
                // Once, where a round visits each CPU.
                let skip = self.no_time(item);
                if !writer.card().skips.contains(&skip) {
                    append(writer, Line::Skip(skip))?;
                }
                continue;
            };
            // Probes that know enough end early; those to come will do so as much as those before.
            let thrift = if given.is_zero() { 1.0 } else { used.div_duration_f64(given).min(1.0) };
            let left_at_most = self.schedule.time_left(done, left, self.generosity);
            if progress.wants_card(item.round) {
                progress.show_card(writer.card(), run_began.elapsed());
            }
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
                pinned: self.header.plan.pinned,
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
                deadline: patience,
            };
            if let Some(reserve) = &mut self.reserve {
                if item.probe.takes_memory() { reserve.lend() } else { reserve.take_back() }
            }
            let began = Instant::now();
            // Of all visits, where a round visits each CPU.
            let same = |v: &Visits| (v.probe, v.round) == (item.probe.name, item.round);
            let visited = visits.take().filter(same).unwrap_or_else(|| Visits::of(item));
            let mut keep = |record: Record| {
                let record = named(record, item.cpu);
                if let Record::Fail(fail) = &record {
                    progress.fail(fail);
                }
                append(writer, record.into())
            };
            let outcome = rounds::run(child(), &round, stop, &mut keep)?;
            let started =
                !matches!(&outcome, Outcome::Failed(f) if f.cause == FailKind::NotStarted);
            match outcome {
                Outcome::Done => {}
                Outcome::Failed(mut fail) => {
                    if fail.cause == FailKind::TimedOut {
                        *hung += 1;
                        if *hung == MOST_HANGS {
                            fail.how += ", as before; it was not asked again";
                        }
                    }
                    fail.cpu = item.cpu;
                    progress.fail(&fail);
                    append(writer, Line::Fail(fail))?;
                }
                Outcome::Stopped => return Ok(EndState::Interrupted),
            }
            if started {
                rest = FIRST_REST;
            } else {
                thread::sleep(rest.min(left / self.schedule.len() as u32));
                rest = (rest * 2).min(LONGEST_REST);
            }
            let took = began.elapsed();
            extras.note(item.probe, slice, took);
            given += slice;
            used += took;
            if item.is_last {
                append(writer, Line::Round(visited.done(self.start_of(visited.began))))?;
            } else {
                visits = Some(visited);
            }
        }
        let stopped = stop.load(Ordering::Relaxed);
        Ok(if stopped { EndState::Interrupted } else { EndState::Complete })
    }

    /// Seconds of the run before that moment, interruptions left out.
    fn start_of(&self, moment: Instant) -> f64 {
        self.wall_before + moment.duration_since(self.began).as_secs_f64()
    }

    /// Why a round was not even begun.
    fn no_time(&self, item: &Item) -> Skip {
        let Plan { budget_s, rounds, .. } = self.header.plan;
        let skip = Skip::new(
            "time for every round",
            format!(
                "the {budget_s} s of the run were used up before round {} of {rounds}",
                item.round + 1
            ),
            "a longer --budget",
        );
        Skip { probe: item.probe.name.to_owned(), ..skip }
    }
}

/// A round that was begun, with all its visits.
struct Visits {
    probe: &'static str,
    round: u32,
    began: Instant,
    throttled: Throttled,
}

impl Visits {
    fn of(item: &Item) -> Visits {
        let (probe, round) = (item.probe.name, item.round);
        Visits { probe, round, began: Instant::now(), throttled: Throttled::so_far() }
    }

    fn done(&self, start_s: f64) -> RoundDone {
        RoundDone {
            probe: self.probe.to_owned(),
            round: self.round,
            start_s: Some(start_s),
            wall_s: self.began.elapsed().as_secs_f64(),
            throttled: Throttled::so_far().since(&self.throttled),
        }
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

/// What the kernel allows counts, also where the mask is narrower: it leaves out isolated CPUs.
fn chosen(cpu: usize, machine: &Machine) -> anyhow::Result<placement::Choice> {
    let allowed = machine.allowed_cpus();
    let kind = placement::kind(machine, cpu).map(|kind| format!(": a {kind}"));
    let choice = placement::on(cpu, format!("chosen by --cpu{}", kind.unwrap_or_default()));
    anyhow::ensure!(
        choice.pinned || allowed.contains(&cpu),
        "--cpu {cpu}: not among the CPUs this process may use ({})",
        format_list(allowed)
    );
    Ok(choice)
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
    let shown = super::show::show(&summary, path, json);
    let mut right = true;
    let mut warn = |error: anyhow::Error| {
        right = false;
        say(&format!("probecard: {error:#}"));
    };
    // Whoever has read enough (`| head`) misses nothing.
    let missed = |error| if super::is_broken_pipe(&error) { Ok(()) } else { Err(error) };
    let _ = shown.or_else(missed).map_err(&mut warn);
    let _ = ended.map_err(&mut warn);
    let dir = path.parent().unwrap_or(Path::new("."));
    // Where it was removed meanwhile; if it cannot be made, the files say so.
    let _ = std::fs::create_dir_all(dir);
    let small = compress::name(path);
    let compressed = compress::compress(&file).map_err(|error| files::unwritable(&small, error));
    let compressed = compressed.and_then(|bytes| files::write(&small, &bytes)).map_err(&mut warn);
    let written = report::write(dir, &summary, true).map_err(&mut warn).unwrap_or_default();
    let is_there = files::is_named(path, &file);
    if !is_there {
        warn(anyhow::anyhow!("{} was removed, moved or replaced during the run", path.display()));
    }
    let card = if is_there { Some(path) } else { compressed.is_ok().then_some(&small) };
    let files: Vec<String> =
        card.into_iter().chain(written.first()).map(|p| p.display().to_string()).collect();
    let files = if files.is_empty() { "nothing".to_owned() } else { files.join(" and ") };
    say(&format!("\nwrote {files}"));
    let complete = summary.card.is_complete();
    match card {
        Some(card) if complete && !right => say(&format!(
            "the card is complete, but not everything could be written; again with: \
             probecard show {0}, probecard report --force {0}",
            card.display()
        )),
        Some(card) if !complete && is_there => {
            say(&format!("interrupted; go on with: probecard run --resume {}", card.display()));
        }
        _ => {}
    }
    let measured = summary.metrics.0.iter().any(|v| v.value.is_some());
    let good = complete && right && measured;
    Ok(if good { super::show::code(&Verdict::of(&summary)) } else { ExitCode::from(2) })
}

/// A host name as part of a file name.
pub(super) fn file_name(host: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let name: String = host.chars().map(safe).collect();
    // No hidden file, no way up, and nothing that looks like an option.
    match name.trim_start_matches(['.', '-']) {
        "" => "unknown-host".to_owned(),
        visible => visible.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_called_like_its_host_and_can_be_seen() {
        for (host, name) in [
            ("box-1.lan", "box-1.lan"),
            ("../a b", "_a_b"),
            (".hidden", "hidden"),
            ("...", "unknown-host"),
            ("-rf", "rf"),
            ("", "unknown-host"),
        ] {
            assert_eq!(file_name(host), name, "{host}");
        }
    }
}
