//! Jumps, branches, calls and returns in code that is made for the purpose: as many as a predictor
//! might remember, and more.

use std::io;

use super::arch::jumps as kernel;
use super::generic::routines;
use super::whole_blocks;

/// A ring of jumps that are always taken. Those of a stretch of a few lines come in random order, and
/// stretches one after the other: which jump is next only a predictor can know, and its line is near.
#[derive(Debug)]
pub struct TakenBranchRing {
    code: routines::Chain,
    jumps: u64,
    right: bool,
}

impl TakenBranchRing {
    /// The smallest distance of two jumps, in bytes.
    pub const LEAST_SPACING: usize = routines::Chain::LEAST_SPACING;

    /// So many jumps, `spacing` bytes apart.
    ///
    /// # Errors
    /// If there is no memory, or where nothing that was written may be executed.
    ///
    /// # Panics
    /// If two jumps do not fit side by side, or only one into a stretch.
    pub fn new(
        jumps: usize,
        spacing: usize,
        rng: &mut fastrand::Rng,
    ) -> io::Result<TakenBranchRing> {
        let allowed = TakenBranchRing::LEAST_SPACING..=STRETCH / 2;
        assert!(allowed.contains(&spacing), "jumps {spacing} bytes apart");
        let code = routines::Chain::new(&by_stretches(jumps, STRETCH / spacing, rng), spacing)?;
        Ok(TakenBranchRing { code, jumps: jumps as u64, right: true })
    }

    /// Jumps so often, rounded to whole laps.
    pub fn run(&mut self, ops: u64) {
        let laps = whole_blocks(ops, self.jumps).get();
        self.right &= self.code.run(laps) == laps;
    }

    /// Whether every lap was counted.
    pub fn is_right(&self) -> bool {
        self.right
    }
}

/// Bytes of a stretch of [`TakenBranchRing`]: eight lines.
const STRETCH: usize = 512;

/// Branches whose outcomes are random and come again after so many: what a predictor can learn by
/// heart.
#[derive(Debug)]
pub struct Pattern {
    code: routines::Rows,
    outcomes: Vec<u8>,
    branches: usize,
    row: usize,
    right: bool,
    /// Branches that are not taken in the rows before each row.
    before: Vec<u64>,
}

impl Pattern {
    /// So many branches, each with `length` outcomes of its own.
    ///
    /// # Errors
    /// If there is no memory, or where nothing that was written may be executed.
    pub fn new(branches: usize, length: usize, rng: &mut fastrand::Rng) -> io::Result<Pattern> {
        let code = routines::Rows::new(branches)?;
        let outcomes: Vec<u8> = (0..branches * length).map(|_| rng.u8(..=1)).collect();
        let mut before = vec![0];
        for row in outcomes.chunks(branches) {
            let so_far = before[before.len() - 1];
            before.push(so_far + row.iter().map(|&o| u64::from(o)).sum::<u64>());
        }
        Ok(Pattern { code, outcomes, branches, row: 0, right: true, before })
    }

    /// Runs so many branches, rounded to whole rows, from where it was left.
    pub fn run(&mut self, ops: u64) {
        let rows = whole_blocks(ops, self.branches as u64).get();
        let counted = self.code.run(&self.outcomes, self.row, rows);
        let length = self.before.len() as u64 - 1;
        let end = self.row as u64 + rows;
        let total = self.before[self.before.len() - 1];
        let until = (end / length) * total + self.before[(end % length) as usize];
        self.right &= counted == until - self.before[self.row];
        self.row = (end % length) as usize;
    }

    /// Whether every count was right.
    pub fn is_right(&self) -> bool {
        self.right
    }
}

/// Nested calls, each from a place of its own.
#[derive(Debug)]
pub struct Calls {
    code: routines::Calls,
    depth: u64,
    right: bool,
}

impl Calls {
    /// Calls that go so deep.
    ///
    /// # Errors
    /// If there is no memory, or where nothing that was written may be executed.
    pub fn new(depth: usize) -> io::Result<Calls> {
        Ok(Calls { code: routines::Calls::new(depth)?, depth: depth as u64, right: true })
    }

    /// So many calls with their returns, rounded to whole descents.
    pub fn run(&mut self, ops: u64) {
        let times = whole_blocks(ops, self.depth).get();
        self.right &= self.code.run(times) == times;
    }

    /// Whether the deepest function was reached as often as it should.
    pub fn is_right(&self) -> bool {
        self.right
    }
}

/// Branches of [`ScatteredBranches`] for each word of outcomes.
pub const BRANCHES_PER_WORD: u64 = 64;

