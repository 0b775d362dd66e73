//! Lines of memory in random order, read by as many loads at a time as one core can keep in flight.

use std::io;

use super::arch::parallel as kernel;
use super::generic::parallel::{LIST, MOST_SLOTS, STEPS};
use super::whole_blocks;
use crate::sys::memory::{Buffer, LINE, Pages};

/// Byte offset of the word of a line that is loaded: not always the first, since a first-level cache
/// that serves several loads a cycle does so from different banks.
fn word_of(line: usize) -> usize {
    // The top three bits of a multiplicative hash.
    line * LINE + ((line as u32).wrapping_mul(0x9E37_79B9) >> 29) as usize * 8
}

/// Numbers of chains that [`Way::Chase`] has kernels for.
pub const CHASES: [usize; 11] = [1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 24];

/// Up to so many chains take one instruction a load.
pub const IN_REGISTERS: usize = kernel::IN_REGISTERS;

/// Distances that [`Way::Prefetch`] has kernels for.
pub const AHEAD: [usize; 4] = [16, 32, 64, 128];

/// Numbers of straight lines that [`Way::Stream`] has kernels for.
pub const STREAMS: [usize; 3] = [1, 2, 4];

/// Lines of each stream in one unrolled block.
const STREAM: usize = 8;

/// How the lines are read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way {
    /// So many chains, in each of which a load's address is the value of the load before it.
    Chase(usize),
    /// The same with so many vectors of addresses.
    Gather(Gather, usize),
    /// From a list of addresses: no load waits for another.
    List,
    /// From the list, each address prefetched so many before it is loaded. What is only prefetched
    /// tells nothing: a CPU may drop a prefetch for which it has no buffer free.
    Prefetch {
        /// How many addresses before.
        ahead: usize,
        /// Into the first level instead of the second.
        near: bool,
    },
    /// In so many straight lines, beyond the ring.
    Stream(usize),
}

/// A gather of 64-bit words that this CPU can run.
#[derive(Clone, Copy, Debug)]
pub struct Gather(kernel::Gather);

impl PartialEq for Gather {
    fn eq(&self, other: &Gather) -> bool {
        self.lanes() == other.lanes()
    }
}

impl Gather {
    /// The widest one, if there is any.
    pub fn detect() -> Option<Gather> {
        kernel::Gather::detect().map(Gather)
    }

    /// Loads in one gather.
    pub fn lanes(self) -> usize {
        self.0.lanes()
    }

    /// Numbers of vectors that there are kernels for.
    pub fn vectors(self) -> &'static [usize] {
        self.0.vectors()
    }
}

impl Way {
    /// Loads that the kernel does in one block.
    pub fn block(self) -> u64 {
        match self {
            Way::Chase(_) | Way::Gather(..) => self.chains() as u64 * STEPS,
            Way::List | Way::Prefetch { .. } => LIST as u64,
            Way::Stream(streams) => (streams * STREAM) as u64,
        }
    }

    /// Chains of dependent loads, 0 where loads are independent.
    fn chains(self) -> usize {
        match self {
            Way::Chase(chains) => chains,
            Way::Gather(gather, vectors) => vectors * gather.lanes(),
            _ => 0,
        }
    }
}

/// A buffer with a ring of lines in random order at its beginning, and lines that tell their own
/// place behind it.
#[derive(Debug)]
pub struct Lines {
    buffer: Buffer,
    /// Byte offsets of the words that are loaded, in the order of the ring, and its beginning once
    /// more for those who look ahead.
    order: Vec<u32>,
    /// Lines in the ring, whole blocks of a list.
    ring: usize,
    /// Where in the order the next loads begin.
    at: usize,
    /// Where behind the ring the next stream begins, in lines.
    beyond: usize,
    /// Lines at the beginning that may hold something else than their own place.
    used: usize,
    last: Option<Done>,
    slots: [u64; MOST_SLOTS],
}

/// Enough for the farthest prefetch.
const SPARE: usize = AHEAD[AHEAD.len() - 1];

/// What was done last, for the check.
#[derive(Clone, Copy, Debug)]
struct Done {
    way: Way,
    /// The last place of a list or stream, or the first of a chain.
    place: usize,
    steps: usize,
    apart: usize,
    sum: u64,
}

