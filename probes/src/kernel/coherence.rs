//! Several CPUs at the same lines: words that are written side by side, lines that are taken over,
//! and a word that two hand back and forth.
//!
//! These are plain loads and stores of atomics, and [`Form`]'s read-modify-writes. What a line's way
//! from core to core costs hides whatever the compiler does around it, and none of them may be merged
//! or left out.

use std::sync::atomic::{AtomicU32, Ordering};

use super::atomic::Form;

/// Stores to a word and to another one on a line that nobody else touches, `ops` times each. A
/// second line, or the store buffer would put stores to the same one together and hide what each
/// costs. The last number stored is `ops`.
#[inline]
pub fn store(word: &AtomicU32, private: &AtomicU32, ops: u64) {
    for op in 1..=ops {
        word.store(op as u32, Ordering::Relaxed);
        private.store(op as u32, Ordering::Relaxed);
    }
}

/// Loads a word `ops` times, each load only when the one before it has come back: its place depends
/// on what came. The word must be below 2³¹. Returns what came last.
#[inline]
pub fn load(words: &[AtomicU32], at: usize, ops: u64) -> u32 {
    let mut last = 0;
    for _ in 0..ops {
        last = words[at + (last >> 31) as usize].load(Ordering::Relaxed);
    }
    last
}

/// Loads each of these words; the sum of them.
#[inline]
pub fn load_each(words: &[AtomicU32], at: &[u32]) -> u32 {
    let load = |&at: &u32| words[at as usize].load(Ordering::Relaxed);
    at.iter().map(load).fold(0, u32::wrapping_add)
}

/// Adds one to each of these words, atomically, each only when the one before is done: its place
/// depends on what was found there. Without that the lines are asked for in advance, and twenty of
/// them are under way at a time. The words must be below 2³¹.
#[inline]
pub fn add_in_turn(words: &[AtomicU32], at: &[u32]) {
    let form = Form::usual();
    let mut beyond = 0;
    for &at in at {
        beyond = form.add_one(&words[(at + beyond) as usize]) >> 31;
    }
}

/// How a word is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandOver {
    /// Compare-and-swap until it succeeds.
    Cas,
    /// Load until it is one's turn, then store.
    StoreLoad,
}

impl HandOver {
    /// Both.
    pub const ALL: [HandOver; 2] = [HandOver::Cas, HandOver::StoreLoad];

    /// As in parameters.
    pub const fn name(self) -> &'static str {
        match self {
            HandOver::Cas => "cas",
            HandOver::StoreLoad => "store_load",
        }
    }

    /// One side of the exchange: `times` times, waits until the word is `mine` and makes it `theirs`.
    /// Without a pause while waiting, which takes longer than the line's way. Does not return before
    /// another CPU has done its part.
    #[inline]
    pub fn pass(self, word: &AtomicU32, mine: u32, theirs: u32, times: u64) {
        match self {
            HandOver::Cas => {
                let form = Form::usual();
                for _ in 0..times {
                    while !form.replace(word, mine, theirs) {}
                }
            }
            HandOver::StoreLoad => {
                for _ in 0..times {
                    while word.load(Ordering::Acquire) != mine {}
                    word.store(theirs, Ordering::Release);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(count: usize) -> Vec<AtomicU32> {
        (0..count).map(|_| AtomicU32::new(0)).collect()
    }

    #[test]
    fn stores_end_with_their_number_and_loads_add_up() {
        let words = words(40);
        store(&words[3], &words[20], 1000);
        assert_eq!(words[3].load(Ordering::Relaxed), 1000);
        assert_eq!(words[20].load(Ordering::Relaxed), 1000);
        assert_eq!((load(&words, 5, 1000), load(&words, 3, 10)), (0, 1000));
        add_in_turn(&words, &[2, 39, 39]);
        assert_eq!(load_each(&words, &[1, 2, 39, 0]), 3);
        assert_eq!(words[39].load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_word_goes_back_and_forth() {
        for how in HandOver::ALL {
            let word = AtomicU32::new(0);
            std::thread::scope(|scope| {
                scope.spawn(|| how.pass(&word, 1, 0, 200));
                how.pass(&word, 0, 1, 200);
            });
            assert_eq!(word.into_inner(), 0, "{}", how.name());
        }
    }
}
