//! False sharing: what two CPUs that write to one line cost each other, and how far apart their data
//! must be.
//!
//! Method: two pinned threads work for a millisecond from a common start, each on a word of its
//! own, so and so many bytes apart: atomic additions, plain stores (with a store to a private line
//! in between, or the store buffer would put them together), and loads beside the other's stores.
//! The distances come in random order. A distance between the last one that costs and the first one
//! that does not is added until they are eight bytes apart. Pairs of lines: one CPU reads the even
//! lines of some MiB at random, the other adds to odd lines, of the same 128-byte pairs or of
//! others; where lines come in pairs, the reader takes away what it never asked for.
//! Blind spots: plain stores are softened by the store buffer, loads by what is read ahead; the
//! verdict comes from atomic additions. A hypervisor can move CPUs between the moments.
//! Expect: atomic additions to one line take several times as long as to two; from the line size on
//! nothing is left of it. Hyperthreads of one core share their caches and hinder each other less.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::harness::bench::{Bench, Tier as RunTier, params};
use crate::harness::crew::{self, Hand, Window};
use crate::harness::ping_pong::{self, Effort, SIBLINGS_NS};
use crate::harness::placement;
use crate::kernel::coherence::{HandOver, add_in_turn, load, load_each, store};
use crate::kernel::line::add_atomically;
use crate::machine::{Relation, human_bytes};
use crate::probe::{
    Better, Derive, Estimator, Need, Probe, Select, Text, Tier, Unit, Unmet, metric, select, text,
};
use crate::quantile::median;
use crate::record::{Disturbances, Params, Point, PointState};
use crate::sys::memory::{Pages, SMALL_PAGE, SharedWords};

/// The probe.
pub const PROBE: Probe = Probe {
    name: "false-sharing",
    summary: "what two CPUs at one line cost each other, and how far apart is enough",
    needs: &[Need::Cpus(2)],
    uses: &[PAIRS, L2],
    seconds: 1.6,
    metrics: &[
        metric(
            "false_sharing.slowdown_ratio",
            "atomic additions of two CPUs, 8 bytes apart ÷ 1024 bytes apart",
            Unit::Ratio,
            Better::Lower,
            Tier::T3,
            "core-to-core",
            Derive::Quotient(Cow::Borrowed(SLOWDOWN)),
        ),
        metric(
            "false_sharing.step_bytes",
            "distance from which two CPUs' atomic additions do not hinder each other",
            Unit::Bytes,
            Better::Same,
            Tier::T1,
            "core-to-core",
            STEP,
        ),
        metric(
            "false_sharing.safe_padding_bytes",
            "that distance, or twice as much where lines are seen to come in pairs",
            Unit::Bytes,
            Better::Same,
            Tier::T2,
            "core-to-core",
            Derive::Product(Cow::Borrowed(PADDING)),
        ),
        metric(
            "false_sharing.pair_ratio",
            "atomic addition beside a line that another CPU reads ÷ elsewhere: 1 unless lines come in pairs",
            Unit::Ratio,
            Better::Lower,
            Tier::T3,
            "core-to-core",
            Derive::Quotient(Cow::Borrowed(BESIDE)),
        ),
    ],
    run,
};

/// What cache-structure says of the other line of a pair after a miss, relative to a far one.
const PAIRS: &str = "prefetch.adjacent_line_ratio";
const L2: &str = "cache.l2_bytes";

const ATOMIC: &[(Text, Text)] = &[(text("kernel"), text("atomic"))];
const STEP: Derive = Derive::StepDown(select("time_per_op", ATOMIC), text("offset"));
const NEAR: &[(Text, Text)] = &[(text("kernel"), text("atomic")), (text("offset"), text("8"))];
const FAR: &[(Text, Text)] = &[(text("kernel"), text("atomic")), (text("offset"), text("1024"))];
const SLOWDOWN: &[Derive] = &[middle("time_per_op", NEAR), middle("time_per_op", FAR)];
const TOGETHER: Select = select("lines_together", &[]);
const PADDING: &[Derive] = &[STEP, Derive::Value(TOGETHER, Estimator::Median)];
const SAME_PAIRS: &[(Text, Text)] = &[(text("lines"), text("same_pairs"))];
const OTHER_PAIRS: &[(Text, Text)] = &[(text("lines"), text("other_pairs"))];
const BESIDE: &[Derive] = &[middle("pair_add", SAME_PAIRS), middle("pair_add", OTHER_PAIRS)];