impl Lines {
    /// Room for `bytes`; nothing is laid yet but the smallest ring.
    ///
    /// # Errors
    /// If there is no memory, or `bytes` is more than places can be numbered.
    pub fn new(bytes: usize, pages: Pages) -> io::Result<Lines> {
        // Places are 32-bit numbers.
        if u32::try_from(bytes).is_err() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let buffer = Buffer::new(bytes.max(LIST * LINE), pages)?;
        let mut lines = Lines {
            used: buffer.len() / LINE,
            buffer,
            order: Vec::new(),
            ring: 0,
            at: 0,
            beyond: 0,
            last: None,
            slots: [0; MOST_SLOTS],
        };
        lines.lay(0, &mut fastrand::Rng::with_seed(0));
        Ok(lines)
    }

    /// Lays a ring over the first `bytes`, rounded down to whole blocks of a list.
    pub fn lay(&mut self, bytes: usize, rng: &mut fastrand::Rng) {
        let lines = bytes.min(self.buffer.len()) / LINE;
        self.ring = (lines / LIST * LIST).max(LIST);
        (self.at, self.beyond, self.last) = (0, 0, None);
        // Kernels go where the order says, without a look.
        let place = |line| u32::try_from(word_of(line)).expect("a buffer of 32-bit places");
        self.order = (0..self.ring).map(place).collect();
        rng.shuffle(&mut self.order);
        self.order.extend_from_within(..SPARE.min(self.ring));
        while self.order.len() < self.ring + SPARE {
            self.order.push(self.order[self.order.len() - self.ring]);
        }
        let base = self.buffer.base().addr() as u64;
        let words = self.buffer.words_mut();
        for pair in self.order[..=self.ring].windows(2) {
            words[pair[0] as usize / 8] = base + u64::from(pair[1]);
        }
        for at in (self.ring * LINE..self.used * LINE).step_by(LINE) {
            words[at / 8] = at as u64;
        }
        self.used = self.ring;
    }

    /// Lines in the ring.
    pub fn ring(&self) -> u64 {
        self.ring as u64
    }

    /// The memory under it.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// Reads at least `loads` lines, in whole blocks: those that were not read for longest, as far
    /// as the ring is long enough.
    ///
    /// # Panics
    /// If there is no kernel for that number of chains, distance or streams, or if whole blocks of
    /// so many loads cannot be counted.
    #[inline]
    pub fn read(&mut self, way: Way, loads: u64) {
        let block = way.block();
        let blocks = whole_blocks(loads, block).get();
        assert!(blocks.checked_mul(block).is_some(), "{loads} loads in whole blocks are too many");
        // Linux has 64-bit addresses on both architectures.
        let blocks = blocks as usize;
        match way {
            Way::Chase(_) | Way::Gather(..) => self.chase(way, blocks * STEPS as usize),
            Way::List | Way::Prefetch { .. } => self.list(way, blocks * LIST),
            Way::Stream(streams) => self.stream(streams, blocks),
        }
    }

    /// Chains that follow each other's tracks, or are equally far apart where they walk more than
    /// a lap altogether.
    fn chase(&mut self, way: Way, steps: usize) {
        let chains = way.chains();
        let loads = chains * steps;
        let apart = if loads <= self.ring { steps } else { self.ring / chains };
        let base = self.buffer.base().addr() as u64;
        for (i, slot) in self.slots[..chains].iter_mut().enumerate() {
            *slot = base + u64::from(self.order[(self.at + i * apart) % self.ring]);
        }
        match way {
            // SAFETY: each slot is the address of a line of the ring, and each of those holds the
            // address of another; steps come in whole blocks, and not none.
            Way::Gather(gather, vectors) => unsafe {
                gather.0.run(vectors, &mut self.slots, steps as u64);
            },
            // SAFETY: as above.
            _ => unsafe { chase(chains)(&mut self.slots, steps as u64) },
        }
        self.last = Some(Done { way, place: self.at, steps, apart, sum: 0 });
        self.at = (self.at + loads) % self.ring;
    }

