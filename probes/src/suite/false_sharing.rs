//! False sharing: what two CPUs that write to one line cost each other, and how far apart their data
//! must be.
//!
//! Method: two pinned threads work for half a millisecond from a common start, each on a word of its
//! own, so and so many bytes apart: atomic additions, plain stores (with a store to a private line
//! in between, or the store buffer would put them together), and loads beside the other's stores.
//! The distances come in random order. A distance between the last one that costs and the first one
//! that does not is added until they are eight bytes apart. Pairs of lines: one CPU reads the even
//! lines of some MiB at random, the other adds to odd lines, of the same 128-byte pairs or of
//! others; where lines come in pairs, the reader takes away what it never asked for.
//! A hypervisor moves CPUs many times a second: before and after each of these moments the two hand
//! a word back and forth, and only moments of one state come together, that of two cores if there is
//! time to meet it.
//! Blind spots: plain stores are softened by the store buffer, loads by what is read ahead; the
//! verdict comes from atomic additions.
//! Expect: atomic additions to one line take several times as long as to two; from the line size on
//! nothing is left of it. Hyperthreads of one core share their caches and hinder each other as well,
//! on Zen 4 about as much.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use crate::harness::bench::{Arm, Bench, params};
use crate::harness::clock::Timer;
use crate::harness::sampling::Policy;
use crate::kernel::coherence::{HandOver, add_in_turn, load, load_each, store};
use crate::kernel::line::add_atomically;
use crate::probe::{Need, Probe};
use crate::sys::memory::{Pages, SMALL_PAGE, SharedWords};
use crate::threads::crew::{self, Hand, Window};
use crate::threads::gang::Gang;
use crate::threads::pinning;
use card::counters::Event;
use card::declare::{Better, Declare, Estimator, Points, Tier, Unit, at_least, at_most};
use card::estimate::median;
use card::machine::{Relation, human_bytes};
use card::record::{Disturbances, Params, Point, PointState, Skip};
use card::view::core_matrix::SIBLINGS_NS;

use super::core_to_core::few_threads;

/// The probe.
pub const PROBE: Probe = Probe {
    name: "false-sharing",
    summary: "what two CPUs at one line cost each other, and how far apart is enough",
    needs: &[Need::Cpus(2)],
    uses: &[PAIRS, L2],
    seconds: 1.6,
    metrics: &[],
    proofs: &[],
    in_kernel: false,
    declare,
    run,
};

/// What cache-structure says of the other line of a pair after a miss, relative to a far one.
const PAIRS: &str = "prefetch.adjacent_line_ratio";
const L2: &str = "cache.l2_bytes";

fn declare(d: &mut Declare) {
    d.family("core-to-core");
    d.quantity("one_way", Unit::Ns, Estimator::Median);
    let time = d.quantity("time_per_op", Unit::Ns, Estimator::Median);
    let atomic = Kernel::Atomic.name();
    let at = |points: &Points, offset| points.with("kernel", atomic).with("offset", offset);
    d.metric(
        "false_sharing.slowdown_ratio",
        Tier::T4,
        at(&time, GRID) / at(&time, UNRELATED),
        format!("atomic additions of two CPUs, {GRID} bytes apart ÷ {UNRELATED} bytes apart"),
    )
    .better(Better::Lower);
    let step = time.with("kernel", atomic).step_down("offset");
    d.metric(
        "false_sharing.step_bytes",
        Tier::T1,
        step.clone(),
        "distance from which two CPUs' atomic additions do not hinder each other",
    );
    let together = d.quantity("lines_together", Unit::Count, Estimator::Median);
    d.metric(
        "false_sharing.safe_padding_bytes",
        Tier::T2,
        step * together.value(),
        "that distance, or twice as much where lines are seen to come in pairs",
    );
    d.quantity("pair_add", Unit::Ns, Estimator::Median);
    d.quantity("other_pair", Unit::Ns, Estimator::Median);
    // A line that another core has changed is no longer in one's own L1; whose cache it comes from, no
    // two vendors tell alike.
    let counted = d.quantity("counted", Unit::Ns, Estimator::Median);
    let ids = ["false_sharing.slowdown_ratio"];
    d.proof(ids, at(&counted, GRID), Event::L1dMisses, at_least(0.05));
    d.proof(ids, at(&counted, UNRELATED), Event::L1dMisses, at_most(0.01));
}

/// What the two do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kernel {
    Atomic,
    Store,
    WriteRead,
}

impl Kernel {
    const ALL: [Kernel; 3] = [Kernel::Atomic, Kernel::Store, Kernel::WriteRead];

