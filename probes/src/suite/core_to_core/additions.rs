//! Additions to an owned line (M state), and to lines that another CPU has changed or read.

use std::io;
use std::sync::atomic::AtomicU32;

use crate::harness::bench::{Arm, Bench, WrongAnswer, params};
use crate::harness::meter::{Meter, Reading};
use crate::harness::sampling::{Patience, SamplingPlan};
use crate::harness::turns::{Amount, Sampled};
use crate::kernel::atomic::Form;
use crate::kernel::coherence::{add_in_turn, load_each};
use crate::kernel::line::add_in_form;
use crate::sys::memory::{LINE, Pages, SharedWords, WORDS_IN_LINE};
use crate::threads::cpus;
use crate::threads::team::Team;
use card::declare::Unit;
use card::record::Point;

/// Lines that change hands at a time: some microseconds at least.
const LINES: usize = 256;

pub(super) fn run(bench: &mut Bench<'_>, partner: usize) -> anyhow::Result<()> {
    let policy = SamplingPlan { max_samples: 9, ..SamplingPlan::structural(bench.share(0.08)) };
    for (i, form) in Form::all().into_iter().enumerate() {
        let line = if i == 0 { "owned".to_owned() } else { format!("owned_{}", form.name()) };
        let counter = AtomicU32::new(0);
        let mut added = 0_u64;
        let arm = Arm::new("fetch_add", params([("line", line.as_str().into())]), |ops| {
            add_in_form(form, &counter, ops);
            added += ops;
        });
        bench.sample(arm, &policy)?;
        let counted = counter.into_inner();
        let right = counted == added as u32;
        bench.check(right, || format!("{added} atomic additions gave {counted}"))?;
    }
    // The other CPU waits while this one works: whether they are siblings shows in the time, and no
    // sample would ever be quiet.
    let policy = SamplingPlan { need_idle_sibling: false, ..policy };
    for (name, read) in [("remote", false), ("shared", true)] {
        taken_over(bench, partner, name, read, &policy)?;
    }
    Ok(())
}

/// The partner adds to all lines, and then this CPU does, each time in a new order.
fn taken_over(
    bench: &mut Bench<'_>,
    partner: usize,
    name: &str,
    read: bool,
    policy: &SamplingPlan,
) -> anyhow::Result<()> {
    let memory = SharedWords::new(4 * LINES * LINE, Pages::Small)?;
    let words = memory.words();
    let mut at: Vec<u32> = (0..4 * LINES).map(|line| (line * WORDS_IN_LINE) as u32).collect();
    bench.rng.shuffle(&mut at);
    at.truncate(LINES);
    let follow = |team: &Team, _| {
        while team.wait() {
            add_in_turn(words, &at);
            team.wait();
            if read {
                // Once more, after the other has read them: a line that is read first after it was
                // changed may come as one's own.
                team.wait();
                std::hint::black_box(load_each(words, &at));
                team.wait();
            }
        }
    };
    let policy = SamplingPlan { patience: Patience::Passes(4 * policy.max_samples), ..*policy };
    let cpu = bench.cpu;
    let lead = |team: &Team| {
        let mut lines = TakenOver { words, at: &at, read, team, passes: 0 };
        let taken = bench.take(&mut lines, &policy)?;
        Ok::<_, WrongAnswer>((taken.collector, lines.passes))
    };
    let (collector, passes) = match Team::pinned(cpu, &[partner], follow, lead) {
        Ok(taken) => taken?,
        Err(e) => return bench.skip(cpus::few_threads(2, e)),
    };
    let sum = load_each(words, &at);
    // The partner may have begun one pass more before it was told to stop.
    let passes = passes * LINES as u32;
    let right = sum == 2 * passes || sum == 2 * passes + LINES as u32;
    bench.check(right, || format!("{} additions by two CPUs gave {sum}", 2 * passes))?;
    let state = collector.state(&policy);
    let labels = params([("line", name.into())]);
    let point = Point {
        ops: LINES as u64,
        counts: collector.middle_counts(),
        core_ghz: collector.core_ghz,
        disturbances: collector.disturbances,
        ..bench.point("fetch_add", labels, Unit::Ns, collector.samples, state)
    };
    bench.emit(point)
}

/// Lines that the partner has changed, and this CPU has read since or not.
struct TakenOver<'a> {
    words: &'a [AtomicU32],
    at: &'a [u32],
    read: bool,
    team: &'a Team,
    passes: u32,
}

impl Sampled for TakenOver<'_> {
    fn amount(&self) -> Amount {
        Amount::Fixed(LINES as u64)
    }

    fn take(&mut self, meter: &mut dyn Meter, ops: u64) -> io::Result<Reading> {
        self.team.wait();
        self.team.wait();
        if self.read {
            std::hint::black_box(load_each(self.words, self.at));
            self.team.wait();
            self.team.wait();
        }
        self.passes += 1;
        Ok(meter.measure(ops, &mut |_| add_in_turn(self.words, self.at)))
    }

    fn minds_steal(&self) -> bool {
        false
    }
}
