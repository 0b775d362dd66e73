//! Blocks of 64 bytes and 4 KiB: from the heap, a pool, the stack.
//!
//! One of 64 live blocks is replaced at a time and its first byte written, the rest is left as it
//! is. With a single block that comes and goes, an allocator hands out the one it has just got back.
//! Where the blocks lie decides as well (a pool takes 1.93 or 2.17 ns on Zen 4, in half of all
//! processes each): each sample draws one of several rings, which lie pages apart.

use std::cell::RefCell;
use std::hint::black_box;
use std::mem::MaybeUninit;

use super::{HOW, interleave, plan, times, way};
use crate::harness::bench::Bench;
use crate::kernel::begin_line;
use crate::sys::memory::Pages;
use card::declare::{Declare, NoiseClass};

pub(super) fn declare(d: &mut Declare) {
    let alloc = times(d, "alloc");
    let ways = [
        ("idioms.alloc_64b", "heap_64", "heap allocation and free, 64 B"),
        ("idioms.alloc_pooled", "pool_64", "pool allocation and free, 64 B"),
        ("idioms.alloc_stack", "stack_64", "stack allocation, 64 B"),
        (
            "idioms.alloc_4k",
            "heap_4k",
            "heap allocation and free, 4 KiB (beyond the allocator's caches)",
        ),
        ("idioms.alloc_4k_pooled", "pool_4k", "pool allocation and free, 4 KiB"),
    ];
    for (stem, how, summary) in ways {
        d.cost(stem, NoiseClass::T2, alloc.with(HOW, how), summary);
    }
}

/// Blocks alive at a time.
const LIVE: u64 = 64;

/// A block of which only the first byte is used.
struct Block<const REST: usize> {
    first: u8,
    _rest: [MaybeUninit<u8>; REST],
}

impl<const REST: usize> Block<REST> {
    fn new(first: u64) -> Block<REST> {
        Block { first: first as u8, _rest: [const { MaybeUninit::uninit() }; REST] }
    }
}

/// Live blocks, each replaced in its turn.
struct Ring<const REST: usize> {
    live: Vec<Box<Block<REST>>>,
    pool: Vec<Box<Block<REST>>>,
    /// Blocks made so far; the first byte of each is its number.
    made: u64,
    /// Of the first bytes of those replaced.
    sum: u64,
}

impl<const REST: usize> Ring<REST> {
    fn new() -> Ring<REST> {
        let live = (0..LIVE).map(|number| Box::new(Block::new(number))).collect();
        let pool = vec![Box::new(Block::new(0))];
        Ring { live, pool, made: LIVE, sum: 0 }
    }

    #[inline(never)]
    fn use_heap(&mut self, ops: u64) {
        begin_line();
        for _ in 0..ops {
            let new = black_box(Box::new(Block::new(self.made)));
            let old = std::mem::replace(&mut self.live[(self.made % LIVE) as usize], new);
            self.sum += u64::from(old.first);
            self.made += 1;
        }
    }

    #[inline(never)]
    fn use_pool(&mut self, ops: u64) {
        begin_line();
        for _ in 0..ops {
            let made = self.made;
            let mut new = self.pool.pop().unwrap_or_else(|| Box::new(Block::new(0)));
            new.first = made as u8;
            let old = std::mem::replace(&mut self.live[(made % LIVE) as usize], black_box(new));
            self.sum += u64::from(old.first);
            self.pool.push(old);
            self.made += 1;
        }
    }

    fn is_right(&self) -> bool {
        self.sum == sum_of_bytes(self.made - LIVE)
    }
}

/// Rings at several places, one of which is in use.
struct Places<const REST: usize> {
    rings: Vec<Ring<REST>>,
    at: usize,
    /// What lies between them. It stays in use: an allocator that can carve blocks out of holes of many
    /// sizes does so, which took 40 to 140 ns a block instead of 40.
    _gaps: Vec<Vec<u8>>,
}

/// Rings to draw from: a round takes three samples or more of each way.
const PLACES: usize = 8;

/// Most pages between two rings: more than the bits of an address by which caches and predictors tell
/// what they hold.
const MOST_PAGES_BETWEEN: usize = 64;

impl<const REST: usize> Places<REST> {
    fn new(rng: &mut fastrand::Rng) -> Places<REST> {
        let mut gaps = Vec::new();
        let ring = |_| {
            gaps.push(Vec::<u8>::with_capacity(
                rng.usize(1..MOST_PAGES_BETWEEN) * Pages::Small.bytes(),
            ));
            Ring::new()
        };
        let rings = (0..PLACES).map(ring).collect();
        Places { rings, at: 0, _gaps: gaps }
    }