    fn name(self) -> &'static str {
        match self {
            Kernel::Atomic => "atomic",
            Kernel::Store => "store",
            Kernel::WriteRead => "write_read",
        }
    }
}

/// A kernel at a distance in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Setting {
    kernel: Kernel,
    offset: usize,
}

/// Bytes of a word.
const WORD: usize = 4;
const LINE: usize = 64;

/// Distances of the kernel that decides: every eight bytes around the usual line, then coarser; where
/// the step lies among the latter, the gap is filled.
fn fine() -> impl Iterator<Item = usize> {
    (1..=9).map(|i| i * GRID).chain([96, 128, 192, 256, 512, UNRELATED])
}

/// Distances of the other kernels, and of other pairs of CPUs.
const COARSE: [usize; 9] = [8, 32, 56, 64, 72, 128, 256, 512, UNRELATED];
const COARSEST: [usize; 4] = [8, 64, 128, UNRELATED];

/// How exactly the step is placed, and up to where.
const GRID: usize = 8;

/// Far enough for anything but a page.
const UNRELATED: usize = 1024;

/// How long two threads work at a distance: bursts below 0.2 ms read nonsense.
const WINDOW: Duration = Duration::from_micros(500);

/// Operations between two looks at the time: a microsecond and more undisturbed, a tenth of a window
/// at the worst.
const SLICE: u64 = 1000;

/// Windows of a setting that count.
const WINDOWS: usize = 5;

/// With fewer a point is noisy.
const LEAST: usize = 3;

/// Two that do the same get done about as much; one that gets so many times less had no CPU, which
/// the kernel of a virtual machine does not see.
const MOST_UNEQUAL: f64 = 12.0;

/// A line at which the slow-down ends differs by more than this.
const STEP_RATIO: f64 = 1.1;

/// Where the other lines of its pairs come along, additions to them take longer by more than this: by a
/// half and more on a core whose prefetcher looks both ways.
const TAKEN_AWAY: f64 = 1.25;

/// Below this the other line of a pair came with the first, as cache-structure sees it.
const CAME_ALONG: f64 = 0.7;

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let mut partners = partners(bench);
    pinning::pin(bench.cpu);
    if partners.is_empty() {
        return bench.skip(pinning::unpinned());
    }
    // Two cores at one cache are the case that everyone has; hyperthreads of one core the last.
    let (relation, partner) = partners.remove(0);
    let Some((rows, state)) = curve(bench, partner)? else { return Ok(()) };
    let note = siblings(state);
    let labels = params([("with", relation.name().into())]);
    bench.record("one_way", labels, Unit::Ns, vec![state])?;
    for row in rows {
        let point = point(bench, "time_per_op", row, None, note.clone());
        bench.emit(point)?;
    }
    counted(bench, partner)?;
    pairs(bench, partner)?;
    for (relation, partner) in partners {
        let settings = COARSEST.map(|offset| Setting { kernel: Kernel::Atomic, offset });
        let Some((rows, state)) = sweep(bench, partner, &settings, 0.06)? else { return Ok(()) };
        for row in rows {
            let point = point(bench, "other_pair", row, Some(relation), siblings(state));
            bench.emit(point)?;
        }
    }
    Ok(())
}

/// Near and far once more, for the counters of this CPU: how many of its additions missed.
fn counted(bench: &mut Bench<'_>, partner: usize) -> anyhow::Result<()> {
    if !bench.meter.counts(Event::L1dMisses) {
        return Ok(());
    }
    let policy = Policy { most: 9, quiet: false, ..Policy::structural(bench.share(0.02)) };
    for offset in [GRID, UNRELATED] {
        let words = SharedWords::new(SMALL_PAGE, Pages::Small)?;
        let [own, other] = [0, offset / WORD].map(|at| &words.words()[at]);
        let follow = |gang: &Gang, _| {
            while !gang.stopped() {
                add_atomically(other, SLICE);
            }
        };
        let labels = params([("kernel", "atomic".into()), ("offset", (offset as u64).into())]);
        let cpu = bench.cpu;
        let lead = |_: &Gang| {
            bench.sample(Arm::new("counted", labels, |ops| add_atomically(own, ops)), &policy)
        };
        match Gang::run(cpu, &[partner], follow, lead) {
            Ok(sampled) => sampled?,
            Err(e) => return bench.skip(few_threads(2, &e.to_string())),
        }
    }
    Ok(())
}

