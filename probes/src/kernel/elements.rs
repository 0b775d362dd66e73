//! Arithmetic on arrays of numbers, and a search among bytes, as programs do them.
//!
//! All numbers are small whole ones, so that every sum and product is exact and does not depend on
//! the order: each width must leave bit for bit what scalar arithmetic leaves. They repeat with a
//! prime period, by which the sum over any stretch is known without reading it.

use std::io;

use super::arch;
use super::bandwidth::{ARRAY_GAP_BYTES, BLOCK, Lanes, ahead, visits};
use super::generic::bandwidth::Walk;
use crate::sys::memory::{Buffer, Pages};

/// Numbers in a block.
const NUMBERS: usize = BLOCK / 4;

/// After so many numbers the contents repeat.
const PERIOD: usize = 4093;

/// The byte that is looked for and is in no number.
const NEEDLE: u8 = 0xEE;

/// The factor of saxpy.
const FACTOR: f32 = 2.0;

/// Places of the result that are remembered before a run and looked at after it.
const PROBED: usize = 16;

/// What is done with the arrays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// The sum of an array of f32.
    Sum,
    /// The sum of the products of two.
    Dot,
    /// y = y + a·x.
    Saxpy,
    /// The search for a byte, as memchr does it.
    Search,
}

impl Kernel {
    /// All of them; those that leave the arrays as they are come first.
    pub const ALL: [Kernel; 4] = [Kernel::Sum, Kernel::Search, Kernel::Dot, Kernel::Saxpy];

    /// The name in parameters and ids.
    pub fn name(self) -> &'static str {
        match self {
            Kernel::Sum => "sum",
            Kernel::Dot => "dot",
            Kernel::Saxpy => "saxpy",
            Kernel::Search => "bytesearch",
        }
    }

    /// Arrays that it goes through.
    pub fn arrays(self) -> usize {
        if matches!(self, Kernel::Dot | Kernel::Saxpy) { 2 } else { 1 }
    }

    /// Bytes that are loaded and stored for an element.
    pub fn bytes(self) -> usize {
        match self {
            Kernel::Sum => 4,
            Kernel::Dot => 8,
            // Both are loaded, and one comes back.
            Kernel::Saxpy => 12,
            Kernel::Search => 1,
        }
    }

    /// Bytes of an element in each array.
    pub fn element(self) -> usize {
        if self == Kernel::Search { 1 } else { 4 }
    }
}

/// A variant of the loops that this CPU can run, proven by holding it.
#[derive(Clone, Copy, Debug)]
pub struct Variant(arch::elements::Way);

impl Variant {
    /// Those of this CPU: naive, scalar, then wider and wider.
    pub fn detect() -> Vec<Variant> {
        arch::elements::Way::detect().into_iter().map(Variant).collect()
    }

    /// The name in parameters and ids.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// Whether there is such a loop.
    pub fn can(self, kernel: Kernel) -> bool {
        self.0.stream(kernel).is_some()
    }
}

/// The number at a place: whole, from −4 to 4.
fn number(place: usize) -> i64 {
    let mixed = ((place % PERIOD) as u32).wrapping_mul(0x9E37_79B9) >> 16;
    i64::from(mixed % 9) - 4
}

/// Sums over the contents, or over the products with those so many places further, up to each
/// place of a period.
fn sums(further: Option<usize>) -> Vec<i64> {
    let product = |i| number(i) * further.map_or(1, |further| number(i + further));
    let mut sum = 0;
    let step = |i| {
        sum += product(i);
        sum
    };
    std::iter::once(0).chain((0..PERIOD).map(step)).collect()
}

/// The sum over `count` places from `first`, by the sums up to each place of a period.
fn stretch(sums: &[i64], first: usize, count: usize) -> i64 {
    let to = |place: usize| (place / PERIOD) as i64 * sums[PERIOD] + sums[place % PERIOD];
    to(first + count) - to(first)
}

/// What the runs since the last preparation did.
#[derive(Debug)]
struct Done {
    from: usize,
    last: (usize, u64),
    blocks: u64,
    variant: Option<Variant>,
    probes: Vec<(usize, f32)>,
}

/// One thread's memory with the arrays of one kernel at a time.
#[derive(Debug)]
pub struct Arrays {
    buffer: Buffer,
    kernel: Kernel,
    /// Bytes of each array, and where the second one begins.
    len: usize,
    second: usize,
    /// Where the next run begins.
    at: usize,
    /// Up to here every number is what it should be.
    clean: usize,
    sums: Vec<i64>,
    lanes: Lanes,
    /// Of the last prepared run of y + a·x.
    factor: f32,
    done: Option<Done>,
    rng: fastrand::Rng,
}