    fn ring(&mut self) -> &mut Ring<REST> {
        &mut self.rings[self.at]
    }

    fn move_on(&mut self, rng: &mut fastrand::Rng) {
        self.at = rng.usize(..self.rings.len());
    }

    fn are_right(&self) -> bool {
        self.rings.iter().all(Ring::is_right)
    }
}

#[inline(never)]
fn on_stack(first: u64, ops: u64) -> u64 {
    begin_line();
    (first..first + ops).fold(0, |sum, number| {
        let mut block = Block::<63>::new(number);
        black_box(&mut block);
        sum + u64::from(block.first)
    })
}

/// Sum of the lowest bytes of 0, 1, … below `count`.
fn sum_of_bytes(count: u64) -> u64 {
    let (whole, rest) = (count / 256, count % 256);
    whole * (255 * 256 / 2) + rest * rest.saturating_sub(1) / 2
}

/// Of the round.
const SHARE: f64 = 0.1;

pub(super) fn measure(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    // The allocator takes shortcuts in programs that never had a second thread. Where none can be
    // started, this is such a program.
    let _ = std::thread::Builder::new().stack_size(64 << 10).spawn(|| ()).map(|t| t.join());
    let rng = RefCell::new(bench.rng.fork());
    let places = RefCell::new(Places::<63>::new(&mut rng.borrow_mut()));
    let places_4k = RefCell::new(Places::<4095>::new(&mut rng.borrow_mut()));
    let move_on = |_| {
        places.borrow_mut().move_on(&mut rng.borrow_mut());
        places_4k.borrow_mut().move_on(&mut rng.borrow_mut());
    };
    let mut stack = (0, 0);
    let arms = vec![
        way("alloc", "heap_64", |ops| places.borrow_mut().ring().use_heap(ops)).prepared(move_on),
        way("alloc", "pool_64", |ops| places.borrow_mut().ring().use_pool(ops)).prepared(move_on),
        way("alloc", "stack_64", |ops| {
            stack.1 += on_stack(stack.0, ops);
            stack.0 += ops;
        }),
        way("alloc", "heap_4k", |ops| places_4k.borrow_mut().ring().use_heap(ops))
            .prepared(move_on),
        way("alloc", "pool_4k", |ops| places_4k.borrow_mut().ring().use_pool(ops))
            .prepared(move_on),
    ];
    let plan = plan(bench, SHARE);
    interleave(bench, arms, plan)?;
    let right = places.borrow().are_right()
        && places_4k.borrow().are_right()
        && stack.1 == sum_of_bytes(stack.0);
    bench.check(right, || "allocated blocks lost what was written to them".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_keeps_its_number() {
        let mut ring = Ring::<63>::new();
        ring.use_heap(1000);
        ring.use_pool(1000);
        assert!(ring.is_right() && ring.made == 2000 + LIVE);
        assert_eq!((ring.live.len(), ring.pool.len()), (LIVE as usize, 1));
        ring.live[3].first ^= 1;
        ring.use_pool(LIVE);
        assert!(!ring.is_right());
        assert_eq!(on_stack(5, 700), sum_of_bytes(705) - sum_of_bytes(5));
    }

    #[test]
    fn rings_lie_pages_apart_and_each_is_checked() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut places = Places::<63>::new(&mut rng);
        let pages: std::collections::BTreeSet<usize> = places
            .rings
            .iter()
            .map(|r| (&raw const *r.live[0]).addr() / Pages::Small.bytes())
            .collect();
        assert_eq!(pages.len(), PLACES);
        let mut used = std::collections::BTreeSet::new();
        for _ in 0..100 {
            places.move_on(&mut rng);
            places.ring().use_pool(10);
            used.insert(places.at);
        }
        assert!(used.len() == PLACES && places.are_right());
        places.rings[PLACES - 1].sum ^= 1;
        assert!(!places.are_right());
    }

    #[test]
    fn blocks_have_their_sizes() {
        assert_eq!((size_of::<Block<63>>(), size_of::<Block<4095>>()), (64, 4096));
        let slow = |count: u64| (0..count).map(|n| u64::from(n as u8)).sum::<u64>();
        for count in [0, 1, 255, 256, 257, 10_000] {
            assert_eq!(sum_of_bytes(count), slow(count));
        }
    }
}