/// A CPU for each way to be related to the bench's own, the one that matters most first.
fn partners(bench: &mut Bench<'_>) -> Vec<(Relation, usize)> {
    const ORDER: [Relation; 5] = [
        Relation::SameL3,
        Relation::OtherL3,
        Relation::OtherNode,
        Relation::Unclaimed,
        Relation::Siblings,
    ];
    let mut others: Vec<usize> = bench.machine.allowed_cpus().to_vec();
    others.retain(|&cpu| cpu != bench.cpu);
    bench.rng.shuffle(&mut others);
    let with = |relation: Relation| {
        let is = |cpu: &&usize| bench.machine.relation(bench.cpu, **cpu) == relation;
        let cpu = others.iter().filter(is).find(|&&cpu| pinning::pin(cpu))?;
        Some((relation, *cpu))
    };
    ORDER.into_iter().filter_map(with).collect()
}

/// What the reader must know of the two CPUs' state.
fn siblings(one_way: f64) -> Option<String> {
    (one_way < SIBLINGS_NS).then(|| {
        "the two CPUs were hyperthreads of one core, as a line's way from one to the other told"
            .into()
    })
}

/// A setting with its samples.
#[derive(Debug)]
struct Row {
    setting: Setting,
    samples: Vec<f64>,
    rejected: u64,
}

fn point(
    bench: &Bench<'_>,
    quantity: &str,
    row: Row,
    with: Option<Relation>,
    note: Option<String>,
) -> Point {
    let Row { setting, samples, rejected } = row;
    let mut labels = params([
        ("kernel", setting.kernel.name().into()),
        ("offset", (setting.offset as u64).into()),
    ]);
    labels.extend(with.map(|relation| ("with".into(), relation.name().into())));
    timed(bench, quantity, labels, samples, rejected, note)
}

fn timed(
    bench: &Bench<'_>,
    quantity: &str,
    labels: Params,
    samples: Vec<f64>,
    rejected: u64,
    note: Option<String>,
) -> Point {
    // Moments of other states are no disturbance; too few of this one are.
    let state = if samples.len() >= LEAST { PointState::Ok } else { PointState::Noisy };
    Point {
        disturbances: Disturbances { rejected, ..Disturbances::default() },
        note,
        ..bench.point(quantity, labels, Unit::Ns, samples, state)
    }
}

/// All distances, and what lies between the last that costs and the first that does not; and how
/// long a line took from one CPU to the other meanwhile.
fn curve(bench: &mut Bench<'_>, partner: usize) -> anyhow::Result<Option<(Vec<Row>, f64)>> {
    let fine = fine().map(|offset| Setting { kernel: Kernel::Atomic, offset });
    let coarse = Kernel::ALL
        .into_iter()
        .filter(|kernel| *kernel != Kernel::Atomic)
        .flat_map(|kernel| COARSE.map(|offset| Setting { kernel, offset }));
    let settings: Vec<Setting> = fine.chain(coarse).collect();
    let Some((mut rows, state)) = sweep(bench, partner, &settings, 0.55)? else {
        return Ok(None);
    };
    while let Some(offset) = between(&rows)
        && !bench.left().is_zero()
    {
        let setting = Setting { kernel: Kernel::Atomic, offset };
        let Some((more, met)) = sweep(bench, partner, &[setting], 0.02)? else { break };
        // Of another state it is no part of this curve; without a sample it would be asked for again.
        let fits = met.max(state) < APART * met.min(state);
        if !fits || more.iter().all(|row| row.samples.is_empty()) {
            break;
        }
        rows.extend(more);
    }
    Ok(Some((rows, state)))
}

/// A distance in the middle of the gap in which the step lies, if it is not placed well enough.
fn between(rows: &[Row]) -> Option<usize> {
    let atomic = rows.iter().filter(|row| row.setting.kernel == Kernel::Atomic);
    let mut curve: Vec<(usize, f64)> =
        atomic.filter_map(|row| Some((row.setting.offset, median(&row.samples)?))).collect();
    curve.sort_by_key(|p| p.0);
    let (near, far) = (curve.first()?.1, curve.last()?.1);
    let border = (near * far).sqrt();
    let last = curve.iter().rposition(|p| p.1 > border)?;
    let (from, to) = (curve[last].0, curve.get(last + 1)?.0);
    let middle = from.midpoint(to) / GRID * GRID;
    let inside = (from + 1..to).contains(&middle) && from < 256;
    (near > far * STEP_RATIO && inside).then_some(middle)
}

/// One of the two threads.
struct Side<'a> {
    words: &'a [AtomicU32],
    private: SharedWords,
    /// What is done in each window, and on which page.
    plan: &'a [(Setting, usize)],
    leads: bool,
    role: Role,
    at: usize,
    done: u64,
    /// Whatever was loaded: nothing but 0.
    seen: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Role {
    Add,
    Store,
    Load,
}

