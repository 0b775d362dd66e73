//! How far a core looks ahead: the reorder window, the load and store queues, the registers to
//! rename to.
//!
//! Method: two chains of twelve dependent square roots with K other instructions between them. As
//! long as all that stands between them fits into the core, both chains run at the same time; beyond
//! that the second one waits for the first, and the time doubles. What the K instructions are decides
//! what runs out: instructions that do nothing need an entry of the window alone, additions and
//! shuffles a register too, loads and stores an entry of a queue. No memory is waited for, so that
//! nothing but the sibling thread can disturb it. The K at which the time doubles is looked for by
//! halving, then sampled around. What does nothing is eight bytes long: Zen 4 takes two no-operations
//! of four bytes as one entry, and any number of single bytes.
//! What has to fit: the queues and the integer registers are taken by the K instructions alone, and
//! the time doubles at once. Window and vector registers also hold the square roots; while the first
//! chain ends, its roots leave one by one and let one of the second chain in, so that the time rises
//! over as many K as a chain is long. In the middle, K, half of the first chain and the first root of
//! the second have to fit: K + 7, which is what `entries` counts.
//! Blind spots: a core that takes in six instructions at a time waits until there is room for all
//! six, and reads up to five too few. Where the window ends before a queue does, as on cores whose
//! loads leave their queue when they are done, the queue's number is the window's. While the
//! sibling thread is at work, a core may give it half of everything.
//! Expect: 224 (Zen 2, Skylake) to 512 (Golden Cove) entries, 320 on Zen 4.

use std::io;
use std::time::Duration;

use crate::harness::bench::{Arm, Bench, params};
use crate::harness::sampling::SamplingPlan;
use crate::harness::{code, search};
use crate::kernel::window::{Filler, ROOTS, Window};
use crate::probe::Probe;
use card::declare::{Declare, Estimator, NoiseClass, ReportOnly, Unit};

/// The probe.
pub const PROBE: Probe = Probe {
    name: "core-window",
    summary: "reorder buffer (ROB), load and store queues, physical register files (PRF)",
    needs: &[],
    uses: &[],
    seconds: 1.2,
    in_kernel: false,
    declare,
    run,
};

fn declare(d: &mut Declare) {
    d.family("window");
    let both = d.quantity(QUANTITY, Unit::Ns, Estimator::LowerQuartile);
    let filled = |filler: Filler| both.with("filler", filler.name());
    d.metric(
        "core.reorder_window_entries",
        NoiseClass::T1,
        filled(Filler::Nop).crossing(ENTRIES, 0.5),
        "reorder buffer (ROB) capacity",
    );
    d.metric(
        "core.load_queue_entries",
        NoiseClass::T1,
        filled(Filler::Load).last_before(ENTRIES, STEP),
        "load queue entries: loads in flight (lower bound; ROB-limited)",
    );
    d.metric(
        "core.store_queue_entries",
        NoiseClass::T1,
        filled(Filler::Store).last_before(ENTRIES, STEP),
        "store queue entries",
    );
    d.metric(
        "core.integer_registers_entries",
        NoiseClass::T1,
        filled(Filler::Integer).last_before(ENTRIES, STEP),
        "integer physical register file (PRF): rename registers",
    );
    d.metric(
        "core.vector_registers_entries",
        NoiseClass::T1,
        filled(Filler::Vector).crossing(ENTRIES, 0.5),
        "vector physical register file (PRF): rename registers",
    )
    .report_only(ReportOnly::Unsteady);
}

const QUANTITY: &str = "two_chains";
const ENTRIES: &str = "entries";

/// Cycles by which the time must rise: more than the fillers themselves take, less than half a chain.
const STEP: f64 = 100.0;

/// Fillers between which the end of every resource lies.
const FEWEST: u64 = 8;
const MOST: u64 = 1024;

/// Where samples are taken, from the last number at which the chains overlap by more than half.
const AROUND: [i64; 7] = [-64, -8, 0, 1, 2, 8, 24];

/// Both chains take this many times longer when they hardly overlap.
const SERIAL_RATIO: f64 = 1.5;

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    // Where no code may be made, none of the fillers can be measured.
    match whole(bench) {
        Ok(whole) => fillers(bench, whole),
        Err(e) => bench.skip(code::refused(&e)),
    }
}