/// Branches whose both ways lead to other lines at random places of a piece of code: three lines
/// for each branch, its own and those that it goes to.
#[derive(Debug)]
pub struct ScatteredBranches {
    code: routines::Forks,
    words: u64,
}

impl ScatteredBranches {
    /// A branch for each bit of so many words; if `full`, each line is full of other instructions.
    ///
    /// # Errors
    /// If there is no memory, or where nothing that was written may be executed.
    pub fn new(words: u64, full: bool, rng: &mut fastrand::Rng) -> io::Result<ScatteredBranches> {
        let order = shuffled((3 * BRANCHES_PER_WORD * words) as usize, rng);
        Ok(ScatteredBranches { code: routines::Forks::new(&order, full)?, words })
    }

    /// One branch for each bit; counts the clear bits.
    ///
    /// # Panics
    /// If the words are not whole laps through the code.
    pub fn run(&self, words: &[u64]) -> u64 {
        self.code.run(words)
    }

    /// Branches in one lap.
    pub fn lap(&self) -> u64 {
        self.words * BRANCHES_PER_WORD
    }
}

/// Targets of [`indirect`].
pub const TARGETS: u64 = kernel::TARGETS;

/// For each byte an indirect jump, at one place of the code, to the target of that number; returns
/// the sum of the numbers.
///
/// # Panics
/// If there is no such target.
#[inline]
pub fn indirect(targets: &[u8]) -> u64 {
    kernel::indirect(targets)
}

/// In random order within stretches of so many, which follow one another.
fn by_stretches(count: usize, stretch: usize, rng: &mut fastrand::Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.chunks_mut(stretch).for_each(|stretch| rng.shuffle(stretch));
    order
}

fn shuffled(count: usize, rng: &mut fastrand::Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    rng.shuffle(&mut order);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rng() -> fastrand::Rng {
        fastrand::Rng::with_seed(3)
    }

    #[test]
    fn rings_count_their_laps() {
        for (jumps, spacing) in [(1, 8), (100, 16), (9000, 32)] {
            let mut ring = TakenBranchRing::new(jumps, spacing, &mut rng()).unwrap();
            ring.run(3 * jumps as u64);
            ring.run(1);
            assert!(ring.is_right());
        }
    }

    #[test]
    fn jumps_stay_within_their_stretch_in_no_order_there() {
        let order = by_stretches(100, 32, &mut rng());
        assert!(order.iter().enumerate().all(|(at, jump)| at / 32 == jump / 32));
        let next = order.windows(2).filter(|pair| pair[1] == pair[0] + 1).count();
        assert!(next < 20, "{order:?}");
        let all: std::collections::BTreeSet<usize> = order.into_iter().collect();
        assert_eq!(all.len(), 100);
    }

    #[test]
    fn patterns_are_counted_from_row_to_row() {
        for (branches, length) in [(1, 1), (1, 1000), (8, 3), (512, 70)] {
            let mut pattern = Pattern::new(branches, length, &mut rng()).unwrap();
            for ops in [1, 5, 777, 100_000] {
                pattern.run(ops);
                assert!(pattern.is_right(), "{branches} branches, length {length}");
            }
            // What is wrong is found out.
            pattern.before.iter_mut().skip(1).for_each(|n| *n += 1);
            pattern.run(length as u64 * branches as u64);
            assert!(!pattern.is_right());
        }
    }

    #[test]
    fn calls_come_back() {
        for depth in [1, 2, 33, 200] {
            let mut calls = Calls::new(depth).unwrap();
            calls.run(1000);
            assert!(calls.is_right());
        }
    }

    #[test]
    fn scattered_branches_count_clear_bits() {
        let mut rng = rng();
        for (words, full) in [(1, false), (7, true)] {
            let branches = ScatteredBranches::new(words, full, &mut rng).unwrap();
            let words: Vec<u64> = (0..3 * words).map(|_| rng.u64(..)).collect();
            let clear: u64 = words.iter().map(|w| u64::from(w.count_zeros())).sum();
            assert_eq!(branches.run(&words), clear);
            assert_eq!(branches.run(&[]), 0);
        }
    }

    #[test]
    fn indirect_jumps_reach_their_targets() {
        let mut rng = rng();
        let targets: Vec<u8> = (0..1000).map(|_| rng.u8(..TARGETS as u8)).collect();
        assert_eq!(indirect(&targets), targets.iter().map(|&t| u64::from(t)).sum::<u64>());
        assert_eq!(indirect(&[]), 0);
    }
}