impl Hand for Side<'_> {
    fn begin(&mut self, window: usize) {
        let (setting, page) = self.plan[window];
        let offset = if self.leads { 0 } else { setting.offset };
        self.at = (page * SMALL_PAGE + offset) / WORD;
        self.role = match (setting.kernel, self.leads) {
            (Kernel::Atomic, _) => Role::Add,
            (Kernel::WriteRead, true) => Role::Load,
            _ => Role::Store,
        };
        (self.done, self.seen) = (0, 0);
        self.words[self.at].store(0, Ordering::Relaxed);
    }

    fn work(&mut self) -> u64 {
        let word = &self.words[self.at];
        match self.role {
            Role::Add => add_atomically(word, SLICE),
            Role::Store => store(word, &self.private.words()[0], SLICE),
            Role::Load => self.seen |= load(self.words, self.at, SLICE),
        }
        self.done += SLICE;
        SLICE
    }

    fn end(&mut self) -> Result<(), String> {
        let expected = match self.role {
            Role::Add => self.done as u32,
            Role::Store => SLICE as u32,
            Role::Load => 0,
        };
        let found = self.words[self.at].load(Ordering::Relaxed) | self.seen;
        (found == expected)
            .then_some(())
            .ok_or_else(|| format!("a word beside a busy one is {found}, not {expected}"))
    }
}

/// Pages of the words; every window takes one of them at random.
const PAGES: usize = 16;

/// Measures all settings, within a share of the round's time. `None` if the reason was recorded why it
/// cannot be done.
fn sweep(
    bench: &mut Bench<'_>,
    partner: usize,
    settings: &[Setting],
    share: f64,
) -> anyhow::Result<Option<(Vec<Row>, f64)>> {
    let plan = Plan::new(settings.len(), &mut bench.rng);
    let shared = SharedWords::new(PAGES * SMALL_PAGE, Pages::Small)?;
    let leader = bench.cpu;
    let planned: Vec<(Setting, usize)> =
        plan.arms.iter().map(|&arm| (settings[arm], bench.rng.usize(..PAGES))).collect();
    let hire = |cpu: usize| {
        Ok(Side {
            words: shared.words(),
            private: SharedWords::new(SMALL_PAGE, Pages::Small).map_err(|e| e.to_string())?,
            plan: &planned[plan.begin()..],
            leads: cpu == leader,
            role: Role::Add,
            at: 0,
            done: 0,
            seen: 0,
        })
    };
    let value = |arm: usize, window: &Window| per_op(settings[arm].kernel, window);
    let gathered = gather(bench, partner, &plan, (WINDOW, share), hire, value)?;
    Ok(gathered.map(|Gathered { arms, state }| {
        let row = |(setting, (samples, rejected))| Row { setting, samples, rejected };
        (settings.iter().copied().zip(arms).map(row).collect(), state)
    }))
}

/// Passes over all arms at most.
const MOST_PASSES: usize = 40;

/// The order in which arms are measured: each once in every pass.
struct Plan {
    arms: Vec<usize>,
    count: usize,
    pass: AtomicUsize,
}

impl Plan {
    fn new(count: usize, rng: &mut fastrand::Rng) -> Plan {
        let pass = |_| {
            let mut order: Vec<usize> = (0..count).collect();
            rng.shuffle(&mut order);
            order
        };
        let mut arms: Vec<usize> = (0..MOST_PASSES).flat_map(pass).collect();
        // Each pass looks one window further, only for the state that the two are in after it.
        arms.push(0);
        Plan { arms, count, pass: AtomicUsize::new(0) }
    }

    /// Where this pass begins.
    fn begin(&self) -> usize {
        self.pass.load(Ordering::Relaxed) * self.count
    }
}

/// Samples of each arm with the number of disturbed ones, and how long a line took
/// meanwhile, ns.
struct Gathered {
    arms: Vec<(Vec<f64>, u64)>,
    state: f64,
}

/// A hand that first hands a word back and forth with its partner.
struct Watched<'a, H> {
    hand: H,
    word: &'a AtomicU32,
    leads: bool,
    timer: &'a Timer,
    seen: &'a Mutex<Vec<f64>>,
}

impl<H: Hand> Hand for Watched<'_, H> {
    fn begin(&mut self, window: usize) {
        /// Some microseconds, up to a tenth of a window across a large machine.
        const TRIPS: u64 = 50;
        let (mine, theirs) = if self.leads { (0, 1) } else { (1, 0) };
        HandOver::Cas.pass(self.word, mine, theirs, TRIPS / 5);
        let start = self.timer.stamp();
        HandOver::Cas.pass(self.word, mine, theirs, TRIPS);
        let ns = self.timer.ns_between(start, self.timer.stamp()) / (2 * TRIPS) as f64;
        if let (true, Ok(mut seen)) = (self.leads, self.seen.lock()) {
            seen.push(ns);
        }
        self.hand.begin(window);
    }

    fn work(&mut self) -> u64 {
        self.hand.work()
    }

    fn end(&mut self) -> Result<(), String> {
        self.hand.end()
    }
}

