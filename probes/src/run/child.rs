//! The child's side of a round: read the assignment, pin, measure, write records.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::catalog;
use crate::harness::bench::{Bench, Effort, WrongAnswer};
use crate::harness::clock::{self, CoreClock, Timer};
use crate::harness::counters::Session;
use crate::harness::meter::Hardware;
use crate::harness::sampling::ClockHistory;
use crate::probe::Probe;
use crate::sys::process;
use crate::threads::pinning;
use card::counters::Counting;
use card::machine::Machine;
use card::peer::Peer;
use card::record::{Fail, FailKind, Record, Skip};

/// Longest wait for the core's clock to stand still before the first sample.
const SETTLE: Duration = Duration::from_millis(100);

/// One round of one probe, as the parent decided it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Assignment {
    /// Id of the process that waits for the round: it ends with that.
    pub parent: u32,
    /// Id of the probe.
    pub probe: String,
    /// Number of the round.
    pub round: u32,
    /// Seed of the round's random orders.
    pub seed: u64,
    /// CPU to run on.
    pub cpu: usize,
    /// Whether the run could be pinned to it.
    pub pinned: bool,
    /// How thorough.
    pub tier: Effort,
    /// Seconds that the round should take.
    pub slice_s: f64,
    /// The parent's calibrated timer.
    pub timer: Timer,
    /// The machine as the parent saw it.
    pub machine: Machine,
    /// What other probes have measured so far of the metrics that this one uses.
    pub known: BTreeMap<String, f64>,
    /// What earlier rounds of this probe could not measure.
    pub skips: Vec<Skip>,
    /// Directory for files of probes, absolute; a path may be more than text.
    pub scratch: OsString,
    /// Who may be asked over the network.
    pub peer: Option<Peer>,
    /// What to count.
    pub counting: Counting,
}

/// Runs the round described on `input` and writes its records to `output`, a line each; a probe that
/// fails is a record.
///
/// # Errors
///
/// That the assignment is none, the probe is unknown, or records could not be written.
pub fn run(mut input: impl Read, mut output: impl Write) -> anyhow::Result<()> {
    let mut text = String::new();
    input.read_to_string(&mut text).context("reading the assignment")?;
    let assignment: Assignment = serde_json::from_str(&text).context("reading the assignment")?;
    process::die_with_parent(assignment.parent);
    let probe = catalog::find(&assignment.probe)
        .with_context(|| format!("no probe is called {}", assignment.probe))?;
    let mut sink = |record: Record| {
        serde_json::to_writer(&mut output, &record)?;
        output.write_all(b"\n")?;
        Ok(output.flush()?)
    };
    let Err(error) = measure(&assignment, probe, &mut sink) else { return Ok(()) };
    let wrong = error.is::<WrongAnswer>();
    sink(Record::Fail(Fail {
        probe: probe.name.to_owned(),
        round: assignment.round,
        cpu: None,
        cause: if wrong { FailKind::Corruption } else { FailKind::Failed },
        how: format!("{error:#}"),
        stderr: String::new(),
    }))
}

fn measure(
    assignment: &Assignment,
    probe: &Probe,
    sink: &mut dyn FnMut(Record) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    // Where pinning was never permitted, migrated samples are rejected instead.
    match pinning::try_pin(assignment.cpu) {
        Err(why) if assignment.pinned => anyhow::bail!(
            "not pinned to CPU {} as planned: {why}; was it switched off, or taken out of the cpuset?",
            assignment.cpu
        ),
        _ => {}
    }
    clock::settle(&assignment.timer, SETTLE);
    let clock = CoreClock::learn(assignment.timer);
    let meter = Hardware::new(clock, assignment.cpu);
    let mut meter = match probe.in_kernel {
        true => meter.counting_by_usage(),
        false => meter.counting(Session::open(&assignment.counting)),
    };
    let mut bench = Bench {
        probe: probe.name,
        round: assignment.round,
        tier: assignment.tier,
        machine: &assignment.machine,
        known: &assignment.known,
        skips: &assignment.skips,
        scratch: Path::new(&assignment.scratch),
        peer: assignment.peer.as_ref(),
        cpu: assignment.cpu,
        timer: assignment.timer,
        clock,
        slice: Duration::from_secs_f64(assignment.slice_s),
        waited: Duration::ZERO,
        rng: fastrand::Rng::with_seed(assignment.seed),
        meter: &mut meter,
        sink,
        history: ClockHistory::default(),
    };
    (probe.run)(&mut bench)
}