const fn middle(quantity: &'static str, params: &'static [(Text, Text)]) -> Derive {
    Derive::Value(select(quantity, params), Estimator::Median)
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

/// Distances of the kernel that decides: every eight bytes over two lines of the usual size, then
/// coarser; where the step lies among the latter, the gap is filled.
fn fine() -> impl Iterator<Item = usize> {
    (1..=17).map(|i| i * GRID).chain([192, 256, 512, UNRELATED])
}

/// Distances of the other kernels, and of other pairs of CPUs.
const COARSE: [usize; 9] = [8, 32, 56, 64, 72, 128, 256, 512, UNRELATED];
const COARSEST: [usize; 4] = [8, 64, 128, UNRELATED];

/// How exactly the step is placed, and up to where.
const GRID: usize = 8;

/// Far enough for anything but a page.
const UNRELATED: usize = 1024;

/// How long two threads work at a distance: bursts below 0.2 ms read nonsense.
const WINDOW: Duration = Duration::from_millis(1);

/// Operations between two looks at the time: a microsecond and more undisturbed, a tenth of a window
/// at the worst.
const SLICE: u64 = 1000;

/// Windows of a setting.
const WINDOWS: usize = 5;

/// Share of a window that the threads may have been without a CPU.
const MOST_LOST: f64 = 0.02;

/// Two that do the same get done about as much; one that gets so many times less had no CPU, which
/// the kernel of a virtual machine does not see.
const MOST_UNEQUAL: f64 = 12.0;

/// A line at which the slow-down ends differs by more than this.
const STEP_RATIO: f64 = 1.1;

/// An addition that takes so many times longer lost its line to the reader of the other half of the pair.
const TAKEN_AWAY: f64 = 1.15;

/// Below this the other line of a pair came with the first, as cache-structure sees it.
const CAME_ALONG: f64 = 0.7;

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let mut partners = partners(bench);
    placement::pin(bench.cpu);
    if partners.is_empty() {
        return bench.skip(unpinned());
    }
    // Two cores at one cache are the case that everyone has; hyperthreads of one core the last.
    let (relation, partner) = partners.remove(0);
    let before = one_way(bench, partner)?;
    let rows = curve(bench, partner)?;
    let Some(rows) = rows else { return Ok(()) };
    let after = one_way(bench, partner)?;
    let note = state(before, after);
    bench.record(
        "one_way",
        params([("with", relation.name().into())]),
        Unit::Ns,
        [before, after].to_vec(),
    )?;
    for row in rows {
        let point = point(bench, "time_per_op", row, None, note.clone());
        bench.emit(point)?;
    }
    for (relation, partner) in partners {
        let settings = COARSEST.map(|offset| Setting { kernel: Kernel::Atomic, offset });
        let Some(rows) = sweep(bench, partner, &settings)? else { return Ok(()) };
        for row in rows {
            let point = point(bench, "other_pair", row, Some(relation), None);
            bench.emit(point)?;
        }
    }
    pairs(bench, partner, note)
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
        let cpu = others.iter().filter(is).find(|&&cpu| placement::pin(cpu))?;
        Some((relation, *cpu))
    };
    ORDER.into_iter().filter_map(with).collect()
}

fn unpinned() -> Unmet {
    Unmet {
        need: "threads on two CPUs of their own".into(),
        reason: "pinning is not permitted here (sched_setaffinity)".into(),
        remedy: "allow it in the seccomp profile".into(),
    }
}