/// A window's arm, the state that the two were in before and after it, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Seen {
    arm: usize,
    state: Option<f64>,
    value: Option<f64>,
}

/// Passes over the plan until every arm has enough samples in one state or the time is up. `None` if
/// the reason was recorded why there are none.
fn gather<H: Hand>(
    bench: &mut Bench<'_>,
    partner: usize,
    plan: &Plan,
    (length, share): (Duration, f64),
    hire: impl Fn(usize) -> Result<H, String> + Sync,
    value: impl Fn(usize, &Window) -> Option<f64>,
) -> anyhow::Result<Option<Gathered>> {
    let until = bench.meter.elapsed() + bench.share(share);
    let word = SharedWords::new(SMALL_PAGE, Pages::Small)?;
    let mut all: Vec<Seen> = Vec::new();
    for pass in 0..MOST_PASSES {
        plan.pass.store(pass, Ordering::Relaxed);
        let states = Mutex::new(Vec::new());
        let (timer, leader) = (bench.timer, bench.cpu);
        let watched = |cpu: usize| {
            let hand = hire(cpu)?;
            let (word, leads) = (&word.words()[0], cpu == leader);
            Ok(Watched { hand, word, leads, timer: &timer, seen: &states })
        };
        let team = (bench.cpu, &[partner][..]);
        let windows = match crew::windows(team, &timer, (plan.count + 1, length), watched) {
            Ok(windows) => windows,
            Err(reason) => {
                let remedy = "raise the limits on threads (ulimit -u, pids.max) and memory";
                bench.skip(Skip::new("two threads", reason, remedy))?;
                return Ok(None);
            }
        };
        let wrong = windows.iter().flat_map(|w| &w.0).find_map(|share| share.wrong.clone());
        bench.check(wrong.is_none(), || wrong.unwrap_or_default())?;
        let states = states.into_inner().unwrap_or_default();
        let arms = &plan.arms[plan.begin()..plan.begin() + plan.count];
        all.extend(arms.iter().zip(&windows).zip(states.windows(2)).map(|((&arm, window), s)| {
            let steady = s[0].max(s[1]) < APART * s[0].min(s[1]);
            let state = steady.then(|| s[0].midpoint(s[1]));
            Seen { arm, state, value: value(arm, window) }
        }));
        if best(&all, plan.count).is_some_and(|(_, least)| least >= WINDOWS)
            || bench.meter.elapsed() >= until
        {
            break;
        }
    }
    Ok(best(&all, plan.count).map(|(range, _)| chosen(&all, plan.count, range)))
}

/// States differ by more than this; one state scatters by less.
const APART: f64 = 1.5;

/// The ranges of one-way times that were met, nearest first.
fn ranges(all: &[Seen]) -> Vec<(f64, f64)> {
    let mut states: Vec<f64> = all.iter().filter_map(|seen| seen.state).collect();
    states.sort_by(f64::total_cmp);
    states.chunk_by(|a, b| *b < *a * APART).map(|c| (c[0], c[c.len() - 1])).collect()
}

fn is_in(seen: &Seen, range: (f64, f64)) -> bool {
    seen.state.is_some_and(|state| (range.0..=range.1).contains(&state))
}

/// The state to report, and how many samples it has for every arm at least: the nearest one of two
/// cores that has enough, else hyperthreads of one core, else whatever has most.
fn best(all: &[Seen], arms: usize) -> Option<((f64, f64), usize)> {
    let least = |&range: &(f64, f64)| {
        let of = |arm| {
            all.iter().filter(|s| s.arm == arm && s.value.is_some() && is_in(s, range)).count()
        };
        (0..arms).map(of).min().unwrap_or(0)
    };
    let (near, cores): (Vec<_>, Vec<_>) = ranges(all).into_iter().partition(|r| r.1 < SIBLINGS_NS);
    let found: Vec<((f64, f64), usize)> =
        cores.into_iter().chain(near).map(|range| (range, least(&range))).collect();
    let enough = found.iter().find(|f| f.1 >= WINDOWS).copied();
    let size = |range| all.iter().filter(|s| is_in(s, range)).count();
    enough.or_else(|| found.into_iter().max_by_key(|f| (f.1, size(f.0))))
}