    fn list(&mut self, way: Way, mut loads: usize) {
        loop {
            let run = loads.min(self.ring - self.at);
            let list = &self.order[self.at..];
            let base = self.buffer.base().cast_const();
            let (kernel, list) = match way {
                Way::Prefetch { ahead, near } => (prefetch(ahead, near), &list[..run + ahead]),
                _ => (kernel::list as unsafe fn(_, &_) -> _, &list[..run]),
            };
            // SAFETY: every place in the order is that of a line of the buffer; `at` and the ring,
            // and so the run, are whole blocks, and not nothing.
            let sum = unsafe { kernel(base, list) };
            self.last = Some(Done { way, place: self.at + run, steps: run, apart: 0, sum });
            self.at = (self.at + run) % self.ring;
            loads -= run;
            if loads == 0 {
                break;
            }
        }
    }

    fn stream(&mut self, streams: usize, mut blocks: usize) {
        let all = (self.buffer.len() / LINE - self.ring) / (streams * STREAM);
        if all == 0 {
            return;
        }
        while blocks > 0 {
            let per_block = streams * STREAM;
            let left = (self.buffer.len() / LINE - self.ring - self.beyond) / per_block;
            let run = blocks.min(left);
            if run == 0 {
                self.beyond = 0;
                continue;
            }
            let apart = run * STREAM * LINE;
            let first = (self.ring + self.beyond) * LINE;
            let start = self.buffer.base().cast_const().wrapping_add(first);
            let kernel = match streams {
                1 => kernel::stream::<1>,
                2 => kernel::stream::<2>,
                4 => kernel::stream::<4>,
                _ => panic!("no kernel for {streams} streams"),
            };
            // SAFETY: `run` blocks of each stream lie between the ring and the buffer's end.
            let sum = unsafe { kernel(start, apart, run) };
            let place = first + streams * apart;
            self.last = Some(Done { way: Way::Stream(streams), place, steps: run, apart, sum });
            self.beyond += run * per_block;
            blocks -= run;
        }
    }

    /// Whether the loads of the last reading came to where they had to.
    pub fn is_right(&self) -> bool {
        let Some(Done { way, place, steps, apart, sum }) = self.last else { return true };
        let base = self.buffer.base().addr() as u64;
        let line = |at: usize| u64::from(self.order[at % self.ring]);
        match way {
            Way::Chase(_) | Way::Gather(..) => self.slots[..way.chains()]
                .iter()
                .enumerate()
                .all(|(i, &slot)| slot == base + line(place + i * apart + steps)),
            // Each line of the ring holds the address of the next.
            Way::List | Way::Prefetch { .. } => {
                let next = (place - 3..=place).map(|at| base + line(at));
                sum == next.fold(0, u64::wrapping_add)
            }
            Way::Stream(_) => {
                let lines = (place - 4 * LINE..place).step_by(LINE);
                sum == lines.map(|at| at as u64).fold(0, u64::wrapping_add)
            }
        }
    }

    /// Whether the ring still holds the address of each of its lines once.
    pub fn is_whole(&self) -> bool {
        let base = self.buffer.base().addr() as u64;
        let loaded = |line| {
            let word = self.buffer.bytes()[word_of(line)..].first_chunk();
            word.map_or(0, |&word| u64::from_ne_bytes(word))
        };
        let missing = |line| (base + word_of(line) as u64).wrapping_sub(loaded(line));
        (0..self.ring).map(missing).fold(0, u64::wrapping_add) == 0
    }
}

/// The kernel for so many chains.
fn chase(chains: usize) -> unsafe fn(&mut [u64; MOST_SLOTS], u64) {
    match chains {
        1 => kernel::chase::<1>,
        2 => kernel::chase::<2>,
        3 => kernel::chase::<3>,
        4 => kernel::chase::<4>,
        6 => kernel::chase::<6>,
        8 => kernel::chase::<8>,
        10 => kernel::chase::<10>,
        12 => kernel::chase::<12>,
        16 => kernel::chase::<16>,
        20 => kernel::chase::<20>,
        24 => kernel::chase::<24>,
        _ => panic!("no kernel for {chains} chains"),
    }
}