/// How long a line takes from one of the two to the other: whether they are what they claim to be.
fn one_way(bench: &mut Bench<'_>, partner: usize) -> anyhow::Result<f64> {
    const EFFORT: Effort = Effort { lines_each: 8, bursts: 3, trips: 64, warm_up: 1000 };
    let pair = (bench.cpu, partner);
    let visit = ping_pong::visit(&bench.timer, pair, &EFFORT, &mut bench.rng);
    bench.check(visit.as_ref() != Err(&ping_pong::WRONG.to_owned()), || ping_pong::WRONG.into())?;
    let visit = visit.map_err(anyhow::Error::msg)?;
    visit.middle(HandOver::Cas).ok_or_else(|| anyhow::anyhow!("no line was handed over"))
}

/// What the reader must know of the two CPUs' state.
fn state(before: f64, after: f64) -> Option<String> {
    let same = before.max(after) < 1.5 * before.min(after);
    let siblings = before.max(after) < SIBLINGS_NS;
    match (siblings, same) {
        (true, _) => Some(format!(
            "the two CPUs were hyperthreads of one core: a line took {:.1} ns from one to the other",
            before.midpoint(after)
        )),
        (false, false) => Some(format!(
            "a CPU was moved meanwhile: a line took {before:.0} ns from one to the other before, \
             {after:.0} ns after"
        )),
        (false, true) => None,
    }
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
    let enough = samples.len() as u64 > rejected;
    let state = if enough { PointState::Ok } else { PointState::Noisy };
    Point {
        disturbances: Disturbances { rejected, ..Disturbances::default() },
        note,
        ..bench.point(quantity, labels, Unit::Ns, samples, state)
    }
}

/// All distances, and what lies between the last that costs and the first that does not.
fn curve(bench: &mut Bench<'_>, partner: usize) -> anyhow::Result<Option<Vec<Row>>> {
    let fine = fine().map(|offset| Setting { kernel: Kernel::Atomic, offset });
    let coarse = Kernel::ALL
        .into_iter()
        .filter(|kernel| *kernel != Kernel::Atomic)
        .flat_map(|kernel| COARSE.map(|offset| Setting { kernel, offset }));
    let Some(mut rows) = sweep(bench, partner, &fine.chain(coarse).collect::<Vec<_>>())? else {
        return Ok(None);
    };
    while let Some(offset) = between(&rows) {
        let setting = Setting { kernel: Kernel::Atomic, offset };
        let Some(more) = sweep(bench, partner, &[setting])? else { break };
        rows.extend(more);
    }
    Ok(Some(rows))
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

/// Measures all settings in random order, several times over. `None` if the reason was recorded why
/// it cannot be done.
fn sweep(
    bench: &mut Bench<'_>,
    partner: usize,
    settings: &[Setting],
) -> anyhow::Result<Option<Vec<Row>>> {
    let mut plan: Vec<(Setting, usize)> = Vec::new();
    for _ in 0..WINDOWS {
        let mut order = settings.to_vec();
        bench.rng.shuffle(&mut order);
        plan.extend(order.into_iter().map(|setting| (setting, bench.rng.usize(..PAGES))));
    }
    let shared = SharedWords::new(PAGES * SMALL_PAGE, Pages::Small)?;
    let leader = bench.cpu;
    let hire = |cpu: usize| {
        Ok(Side {
            words: shared.words(),
            private: SharedWords::new(SMALL_PAGE, Pages::Small).map_err(|e| e.to_string())?,
            plan: &plan,
            leads: cpu == leader,
            role: Role::Add,
            at: 0,
            done: 0,
            seen: 0,
        })
    };
    let Some(windows) = windows(bench, partner, plan.len(), WINDOW, hire)? else {
        return Ok(None);
    };
    let rows = settings.iter().map(|&setting| {
        let own = plan.iter().zip(&windows).filter(|(planned, _)| planned.0 == setting);
        let all: Vec<Option<f64>> = own.map(|(_, window)| per_op(setting.kernel, window)).collect();
        let samples: Vec<f64> = all.iter().copied().flatten().collect();
        Row { setting, rejected: (all.len() - samples.len()) as u64, samples }
    });
    Ok(Some(rows.collect()))
}

/// Runs a crew of two. `None` if the reason was recorded why there is none.
fn windows<H: Hand>(
    bench: &mut Bench<'_>,
    partner: usize,
    count: usize,
    length: Duration,
    hire: impl Fn(usize) -> Result<H, String> + Sync,
) -> anyhow::Result<Option<Vec<Window>>> {
    let seen = crew::windows((bench.cpu, &[partner]), &bench.timer, (count, length), hire);
    let windows = match seen {
        Ok(windows) => windows,
        Err(reason) => {
            let remedy = "raise the limits on threads (ulimit -u, pids.max) and memory".into();
            bench.skip(Unmet { need: "two threads".into(), reason, remedy })?;
            return Ok(None);
        }
    };
    let wrong = windows.iter().flat_map(|w| &w.0).find_map(|share| share.wrong.clone());
    bench.check(wrong.is_none(), || wrong.unwrap_or_default())?;
    Ok(Some(windows))
}

/// ns per operation of each of the two; of the reader where they do different things. `None` where
/// one of them was without its CPU for a part of the window.
fn per_op(kernel: Kernel, window: &Window) -> Option<f64> {
    let [leader, follower] = &window.0[..] else { return None };
    let rate = |share: &crew::Share| share.amount as f64 / share.ns;
    let (a, b) = (rate(leader), rate(follower));
    let together = window.lost() <= MOST_LOST;
    match kernel {
        Kernel::WriteRead => together.then_some(1.0 / a),
        _ => (together && a.max(b) < MOST_UNEQUAL * a.min(b)).then_some(2.0 / (a + b)),
    }
}

/// One CPU reads even lines, the other adds to odd ones.
struct PairSide<'a> {
    words: &'a [AtomicU32],
    /// Which words, by arm; the same for all of them where it reads.
    at: &'a [Vec<u32>],
    /// The arm of each window.
    plan: &'a [usize],
    leads: bool,
    arm: usize,
    next: usize,
    /// All words together: as they must be, from the last look on.
    sum: u32,
}