impl Arrays {
    /// Room for working sets of up to `bytes`, first touched by this thread.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn new(bytes: usize, pages: Pages, seed: u64) -> io::Result<Arrays> {
        let buffer = Buffer::new(bytes + 2 * 4096 + ARRAY_GAP_BYTES, pages)?;
        let (kernel, rng) = (Kernel::Sum, fastrand::Rng::with_seed(seed));
        let (lanes, done) = (Lanes([0; _]), None);
        let sums = Vec::new();
        let (len, second, at, clean) = (BLOCK, 0, 0, 0);
        let factor = -FACTOR;
        let mut arrays =
            Arrays { buffer, kernel, len, second, at, clean, sums, lanes, factor, done, rng };
        arrays.lay(kernel, BLOCK);
        Ok(arrays)
    }

    /// The memory.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// Lays the arrays of a kernel over `working_set` bytes and returns how many they really are.
    pub fn lay(&mut self, kernel: Kernel, working_set: usize) -> usize {
        let arrays = kernel.arrays();
        let room = self.buffer.len() - 4096 - ARRAY_GAP_BYTES;
        self.len = (working_set.min(room) / arrays / BLOCK).max(1) * BLOCK;
        self.second =
            if arrays == 2 { self.len.next_multiple_of(4096) + ARRAY_GAP_BYTES } else { 0 };
        self.fill(self.second + self.len);
        if kernel == Kernel::Saxpy {
            self.clean = self.second;
        }
        self.sums = sums((kernel == Kernel::Dot).then_some(self.second / 4));
        (self.kernel, self.at, self.done) = (kernel, 0, None);
        self.factor = -FACTOR;
        arrays * self.len
    }

    /// Makes the first `to` bytes what they should be.
    fn fill(&mut self, to: usize) {
        if self.clean >= to {
            return;
        }
        let period: Vec<u8> = (0..PERIOD).flat_map(|i| (number(i) as f32).to_ne_bytes()).collect();
        let bytes = &mut self.buffer.bytes_mut()[..to];
        let chunks = bytes.chunks_mut(period.len()).skip(self.clean / period.len());
        chunks.for_each(|chunk| chunk.copy_from_slice(&period[..chunk.len()]));
        self.clean = to;
    }

    /// Elements in a lap through the arrays.
    pub fn lap(&self) -> u64 {
        (self.len / self.kernel.element()) as u64
    }

    /// Elements in the smallest run.
    pub fn block(&self) -> u64 {
        (BLOCK / self.kernel.element()) as u64
    }

    /// Gets ready for runs of at least so many elements, outside the timed region.
    pub fn prepare(&mut self, elements: u64) {
        let needle = u64::from_ne_bytes([NEEDLE; 8]);
        // What is added in one run is taken away in the next: the numbers stay small enough to be
        // exact, however long this goes on.
        self.factor = -self.factor;
        let factor = u64::from(self.factor.to_bits());
        self.lanes.0.fill(match self.kernel {
            Kernel::Search => needle,
            Kernel::Saxpy => factor << 32 | factor,
            _ => 0,
        });
        let mut probes = Vec::new();
        if self.kernel == Kernel::Saxpy {
            let blocks = (elements / self.block()).clamp(1, (self.len / BLOCK) as u64);
            for _ in 0..PROBED {
                let ahead = self.rng.u64(..blocks * NUMBERS as u64) as usize * 4;
                let offset = (self.at + ahead) % self.len;
                probes.push((offset, self.result(offset)));
            }
        }
        let last = (self.at, 0);
        self.done = Some(Done { from: self.at, last, blocks: 0, variant: None, probes });
    }

    /// A number of the second array.
    fn result(&self, offset: usize) -> f32 {
        let at = self.second + offset;
        f32::from_ne_bytes(std::array::from_fn(|i| self.buffer.bytes()[at + i]))
    }

    /// Goes over so many elements from where the last run ended, lap after lap.
    #[inline]
    pub fn run(&mut self, variant: Variant, elements: u64) {
        let blocks = (elements / self.block()).max(1);
        if let Some(done) = &mut self.done {
            done.last = (self.at, blocks);
            done.blocks += blocks;
            done.variant = Some(variant);
        }
        self.go(variant, blocks);
    }

    fn go(&mut self, variant: Variant, blocks: u64) {
        let Some(stream) = variant.0.stream(self.kernel) else { return };
        let base = self.buffer.base();
        let walk = Walk {
            at: base.wrapping_add(self.at),
            base,
            end: base.wrapping_add(self.len),
            blocks,
            second: self.second.cast_signed(),
            third: 0,
        };
        // SAFETY: the variant was detected (its token); `lay` put both arrays into the buffer, which
        // is ours alone, at multiples of 64 and with a length of whole blocks; `at` is a multiple
        // of the block below that length.
        let stopped = unsafe { stream(&walk, &mut self.lanes) };
        self.at = stopped.addr() - base.addr();
    }

    /// Whether the runs since the last preparation did what they should; if not, what is wrong.
    ///
    /// # Errors
    /// What is wrong: of which kernel and variant, what there is and what there should be.
    pub fn check(&mut self) -> Result<(), String> {
        let Some(done) = self.done.take() else { return Ok(()) };
        let Some(variant) = done.variant else { return Ok(()) };
        let (kernel, len) = (self.kernel, self.len);
        let verdict = |what: &str, is: f64, should: f64| {
            let (kernel, variant) = (kernel.name(), variant.name());
            let wrong = || format!("{kernel} {variant}: {what} is {is} and should be {should}");
            (is == should).then_some(()).ok_or_else(wrong)
        };
        verdict("the end", self.at as f64, ahead(done.from, len, done.blocks) as f64)?;
        match kernel {
            Kernel::Sum | Kernel::Dot => {
                let numbers = self.lanes.0.iter().flat_map(|word| {
                    [*word as u32, (*word >> 32) as u32].map(|bits| f64::from(f32::from_bits(bits)))
                });
                let sum: f64 = numbers.take(variant.0.accumulators()).sum();
                verdict("the sum", sum, self.sum(done.last.0, done.last.1) as f64)
            }
            Kernel::Saxpy => done.probes.iter().try_for_each(|&(offset, before)| {
                let times = visits(done.from, len, done.blocks, offset);
                let added = self.factor * number(offset / 4) as f32 * times as f32;
                let what = format!("the number at {offset} of {len} bytes");
                verdict(&what, f64::from(self.result(offset)), f64::from(before + added))
            }),
            Kernel::Search => {
                let found = |lanes: &Lanes| lanes.0[0] as f64;
                verdict("what is not there but found", found(&self.lanes), 0.0)?;
                self.look_for_planted(done.last, variant)
            }
        }
    }

    /// Plants the byte somewhere in what was searched last, and searches there again.
    fn look_for_planted(
        &mut self,
        (from, blocks): (usize, u64),
        variant: Variant,
    ) -> Result<(), String> {
        let (at, len) = (self.at, self.len);
        // A few blocks are enough to see a byte that is overlooked.
        let blocks = blocks.min(64).min((len / BLOCK) as u64);
        let place = (from + self.rng.usize(..blocks as usize * BLOCK)) % len;
        let before = std::mem::replace(&mut self.buffer.bytes_mut()[place], NEEDLE);
        self.prepare(0);
        (self.at, self.done) = (from, None);
        self.go(variant, blocks);
        let (found, stopped) = (self.lanes.0[0] == 1, self.at);
        self.buffer.bytes_mut()[place] = before;
        self.at = at;
        let right = found && stopped == place / BLOCK * BLOCK;
        right.then_some(()).ok_or_else(|| {
            format!(
                "bytesearch {}: the byte planted at {place} of {len} was not found in its block \
                 (stopped at {stopped}, found: {found})",
                variant.name()
            )
        })
    }

    /// The sum over `blocks` from `from`, lap after lap.
    fn sum(&self, from: usize, blocks: u64) -> i64 {
        let part = |from: usize, bytes: usize| stretch(&self.sums, from / 4, bytes / 4);
        let bytes = blocks as usize * BLOCK;
        let head = bytes.min(self.len - from);
        let (laps, tail) = ((bytes - head) / self.len, (bytes - head) % self.len);
        part(from, head) + part(0, self.len) * laps as i64 + part(0, tail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrays() -> Arrays {
        Arrays::new(1 << 20, Pages::Small, 1).unwrap()
    }

    fn variants(kernel: Kernel) -> impl Iterator<Item = Variant> {
        Variant::detect().into_iter().filter(move |variant| variant.can(kernel))
    }

    #[test]
    fn every_variant_does_what_scalar_arithmetic_does() {
        let mut arrays = arrays();
        let mut rng = fastrand::Rng::with_seed(2);
        for kernel in Kernel::ALL {
            for set in [1, 3 * BLOCK, 24 << 10, 300_000] {
                arrays.lay(kernel, set);
                for variant in variants(kernel) {
                    for _ in 0..20 {
                        let elements = rng.u64(1..30) * arrays.block();
                        arrays.prepare(elements);
                        arrays.run(variant, elements);
                        arrays.check().unwrap();
                    }
                    let laps = 40 * arrays.lap();
                    arrays.prepare(laps);
                    arrays.run(variant, laps);
                    arrays.check().unwrap();
                }
            }
        }
    }

    #[test]
    fn sums_stay_exact_however_long_it_goes_on() {
        let mut arrays = arrays();
        arrays.lay(Kernel::Saxpy, 2 * BLOCK);
        let variant = variants(Kernel::Saxpy).last().unwrap();
        let laps = (1 << 20) * arrays.lap();
        // Twice as far as numbers of 24 bits are exact, if all of it were added.
        for _ in 0..4 {
            arrays.prepare(laps);
            arrays.run(variant, laps);
            arrays.check().unwrap();
        }
    }

    /// Against loops that know nothing of periods.
    #[test]
    fn sums_are_those_of_plain_loops() {
        let mut arrays = arrays();
        let read = |arrays: &Arrays, at: usize| {
            f32::from_ne_bytes(std::array::from_fn(|i| arrays.buffer.bytes()[at + i]))
        };
        for kernel in [Kernel::Sum, Kernel::Dot] {
            arrays.lay(kernel, 40_000);
            let product = |at: usize| match kernel {
                Kernel::Sum => read(&arrays, at),
                _ => read(&arrays, at) * read(&arrays, arrays.second + at),
            };
            let plain: f32 = (0..arrays.len).step_by(4).map(product).sum();
            assert_eq!(plain as i64, arrays.sum(0, (arrays.len / BLOCK) as u64));
            assert_ne!(plain, 0.0);
        }
    }

    #[test]
    fn every_width_of_saxpy_leaves_the_same_array() {
        let mut arrays = arrays();
        let mut lap = |variant: Variant| {
            arrays.lay(Kernel::Saxpy, 10_000);
            arrays.prepare(arrays.lap());
            arrays.run(variant, 3 * arrays.lap());
            arrays.check().unwrap();
            let (from, len) = (arrays.second, arrays.len);
            arrays.buffer.bytes()[from..from + len].to_vec()
        };
        let scalar = lap(variants(Kernel::Saxpy).next().unwrap());
        for variant in variants(Kernel::Saxpy) {
            assert_eq!(lap(variant), scalar, "{}", variant.name());
        }
        let number_at = |i: usize| f32::from_ne_bytes(scalar[4 * i..][..4].try_into().unwrap());
        for i in 0..scalar.len() / 4 {
            let y = number(arrays.second / 4 + i) + 3 * 2 * number(i);
            assert_eq!(number_at(i), y as f32);
        }
    }

    #[test]
    fn a_wrong_answer_is_seen() {
        let mut arrays = arrays();
        for kernel in Kernel::ALL {
            for variant in variants(kernel) {
                // Said to have run further than it did.
                arrays.lay(kernel, 64 << 10);
                arrays.prepare(arrays.lap());
                arrays.run(variant, arrays.lap());
                arrays.done.as_mut().unwrap().blocks += 1;
                assert!(arrays.check().is_err(), "{} {}", kernel.name(), variant.name());
                // A number changed before, or after for what is stored.
                arrays.lay(kernel, 64 << 10);
                arrays.prepare(arrays.lap());
                match kernel {
                    Kernel::Search => arrays.buffer.bytes_mut()[7777] = NEEDLE,
                    _ => arrays.buffer.bytes_mut()[4096..4100].copy_from_slice(&9f32.to_ne_bytes()),
                }
                arrays.run(variant, arrays.lap());
                if let Some(probe) = arrays.done.as_ref().unwrap().probes.first() {
                    let at = arrays.second + probe.0;
                    arrays.buffer.bytes_mut()[at..at + 4].copy_from_slice(&99f32.to_ne_bytes());
                }
                assert!(arrays.check().is_err(), "{} {}", kernel.name(), variant.name());
                arrays.clean = 0;
            }
        }
    }

    #[test]
    fn a_byte_is_found_wherever_it_is() {
        let mut arrays = arrays();
        arrays.lay(Kernel::Search, 2 * BLOCK);
        for variant in variants(Kernel::Search) {
            for place in 0..2 * BLOCK {
                let before = std::mem::replace(&mut arrays.buffer.bytes_mut()[place], NEEDLE);
                arrays.prepare(0);
                arrays.at = 0;
                arrays.go(variant, 2);
                assert_eq!((arrays.lanes.0[0], arrays.at), (1, place / BLOCK * BLOCK), "{place}");
                arrays.buffer.bytes_mut()[place] = before;
            }
        }
    }

    #[test]
    fn arrays_are_apart_and_never_a_power_of_two() {
        let mut arrays = arrays();
        for set in [1, 24 << 10, 640 << 10, 1 << 20, 1 << 30] {
            arrays.lay(Kernel::Dot, set);
            assert!(arrays.second >= arrays.len && arrays.second.is_multiple_of(64));
            assert!(arrays.second + arrays.len <= arrays.buffer.len());
            assert!(!arrays.second.is_power_of_two());
        }
    }
}
