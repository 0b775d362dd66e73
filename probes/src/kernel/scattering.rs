//! An order of the numbers below any bound that looks random and is computed, not stored: each number
//! tells which one comes after it.

/// A random cycle through all numbers below a bound: a Feistel network. A number is a row and a column;
/// each is moved by what is made of the other, and can be moved back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scattering {
    bound: u64,
    /// Of a column.
    bits: u32,
    rows: u64,
    /// What the factors are of each round, which are odd: of the row, and of the column.
    rounds: [(u64, u64); 2],
}

impl Scattering {
    /// Of the numbers below `bound`, which 32 bits count.
    pub(super) fn new(bound: u64, rng: &mut fastrand::Rng) -> Scattering {
        let bits = (u64::BITS - bound.leading_zeros()) / 2;
        let rounds = [(); 2].map(|()| (rng.u64(..) | 1, rng.u64(..) | 1));
        Scattering { bound, bits, rows: bound.div_ceil(1 << bits), rounds }
    }

    /// The number after this one.
    #[inline]
    pub(super) fn after(&self, number: u64) -> u64 {
        let place = self.place(number) + 1;
        self.number(if place < self.bound { place } else { 0 })
    }

    /// The number at that place of the order. What is moved beyond the bound, into the rest of the last
    /// row, is moved on until it is within.
    #[inline]
    fn number(&self, mut at: u64) -> u64 {
        loop {
            let (mut row, mut column) = self.split(at);
            for (of_row, of_column) in self.rounds {
                row += self.rows_from(column, of_row);
                row -= if row < self.rows { 0 } else { self.rows };
                column ^= self.column_from(row, of_column);
            }
            at = row << self.bits | column;
            if at < self.bound {
                return at;
            }
        }
    }

    /// The place of that number.
    #[inline]
    fn place(&self, mut at: u64) -> u64 {
        loop {
            let (mut row, mut column) = self.split(at);
            for (of_row, of_column) in self.rounds.into_iter().rev() {
                column ^= self.column_from(row, of_column);
                let back = self.rows_from(column, of_row);
                row += if row < back { self.rows } else { 0 };
                row -= back;
            }
            at = row << self.bits | column;
            if at < self.bound {
                return at;
            }
        }
    }

    fn split(&self, at: u64) -> (u64, u64) {
        (at >> self.bits, at & ((1 << self.bits) - 1))
    }

    /// Rows to move by, all equally likely.
    fn rows_from(&self, column: u64, factor: u64) -> u64 {
        (hash(column, factor) * self.rows) >> 32
    }

    /// Bits of a column to change.
    fn column_from(&self, row: u64, factor: u64) -> u64 {
        hash(row, factor) >> (32 - self.bits)
    }
}

/// 32 bits of a number.
fn hash(number: u64, factor: u64) -> u64 {
    (number ^ factor >> 40).wrapping_mul(factor) >> 32 & 0xffff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bound: u64, seed: u64) -> Scattering {
        Scattering::new(bound, &mut fastrand::Rng::with_seed(seed))
    }

    #[test]
    fn all_numbers_come_once() {
        for bound in (1..70).chain([1000, 4096, 65_537, 100_003]) {
            let order = of(bound, bound);
            let mut at = 0;
            for step in 1..=bound {
                at = order.after(at);
                assert_eq!(at == 0, step == bound, "below {bound}, step {step}");
            }
        }
    }

    /// Steps of all lengths, no step again and again, no bit that tells the next one: what a prefetcher
    /// could learn.
    #[test]
    fn nothing_tells_the_next_number() {
        const BOUND: u64 = 8_519_680;
        for seed in 0..8 {
            let order = of(BOUND, seed);
            let walk = std::iter::successors(Some(1), |&at| Some(order.after(at)));
            let walk: Vec<u64> = walk.take(40_000).collect();
            let steps: Vec<i64> = walk.windows(2).map(|w| w[1] as i64 - w[0] as i64).collect();
            let mean = steps.iter().map(|s| s.unsigned_abs() as f64).sum::<f64>() / 40_000.0;
            let of_random = BOUND as f64 / 3.0;
            assert!((mean / of_random - 1.0).abs() < 0.02, "{seed}: {mean} against {of_random}");
            let near = steps.iter().filter(|s| s.unsigned_abs() < 64).count();
            assert!(near < 10, "{seed}: {near} within a page");
            let mut sorted = steps.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert!(steps.len() - sorted.len() < 400, "{seed}: {} steps", sorted.len());
            for bit in 0..22 {
                let flips = walk.windows(2).filter(|w| (w[0] ^ w[1]) >> bit & 1 == 1).count();
                let share = flips as f64 / 40_000.0;
                assert!((share - 0.5).abs() < 0.03, "{seed}: bit {bit} flips in {share}");
            }
        }
    }
}