/// Lines at a time: microseconds.
const CHUNK: usize = 1000;

impl Hand for PairSide<'_> {
    fn begin(&mut self, window: usize) {
        self.arm = if self.leads { self.plan[window] } else { 0 };
        self.next = 0;
        // The writer has all its lines before it begins, the reader what fits of its own.
        if self.leads {
            add_in_turn(self.words, &self.at[self.arm]);
        }
        self.sum = load_each(self.words, &self.at[self.arm]);
    }

    fn work(&mut self) -> u64 {
        let all = &self.at[self.arm];
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
        let lost = self.leads && load_each(self.words, &self.at[self.arm]) != self.sum;
        (!lost).then_some(()).ok_or_else(|| "an atomic addition was lost".to_owned())
    }
}

/// Where the writer stores.
const ARMS: [&str; 3] = ["same_pairs", "other_pairs", "same_lines"];

/// Which lines the two work at, by words.
struct PairLines {
    read: Vec<u32>,
    /// In the order of [`ARMS`].
    written: Vec<Vec<u32>>,
    bytes: usize,
}

impl PairLines {
    /// The reader's lines do not fit its L2, so that it keeps asking for them; the writer's do, so
    /// that it would keep them.
    fn new(l2: usize, rng: &mut fastrand::Rng) -> PairLines {
        let read = l2 / LINE * 3 / 2;
        let word = |pair: usize, half: usize| ((2 * pair + half) * LINE / WORD) as u32;
        let mut lines = |from: usize, half: usize, count: usize| -> Vec<u32> {
            let mut pairs: Vec<usize> = (from..from + read).collect();
            rng.shuffle(&mut pairs);
            pairs.into_iter().take(count).map(|pair| word(pair, half)).collect()
        };
        let count = l2 / LINE / 2;
        PairLines {
            written: vec![lines(0, 1, count), lines(read, 1, count), lines(0, 0, count)],
            read: lines(0, 0, read),
            bytes: 4 * read * LINE,
        }
    }
}

/// Largest L2 that is believed; more would only take longer.
const LARGEST_L2: usize = 4 << 20;