/// The samples of one state.
fn chosen(all: &[Seen], arms: usize, range: (f64, f64)) -> Gathered {
    let own = |arm: usize| {
        let here = || all.iter().filter(|seen| seen.arm == arm && is_in(seen, range));
        let rejected = here().filter(|seen| seen.value.is_none()).count() as u64;
        (here().filter_map(|seen| seen.value).take(WINDOWS).collect(), rejected)
    };
    let states: Vec<f64> =
        all.iter().filter(|s| is_in(s, range)).filter_map(|seen| seen.state).collect();
    Gathered { arms: (0..arms).map(own).collect(), state: median(&states).unwrap_or(range.0) }
}

/// ns per operation of each of the two; of the reader where they do different things. `None` where
/// one of them was without its CPU for a part of the window.
fn per_op(kernel: Kernel, window: &Window) -> Option<f64> {
    let [leader, follower] = &window.0[..] else { return None };
    let rate = |share: &crew::Share| share.amount as f64 / share.ns;
    let (a, b) = (rate(leader), rate(follower));
    let together = window.lost() <= crew::MOST_LOST;
    match kernel {
        Kernel::WriteRead => together.then_some(1.0 / a),
        _ => (together && a.max(b) < MOST_UNEQUAL * a.min(b)).then_some(2.0 / (a + b)),
    }
}

/// One CPU reads even lines, the other adds to odd ones.
struct PairSide<'a> {
    words: &'a [AtomicU32],
    lines: &'a PairLines,
    /// The arm of each window.
    plan: &'a [usize],
    leads: bool,
    /// The lines of this window, by words.
    at: &'a [u32],
    next: usize,
    /// All words together: as they must be, from the last look on.
    sum: u32,
}

/// Lines at a time: microseconds.
const CHUNK: usize = 1000;

impl Hand for PairSide<'_> {
    fn begin(&mut self, window: usize) {
        let (half, arm) = (self.plan[window] / ARMS.len(), self.plan[window] % ARMS.len());
        self.at = if self.leads { &self.lines.written[half][arm] } else { &self.lines.read[half] };
        self.next = 0;
        // The writer has all its lines before it begins, the reader what fits of its own.
        if self.leads {
            add_in_turn(self.words, self.at);
        }
        self.sum = load_each(self.words, self.at);
    }

    fn work(&mut self) -> u64 {
        let all = self.at;
        let chunk = &all[self.next..(self.next + CHUNK).min(all.len())];
        if self.leads {
            add_in_turn(self.words, chunk);
            self.sum = self.sum.wrapping_add(chunk.len() as u32);
        } else {
            std::hint::black_box(load_each(self.words, chunk));
        }
        self.next = (self.next + CHUNK) % all.len().next_multiple_of(CHUNK);
        chunk.len() as u64
    }

    fn end(&mut self) -> Result<(), String> {
        let lost = self.leads && load_each(self.words, self.at) != self.sum;
        (!lost).then_some(()).ok_or_else(|| "an atomic addition was lost".to_owned())
    }
}

/// Where the writer stores.
const ARMS: [&str; 3] = ["same_pairs", "other_pairs", "same_lines"];

/// Which lines the two work at, by words. The reader has one half of the memory or the other, so that
/// nothing comes of where in memory a line lies.
struct PairLines {
    read: [Vec<u32>; 2],
    /// By the reader's half, in the order of [`ARMS`].
    written: [[Vec<u32>; ARMS.len()]; 2],
    bytes: usize,
}

impl PairLines {
    /// The reader's lines do not fit its L2, so that it keeps asking for them; the writer's do, so
    /// that it would keep them. Lines of one half of all pairs have one half of the sets.
    fn new(l2: usize, rng: &mut fastrand::Rng) -> PairLines {
        let (read, count) = (l2 / LINE * 3 / 4, l2 / LINE / 4);
        let word = |pair: usize, odd: usize| ((2 * pair + odd) * LINE / WORD) as u32;
        let mut lines = |half: usize, odd: usize, count: usize| -> Vec<u32> {
            let mut pairs: Vec<usize> = (half * read..(half + 1) * read).collect();
            rng.shuffle(&mut pairs);
            pairs.into_iter().take(count).map(|pair| word(pair, odd)).collect()
        };
        PairLines {
            written: [0, 1]
                .map(|h| [lines(h, 1, count), lines(1 - h, 1, count), lines(h, 0, count)]),
            read: [0, 1].map(|h| lines(h, 0, read)),
            bytes: 4 * read * LINE,
        }
    }
}

/// Largest L2 that is believed; more would only take longer.
const LARGEST_L2: usize = 4 << 20;