/// How many fillers the core holds that do nothing: the most of several looks, because a sibling
/// thread that is awake takes half of them, whether the gate notices it or not.
fn whole(bench: &mut Bench<'_>) -> io::Result<u64> {
    let mut most = last(bench, Filler::Nop)?;
    for _ in 0..LOOKS {
        bench.meter.pause(bench.share(WAIT));
        let more = most + most / 4;
        if more < MOST && fits(bench, Filler::Nop, more)? {
            most = most.max(last(bench, Filler::Nop)?);
        }
    }
    Ok(most)
}

/// Looks at the window before anything is sampled, and the share of the round between two.
const LOOKS: u32 = 6;
const WAIT: f64 = 0.03;

fn fillers(bench: &mut Bench<'_>, whole: u64) -> anyhow::Result<()> {
    for (done, filler) in Filler::ALL.into_iter().enumerate() {
        let time = bench.left() / (Filler::ALL.len() - done) as u32;
        wait(bench, whole, time / 2)?;
        // A few hundred runs of both chains.
        let sample = Duration::from_micros(60);
        let policy = SamplingPlan { max_samples: 5, sample, ..SamplingPlan::structural(time / 2) };
        let last = last(bench, filler)?;
        let hidden = filler != Filler::Nop && last + last / 10 > whole;
        let note = hidden.then_some("at least so many: the window ends first");
        measure(bench, filler, (windows(filler, last)?, note), &policy)?;
    }
    Ok(())
}

/// Waits until the core has its whole window again, or the time is up.
fn wait(bench: &mut Bench<'_>, whole: u64, time: Duration) -> io::Result<()> {
    let until = bench.meter.elapsed() + time;
    while !fits(bench, Filler::Nop, whole)? && bench.meter.elapsed() < until {
        bench.meter.pause(Duration::from_millis(2));
    }
    Ok(())
}

/// The windows around the last number of fillers that fit, and the smallest.
fn windows(filler: Filler, last: u64) -> io::Result<Vec<(u64, Window)>> {
    let mut sampled = vec![FEWEST];
    if last < MOST {
        sampled.extend(search::around(last, &AROUND, FEWEST + 1));
    } else {
        // No end within reach: the points say so.
        sampled.extend([MOST / 4, MOST / 2, MOST]);
    }
    sampled.into_iter().map(|fillers| Ok((fillers, Window::new(filler, fillers)?))).collect()
}

/// The last number of fillers with which the chains overlap.
fn last(bench: &mut Bench<'_>, filler: Filler) -> io::Result<u64> {
    search::last_that_fits(FEWEST..MOST + 1, |fillers| fits(bench, filler, fillers))
}

/// Whether the chains overlap by more than half.
fn fits(bench: &mut Bench<'_>, filler: Filler, fillers: u64) -> io::Result<bool> {
    Ok(cost(bench, filler, fillers)? < SERIAL_RATIO * cost(bench, filler, FEWEST)?)
}

fn cost(bench: &mut Bench<'_>, filler: Filler, fillers: u64) -> io::Result<f64> {
    let mut window = Window::new(filler, fillers)?;
    Ok(search::glance(bench, 100, &mut |times| window.run(times)))
}

fn measure(
    bench: &mut Bench<'_>,
    filler: Filler,
    (mut windows, note): (Vec<(u64, Window)>, Option<&str>),
    policy: &SamplingPlan,
) -> anyhow::Result<()> {
    let arms = windows
        .iter_mut()
        .map(|(fillers, window)| {
            let setting = params([
                ("filler", filler.name().into()),
                (ENTRIES, held(filler, *fillers).into()),
            ]);
            let arm = Arm::new(QUANTITY, setting, |times| window.run(times));
            arm.noted(note.map(Into::into))
        })
        .collect();
    bench.interleave(arms, policy)?;
    bench.check(windows.iter().all(|w| w.1.is_right()), || {
        format!("a chain of square roots beside {} lost its value", filler.name())
    })
}

/// What has to fit together for the chains to overlap by half, or at all.
fn held(filler: Filler, fillers: u64) -> u64 {
    match filler {
        Filler::Nop | Filler::Vector => fillers + ROOTS / 2 + 1,
        Filler::Integer | Filler::Load | Filler::Store => fillers,
    }
}