/// The kernel for that distance.
fn prefetch(ahead: usize, near: bool) -> unsafe fn(*const u8, &[u32]) -> u64 {
    match (ahead, near) {
        (16, true) => kernel::prefetch::<16, true>,
        (32, true) => kernel::prefetch::<32, true>,
        (64, true) => kernel::prefetch::<64, true>,
        (128, true) => kernel::prefetch::<128, true>,
        (16, false) => kernel::prefetch::<16, false>,
        (32, false) => kernel::prefetch::<32, false>,
        (64, false) => kernel::prefetch::<64, false>,
        (128, false) => kernel::prefetch::<128, false>,
        _ => panic!("no kernel prefetches {ahead} loads ahead"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ways() -> Vec<Way> {
        let gathers = Gather::detect()
            .into_iter()
            .flat_map(|gather| gather.vectors().iter().map(move |&n| Way::Gather(gather, n)));
        let both = |ahead| [true, false].map(|near| Way::Prefetch { ahead, near });
        CHASES
            .map(Way::Chase)
            .into_iter()
            .chain(gathers)
            .chain([Way::List])
            .chain(AHEAD.into_iter().flat_map(both))
            .chain(STREAMS.map(Way::Stream))
            .collect()
    }

    fn lines(ring: usize) -> Lines {
        let mut lines = Lines::new(1 << 20, Pages::Small).unwrap();
        lines.lay(ring, &mut fastrand::Rng::with_seed(5));
        lines
    }

    #[test]
    fn the_ring_visits_every_line_once() {
        for ring in [0, 1024, 24 << 10, 100_000, 1 << 20] {
            let lines = lines(ring);
            assert!(lines.is_whole());
            assert_eq!(lines.ring(), (ring as u64 / 1024 * 16).max(16));
            let mut seen = lines.order[..lines.ring].to_vec();
            seen.sort_unstable();
            assert!(seen.iter().enumerate().all(|(i, &at)| at as usize / LINE == i && at % 8 == 0));
        }
    }

    #[test]
    fn every_way_ends_where_it_must() {
        for ring in [1024, 24 << 10, 512 << 10] {
            let mut lines = lines(ring);
            for way in ways() {
                for loads in [1, 1000, 20_000] {
                    lines.read(way, loads);
                    assert!(lines.is_right(), "{way:?} {loads} of {ring}");
                }
            }
            assert!(lines.is_whole());
        }
    }

    #[test]
    fn streams_are_right_behind_a_ring_that_was_longer() {
        let mut lines = lines(1 << 20);
        lines.lay(1024, &mut fastrand::Rng::with_seed(6));
        for loads in 1..100 {
            lines.read(Way::Stream(1), loads * 8);
            assert!(lines.is_right(), "{loads}");
        }
    }

    #[test]
    fn no_way_reads_more_than_can_be_counted() {
        for way in ways() {
            let read = || lines(1024).read(way, u64::MAX);
            let said = std::panic::catch_unwind(read).unwrap_err();
            assert!(said.downcast::<String>().unwrap().contains("too many"), "{way:?}");
        }
    }

    #[test]
    fn every_way_notices_a_wrong_answer() {
        let mut lines = lines(512 << 10);
        for way in ways() {
            lines.read(way, 4096);
            lines.slots[way.chains().saturating_sub(1)] ^= 64;
            lines.last = lines.last.map(|done| Done { sum: done.sum ^ 64, ..done });
            assert!(!lines.is_right(), "{way:?}");
        }
    }

    #[test]
    fn a_lost_line_is_noticed() {
        let mut lines = lines(512 << 10);
        let (from, to) = (lines.order[3] as usize / 8, lines.order[9] as usize / 8);
        let words = lines.buffer.words_mut();
        words[from] = words[to];
        assert!(!lines.is_whole());
    }

    #[test]
    fn every_bank_has_its_share() {
        let mut words = [0; 8];
        (0..384).for_each(|line| words[word_of(line) % LINE / 8] += 1);
        assert!(words.iter().all(|&n| (44..=52).contains(&n)), "{words:?}");
    }

    #[test]
    fn loads_go_on_where_the_last_ones_ended() {
        let mut lines = lines(1 << 20);
        lines.read(Way::Chase(4), 640);
        assert_eq!(lines.at, 640);
        lines.read(Way::List, 160);
        assert_eq!(lines.at, 800);
        lines.read(Way::Chase(24), 1);
        assert_eq!(lines.at, 800 + 24 * 16);
        lines.read(Way::List, lines.ring());
        assert_eq!(lines.at, 800 + 24 * 16, "a lap ends where it began");
    }
}