/// Whether a reader takes away the other line of a pair, and what follows for the distance to keep.
fn pairs(bench: &mut Bench<'_>, partner: usize) -> anyhow::Result<()> {
    let claimed = bench.machine.claimed_cache(2, true).map(|c| c.bytes as f64);
    let l2 = bench.known(L2).or(claimed).filter(|b| *b > 0.0).unwrap_or(1048576.0) as usize;
    let lines = PairLines::new(l2.min(LARGEST_L2), &mut bench.rng);
    if lines.bytes as u64 > bench.machine.buffer_limit() {
        return bench.skip(Skip::new(
            format!("{} for pairs of lines", human_bytes(lines.bytes as u64)),
            format!("the limit set by {} is lower", bench.machine.memory_limit_source()),
            "raise the memory limit",
        ));
    }
    let plan = Plan::new(2 * ARMS.len(), &mut bench.rng);
    let shared = SharedWords::new(lines.bytes, Pages::Huge)?;
    let leader = bench.cpu;
    let hire = |cpu: usize| {
        let (words, plan) = (shared.words(), &plan.arms[plan.begin()..]);
        let leads = cpu == leader;
        Ok(PairSide { words, lines: &lines, plan, leads, at: &[], next: 0, sum: 0 })
    };
    let value = |_, window: &Window| {
        let leader = window.0.first().filter(|_| window.lost() <= crew::MOST_LOST)?;
        Some(leader.ns / leader.amount as f64)
    };
    let gathered = gather(bench, partner, &plan, (4 * WINDOW, 0.25), hire, value)?;
    let Some(Gathered { arms, state }) = gathered else { return Ok(()) };
    let (first, second) = arms.split_at(ARMS.len());
    let both = first.iter().zip(second);
    let arms: Vec<(Vec<f64>, u64)> =
        both.map(|(a, b)| ([&a.0[..], &b.0[..]].concat(), a.1 + b.1)).collect();
    let middles: Vec<f64> = arms.iter().filter_map(|arm| median(&arm.0)).collect();
    for (name, (samples, rejected)) in ARMS.iter().zip(arms) {
        let labels = params([("lines", (*name).into())]);
        let point = timed(bench, "pair_add", labels, samples, rejected, siblings(state));
        bench.emit(point)?;
    }
    let [same, other, own] = middles[..] else { return Ok(()) };
    let flushed = bench.known(PAIRS);
    // Hyperthreads of one core share their L2: nothing can be taken away.
    // Nor is anything to be seen where not even the lines that it reads are.
    let taken = (state >= SIBLINGS_NS && own > other * TAKEN_AWAY).then_some(same / other);
    let come = [taken.map(|ratio| ratio > TAKEN_AWAY), flushed.map(|ratio| ratio < CAME_ALONG)];
    if come == [None; 2] {
        return Ok(());
    }
    let together = if come.contains(&Some(true)) { 2.0 } else { 1.0 };
    let labels = params([]);
    let point = bench.point("lines_together", labels, Unit::Count, vec![together], PointState::Ok);
    bench.emit(Point { note: Some(evidence(taken, flushed)), ..point })
}