/// Whether a reader takes away the other line of a pair, and what follows for the distance to keep.
fn pairs(bench: &mut Bench<'_>, partner: usize, note: Option<String>) -> anyhow::Result<()> {
    let claimed = bench.machine.claimed_cache(2, true).map(|c| c.bytes as f64);
    let l2 = bench.known(L2).or(claimed).filter(|b| *b > 0.0).unwrap_or(1048576.0) as usize;
    let lines = PairLines::new(l2.min(LARGEST_L2), &mut bench.rng);
    if lines.bytes as u64 > bench.machine.buffer_limit() {
        return bench.skip(Unmet {
            need: format!("{} for pairs of lines", human_bytes(lines.bytes as u64)),
            reason: format!("the limit set by {} is lower", bench.machine.memory_limit_source()),
            remedy: "raise the memory limit".into(),
        });
    }
    let each = if bench.tier == RunTier::Quick { 5 } else { 7 };
    let mut plan: Vec<usize> = Vec::new();
    for _ in 0..each {
        let mut order: Vec<usize> = (0..ARMS.len()).collect();
        bench.rng.shuffle(&mut order);
        plan.extend(order);
    }
    let shared = SharedWords::new(lines.bytes, Pages::Huge)?;
    let (leader, read) = (bench.cpu, vec![lines.read]);
    let hire = |cpu: usize| {
        let leads = cpu == leader;
        let at = if leads { &lines.written } else { &read };
        Ok(PairSide { words: shared.words(), at, plan: &plan, leads, arm: 0, next: 0, sum: 0 })
    };
    let Some(windows) = windows(bench, partner, plan.len(), 2 * WINDOW, hire)? else {
        return Ok(());
    };
    let mut middles = Vec::new();
    for (arm, name) in ARMS.iter().enumerate() {
        let own = plan.iter().zip(&windows).filter(|(planned, _)| **planned == arm);
        let time = |window: &Window| {
            let leader = window.0.first().filter(|_| window.lost() <= MOST_LOST)?;
            Some(leader.ns / leader.amount as f64)
        };
        let samples: Vec<f64> = own.filter_map(|(_, window)| time(window)).collect();
        middles.extend(median(&samples));
        let labels = params([("lines", (*name).into())]);
        let rejected = (each - samples.len()) as u64;
        let point = timed(bench, "pair_add", labels, samples, rejected, note.clone());
        bench.emit(point)?;
    }
    let [same, other, _] = middles[..] else { return Ok(()) };
    let flushed = bench.known(PAIRS);
    let together = if same > TAKEN_AWAY * other || flushed.is_some_and(|r| r < CAME_ALONG) {
        2.0
    } else {
        1.0
    };
    let point =
        bench.point("lines_together", params([]), Unit::Count, vec![together], PointState::Ok);
    bench.emit(Point { note: Some(evidence(same / other, flushed)), ..point })
}

/// By what lines were told to come in pairs or alone.
fn evidence(taken: f64, flushed: Option<f64>) -> String {
    let flushed = match flushed {
        Some(ratio) => format!("after a flush it costs {ratio:.2} times a far one"),
        None => "cache-structure has not flushed it in this run".into(),
    };
    format!(
        "an addition to the other line of a pair that is read takes {taken:.2} times as long; {flushed}"
    )
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
            assert_eq!(more > 0, line > 136, "{line}");
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
        let read: std::collections::HashSet<usize> = lines.read.iter().map(line).collect();
        assert_eq!(read.len(), lines.read.len());
        assert!(lines.read.len() * LINE > 64 << 10);
        let [same, other, own] = &lines.written[..] else { panic!() };
        assert!(same.iter().all(|at| !read.contains(&line(at)) && read.contains(&(line(at) - 1))));
        assert!(
            other.iter().all(|at| !read.contains(&line(at)) && !read.contains(&(line(at) - 1)))
        );
        assert!(own.iter().all(|at| read.contains(&line(at))));
        assert!(lines.written.iter().flatten().all(|at| (*at as usize) < lines.bytes / WORD));
    }

    #[test]
    fn the_state_of_the_pair_is_told() {
        assert_eq!(state(31.0, 33.0), None);
        assert!(state(6.0, 7.0).unwrap().contains("hyperthreads"));
        assert!(state(31.0, 127.0).unwrap().contains("moved"));
    }
}
