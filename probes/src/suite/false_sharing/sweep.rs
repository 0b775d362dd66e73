//! The distances: what atomic additions, stores and loads cost by how far apart the two work.

use std::sync::atomic::{AtomicU32, Ordering};

use super::states::{Gathered, Plan, gather};
use super::{GRID, SLICE, UNRELATED, WINDOW, WORD, timed};
use crate::harness::bench::{Bench, params};
use crate::kernel::coherence::{load, store};
use crate::kernel::line::add_atomically;
use crate::sys::memory::{Pages, SharedWords};
use crate::threads::windows::{self, Window, Worker};
use card::estimate::median;
use card::machine::Relation;
use card::record::Point;
use card::view::core_matrix::is_one_place;

/// What the two do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kernel {
    Atomic,
    Store,
    WriteRead,
}

impl Kernel {
    const ALL: [Kernel; 3] = [Kernel::Atomic, Kernel::Store, Kernel::WriteRead];

    pub(super) fn name(self) -> &'static str {
        match self {
            Kernel::Atomic => "atomic",
            Kernel::Store => "store",
            Kernel::WriteRead => "write_read",
        }
    }
}

/// A kernel at a distance in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Setting {
    pub(super) kernel: Kernel,
    pub(super) offset: usize,
}

/// Distances of the kernel that decides: every eight bytes around the usual line, then coarser; where
/// the step lies among the latter, the gap is filled.
fn fine() -> impl Iterator<Item = usize> {
    (1..=9).map(|i| i * GRID).chain([96, 128, 192, 256, 512, UNRELATED])
}

/// Distances of the other kernels, and of other pairs of CPUs.
const COARSE: [usize; 9] = [8, 32, 56, 64, 72, 128, 256, 512, UNRELATED];
pub(super) const COARSEST: [usize; 4] = [8, 64, 128, UNRELATED];

/// Two that do the same get done about as much; one that gets so many times less had no CPU, which
/// the kernel of a virtual machine does not see.
const MOST_UNEQUAL: f64 = 12.0;

/// A line at which the slow-down ends differs by more than this.
const STEP_RATIO: f64 = 1.1;

/// A setting with its samples.
#[derive(Debug)]
pub(super) struct Row {
    setting: Setting,
    samples: Vec<f64>,
    rejected: u64,
}

pub(super) fn point(
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

/// All distances, and what lies between the last that costs and the first that does not; and how
/// long a line took from one CPU to the other meanwhile.
pub(super) fn curve(
    bench: &mut Bench<'_>,
    partner: usize,
) -> anyhow::Result<Option<(Vec<Row>, f64)>> {
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
        if !is_one_place(met, state) || more.iter().all(|row| row.samples.is_empty()) {
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
    /// What is done in each window, and in which span.
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

impl Worker for Side<'_> {
    fn setup(&mut self, window: usize) {
        let (setting, span) = self.plan[window];
        let offset = if self.leads { 0 } else { setting.offset };
        self.at = (span * SPAN + offset) / WORD;
        self.role = match (setting.kernel, self.leads) {
            (Kernel::Atomic, _) => Role::Add,
            (Kernel::WriteRead, true) => Role::Load,
            _ => Role::Store,
        };
        (self.done, self.seen) = (0, 0);
        self.words[self.at].store(0, Ordering::Relaxed);
    }

    fn run_slice(&mut self) -> u64 {
        let word = &self.words[self.at];
        match self.role {
            Role::Add => add_atomically(word, SLICE),
            Role::Store => store(word, &self.private.words()[0], SLICE),
            Role::Load => self.seen |= load(self.words, self.at, SLICE),
        }
        self.done += SLICE;
        SLICE
    }

    fn verify(&mut self) -> Result<(), String> {
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

/// Bytes that hold the words of a window, and more than any line.
const SPAN: usize = 4 << 10;

/// There are so many of them; every window takes one at random.
const SPANS: usize = 16;

/// Measures all settings, within a share of the round's time. `None` if the reason was recorded why it
/// cannot be done.
pub(super) fn sweep(
    bench: &mut Bench<'_>,
    partner: usize,
    settings: &[Setting],
    share: f64,
) -> anyhow::Result<Option<(Vec<Row>, f64)>> {
    let plan = Plan::new(settings.len(), &mut bench.rng);
    let shared = SharedWords::new(SPANS * SPAN, Pages::Small)?;
    let leader = bench.cpu;
    let planned: Vec<(Setting, usize)> =
        plan.arms.iter().map(|&arm| (settings[arm], bench.rng.usize(..SPANS))).collect();
    let make_worker = |cpu: usize| {
        Ok(Side {
            words: shared.words(),
            private: SharedWords::new(1, Pages::Small).map_err(|e| e.to_string())?,
            plan: &planned[plan.begin()..],
            leads: cpu == leader,
            role: Role::Add,
            at: 0,
            done: 0,
            seen: 0,
        })
    };
    let value = |arm: usize, window: &Window| per_op(settings[arm].kernel, window);
    let gathered = gather(bench, partner, &plan, (WINDOW, share), make_worker, value)?;
    Ok(gathered.map(|Gathered { arms, state }| {
        let row = |(setting, (samples, rejected))| Row { setting, samples, rejected };
        (settings.iter().copied().zip(arms).map(row).collect(), state)
    }))
}

/// ns per operation of each of the two; of the reader where they do different things. `None` where
/// one of them was without its CPU for a part of the window.
fn per_op(kernel: Kernel, window: &Window) -> Option<f64> {
    let [leader, follower] = &window.0[..] else { return None };
    let rate = |share: &windows::ThreadSample| share.amount as f64 / share.ns;
    let (a, b) = (rate(leader), rate(follower));
    let together = window.off_cpu_share() <= windows::MOST_OFF_CPU;
    match kernel {
        Kernel::WriteRead => together.then_some(1.0 / a),
        _ => (together && a.max(b) < MOST_UNEQUAL * a.min(b)).then_some(2.0 / (a + b)),
    }
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
        assert!(fine().zip(fine().skip(1)).all(|(a, b)| a < b && b <= SPAN));
    }

    #[test]
    fn a_window_in_which_one_had_no_cpu_does_not_count() {
        let share = |amount, off_cpu_ns| windows::ThreadSample {
            amount,
            ns: 1000.0,
            off_cpu_ns,
            wrong: None,
        };
        let both = |a, b| per_op(Kernel::Atomic, &Window(vec![a, b]));
        assert_eq!(both(share(100, 0.0), share(300, 0.0)), Some(5.0));
        assert_eq!(both(share(100, 0.0), share(3000, 0.0)), None);
        assert_eq!(both(share(100, 100.0), share(100, 0.0)), None);
        let reader = Window(vec![share(1000, 0.0), share(10, 0.0)]);
        assert_eq!(per_op(Kernel::WriteRead, &reader), Some(1.0));
    }
}