/// By what lines were told to come in pairs or alone.
fn evidence(taken: Option<f64>, flushed: Option<f64>) -> String {
    let taken = match taken {
        Some(ratio) => {
            format!("additions to lines whose other half is read take {ratio:.2} times as long")
        }
        None => "the two CPUs share a cache, so that neither takes lines from the other".into(),
    };
    let flushed = match flushed {
        Some(ratio) => format!("after a flush such a line costs {ratio:.2} times a far one"),
        None => "cache-structure has not looked for pairs in this run".into(),
    };
    format!("{taken}; {flushed}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kernel: Kernel, offset: usize, ns: f64) -> Row {
        Row { setting: Setting { kernel, offset }, samples: vec![ns; 3], rejected: 0 }
    }

    /// The curve of a machine with lines of so many bytes.
    fn curve_of(line: usize, offsets: impl Iterator<Item = usize>) -> Vec<Row> {
        let ns = |offset| if offset < line { 20.0 } else { 2.0 };
        offsets.map(|offset| row(Kernel::Atomic, offset, ns(offset))).collect()
    }

    #[test]
    fn the_step_is_placed_on_the_grid_wherever_it_is() {
        for line in [32, 64, 128, 200, 256] {
            let mut rows = curve_of(line, fine());
            let mut more = 0;
            while let Some(offset) = between(&rows) {
                rows.extend(curve_of(line, [offset].into_iter()));
                more += 1;
                assert!(more < 10);
            }
            assert!(rows.iter().any(|row| row.setting.offset == line), "{line}");
            assert!(rows.iter().any(|row| row.setting.offset == line - GRID), "{line}");
            assert_eq!(more > 0, line > 72, "{line}");
        }
    }

    #[test]
    fn without_a_step_nothing_is_added() {
        assert_eq!(between(&curve_of(4, fine())), None);
        assert_eq!(between(&[row(Kernel::Store, 8, 9.0), row(Kernel::Store, 1024, 1.0)]), None);
        assert_eq!(between(&[]), None);
    }

    #[test]
    fn every_metric_has_its_distances() {
        for offset in [8, UNRELATED] {
            assert!(fine().any(|o| o == offset) && COARSE.contains(&offset));
            assert!(COARSEST.contains(&offset));
        }
        assert!(fine().zip(fine().skip(1)).all(|(a, b)| a < b && b <= SMALL_PAGE));
    }

    #[test]
    fn a_window_in_which_one_had_no_cpu_does_not_count() {
        let share = |amount, lost| crew::Share { amount, ns: 1000.0, lost, wrong: None };
        let both = |a, b| per_op(Kernel::Atomic, &Window(vec![a, b]));
        assert_eq!(both(share(100, 0.0), share(300, 0.0)), Some(5.0));
        assert_eq!(both(share(100, 0.0), share(3000, 0.0)), None);
        assert_eq!(both(share(100, 100.0), share(100, 0.0)), None);
        let reader = Window(vec![share(1000, 0.0), share(10, 0.0)]);
        assert_eq!(per_op(Kernel::WriteRead, &reader), Some(1.0));
    }

    #[test]
    fn reader_and_writer_meet_only_where_they_should() {
        let lines = PairLines::new(64 << 10, &mut fastrand::Rng::with_seed(3));
        let line = |at: &u32| *at as usize * WORD / LINE;
        for (read, [same, other, own]) in lines.read.iter().zip(&lines.written) {
            assert!(read.len() * LINE > 32 << 10);
            let all: std::collections::HashSet<usize> = read.iter().map(line).collect();
            assert_eq!(all.len(), read.len());
            let beside = |at: &u32| all.contains(&(line(at) - 1));
            assert!(same.iter().all(|at| !all.contains(&line(at)) && beside(at)));
            assert!(other.iter().all(|at| !all.contains(&line(at)) && !beside(at)));
            assert!(own.iter().all(|at| all.contains(&line(at))));
        }
        let all = lines.written.iter().flatten().chain(&lines.read).flatten();
        assert!(all.into_iter().all(|at| (*at as usize) < lines.bytes / WORD));
    }

    fn seen(arm: usize, state: f64) -> Seen {
        Seen { arm, state: Some(state), value: Some(state / 3.0) }
    }

    #[test]
    fn two_cores_are_preferred_and_states_are_not_mixed() {
        // Each arm is met as siblings most often, in other states often enough.
        let mut all = Vec::new();
        for pass in 0..9 {
            all.extend([0, 1].map(|arm| seen(arm, 10.8 + f64::from(pass) / 10.0)));
            if pass < 6 {
                all.extend([0, 1].map(|arm| seen(arm, 109.0)));
                all.extend([0, 1].map(|arm| seen(arm, 28.0 + f64::from(pass))));
            }
        }
        assert_eq!(ranges(&all).len(), 3);
        let (range, least) = best(&all, 2).unwrap();
        assert_eq!((range, least), ((28.0, 33.0), 6));
        let gathered = chosen(&all, 2, range);
        for (samples, rejected) in &gathered.arms {
            assert!(samples.len() == WINDOWS && samples.iter().all(|s| *s > 9.0 && *s < 12.0));
            assert_eq!(*rejected, 0, "another state is no disturbance");
        }
        assert!((gathered.state - 30.5).abs() < 1.0);
        assert!(siblings(gathered.state).is_none() && siblings(10.8).is_some());
    }

    #[test]
    fn what_is_met_too_rarely_gives_way_to_what_is_there() {
        let mut all: Vec<Seen> = (0..2).flat_map(|_| [0, 1].map(|arm| seen(arm, 28.0))).collect();
        all.extend((0..7).flat_map(|_| [0, 1].map(|arm| seen(arm, 10.8))));
        all.push(Seen { state: None, ..seen(0, 28.0) });
        assert_eq!(best(&all, 2), Some(((10.8, 10.8), 7)));
        assert_eq!(best(&[], 2), None);
    }

    #[test]
    fn every_pass_has_every_arm() {
        let plan = Plan::new(5, &mut fastrand::Rng::with_seed(2));
        for pass in plan.arms[..5 * MOST_PASSES].chunks(5) {
            let mut pass = pass.to_vec();
            pass.sort_unstable();
            assert_eq!(pass, [0, 1, 2, 3, 4]);
        }
        assert!(plan.arms.len() > 5 * MOST_PASSES, "the last pass looks one further");
    }
}
