//! Loads behind stores: how a value gets from a store to a load, and what a store that only seems
//! to concern a load costs it.

use super::{arch, whole_blocks};
use crate::sys::memory::Buffer;

/// Steps per unrolled block; counts are rounded up to whole blocks.
pub const BLOCK: u64 = 64;

/// Bytes of one unit of [`copy`].
pub const COPY_BLOCK: usize = 64;

/// Widths of the store and of the load behind it, in bytes.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// 8 and 8.
    Eight,
    /// 8 and 8, by only 4 pairs of instructions.
    EightInSmallLoop,
    /// 8 and 8, and a multiplication by 1 on the way to the next store.
    EightAndMultiply,
    /// A load of 4 behind a store of 8.
    FourOfEight,
    /// A load of 8 behind a store of 4.
    EightOfFour,
    /// A load of 8 behind two stores of 4, side by side.
    TwoStores,
    /// 16 and 16, in vector registers.
    Vector16,
    /// 32 and 32.
    Vector32(Wide),
}

/// Proof that 32-byte vectors can be used here.
#[derive(Clone, Copy, Debug)]
pub struct Wide(arch::forward::Wide);

impl Wide {
    /// `None` where the CPU or the kernel does not let them run.
    pub fn detect() -> Option<Wide> {
        arch::forward::Wide::detect().map(Wide)
    }
}

impl Shape {
    /// Bytes that all stores of a step write, and bytes that its load reads.
    fn widths(self) -> (usize, usize) {
        match self {
            Shape::Eight | Shape::EightInSmallLoop | Shape::EightAndMultiply | Shape::TwoStores => {
                (8, 8)
            }
            Shape::FourOfEight => (8, 4),
            Shape::EightOfFour => (4, 8),
            Shape::Vector16 => (16, 16),
            Shape::Vector32(_) => (32, 32),
        }
    }
}

/// A dependent chain of stores and loads: each step stores the value at one offset of a buffer and
/// loads the next value from another one.
#[derive(Debug)]
pub struct StoreLoadChain {
    buffer: Buffer,
    shape: Shape,
    store: usize,
    load: usize,
    value: [u64; 4],
}

impl StoreLoadChain {
    /// A chain over a buffer, whose contents are what loads read that miss the store.
    ///
    /// # Panics
    /// If an access leaves the buffer.
    pub fn new(buffer: Buffer, shape: Shape, store: usize, load: usize) -> StoreLoadChain {
        let mut chain = StoreLoadChain { buffer, shape, store: 0, load: 0, value: [0; 4] };
        chain.place(store, load);
        chain
    }

    /// Moves the accesses.
    ///
    /// # Panics
    /// If one leaves the buffer.
    pub fn place(&mut self, store: usize, load: usize) {
        let (stored, loaded) = self.shape.widths();
        self.buffer.range(store, stored);
        self.buffer.range(load, loaded);
        (self.store, self.load) = (store, load);
    }

    /// Begins anew: with this value, and with fresh contents wherever the accesses go.
    pub fn start(&mut self, value: [u64; 4], rng: &mut fastrand::Rng) {
        self.value = value;
        let (stored, loaded) = self.shape.widths();
        rng.fill(&mut self.buffer.bytes_mut()[self.store..self.store + stored]);
        rng.fill(&mut self.buffer.bytes_mut()[self.load..self.load + loaded]);
    }

    /// Does at least so many steps (whole blocks).
    #[inline]
    pub fn run(&mut self, steps: u64) {
        let blocks = whole_blocks(steps, BLOCK).get();
        let store = self.buffer.base().wrapping_add(self.store);
        let load = self.buffer.base().wrapping_add(self.load).cast_const();
        let value = &mut self.value;
        let first = value[0];
        // SAFETY (for all): `place` checked that both ranges are inside the buffer, which is ours
        // alone.
        match self.shape {
            // SAFETY: as above.
            Shape::Eight => value[0] = unsafe { arch::forward::eight(store, load, first, blocks) },
            Shape::EightInSmallLoop => {
                // SAFETY: as above.
                value[0] =
                    unsafe { arch::forward::eight_in_small_loop(store, load, first, blocks) };
            }
            Shape::EightAndMultiply => {
                // SAFETY: as above.
                value[0] = unsafe { arch::forward::eight_and_multiply(store, load, first, blocks) };
            }
            Shape::FourOfEight => {
                // SAFETY: as above.
                value[0] = unsafe { arch::forward::four_of_eight(store, load, first, blocks) };
            }
            Shape::EightOfFour => {
                // SAFETY: as above.
                value[0] = unsafe { arch::forward::eight_of_four(store, load, first, blocks) };
            }
            Shape::TwoStores => {
                // SAFETY: as above.
                value[0] = unsafe { arch::forward::two_stores(store, load, first, blocks) };
            }
            // SAFETY: as above.
            Shape::Vector16 => unsafe { arch::forward::vector_16((), store, load, value, blocks) },
            Shape::Vector32(Wide(token)) => {
                // SAFETY: as above.
                unsafe { arch::forward::vector_32(token, store, load, value, blocks) };
            }
        }
    }

    /// The value that is stored next.
    pub fn value(&self) -> [u64; 4] {
        self.value
    }

    /// The value after one block of steps and ever after: the same steps, byte by byte. What a
    /// load does not get from the store it reads from memory, and each step hands on less of the
    /// first value, so that it stands still once it has moved by its own width.
    pub fn expected(&self) -> [u64; 4] {
        let mut memory = self.buffer.bytes().to_vec();
        let (stored, loaded) = self.shape.widths();
        let mut value = self.value.map(u64::to_ne_bytes).concat();
        for _ in 0..BLOCK {
            match self.shape {
                Shape::TwoStores => {
                    memory[self.store..self.store + 4].copy_from_slice(&value[..4]);
                    memory[self.store + 4..self.store + 8].copy_from_slice(&value[..4]);
                }
                _ => memory[self.store..self.store + stored].copy_from_slice(&value[..stored]),
            }
            // Loading 4 bytes clears the rest of the register.
            value[..loaded.max(8)].fill(0);
            value[..loaded].copy_from_slice(&memory[self.load..self.load + loaded]);
        }
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(value.as_chunks().0) {
            *word = u64::from_ne_bytes(*bytes);
        }
        words
    }
}

/// A load that follows itself around, with a store in front of it that it does not need: the store
/// writes to the beginning of the buffer, the load reads at an offset.
#[derive(Debug)]
pub struct Bystander {
    buffer: Buffer,
    at: *const u8,
}

impl Bystander {
    /// The load is at that offset.
    ///
    /// # Panics
    /// If it needs the store, or leaves the buffer.
    pub fn new(mut buffer: Buffer, offset: usize) -> Bystander {
        assert!(offset >= 8, "the load at {offset} is not beside the store");
        let at = buffer.range(offset, 8).cast_const();
        buffer.bytes_mut()[offset..offset + 8].copy_from_slice(&at.addr().to_ne_bytes());
        Bystander { buffer, at }
    }

    /// Does at least so many steps (whole blocks); whether the load still finds itself.
    #[inline]
    pub fn run(&mut self, steps: u64) -> bool {
        let store = self.buffer.base();
        let blocks = whole_blocks(steps, BLOCK).get();
        // SAFETY: the 8 bytes at `at` hold `at`, `new` checked that they are inside the buffer and
        // that the store at its beginning does not reach them.
        let end = unsafe { arch::forward::chase_past_store(store, self.at, blocks) };
        end == self.at
    }
}

/// Copies `len` bytes (whole blocks of [`COPY_BLOCK`]) within a buffer, 16 at a time, upwards.
///
/// # Panics
/// If a range leaves the buffer, or both overlap.
pub fn copy(buffer: &mut Buffer, from: usize, to: usize, len: usize) {
    let blocks = (len / COPY_BLOCK).max(1);
    let len = blocks * COPY_BLOCK;
    let (source, target) = (buffer.range(from, len), buffer.range(to, len));
    assert!(from.abs_diff(to) >= len, "{len} bytes at {from} and at {to} overlap");
    // SAFETY: `range` checked that both are inside the buffer, which is borrowed exclusively, and
    // they do not overlap.
    unsafe { arch::forward::copy(source, target, blocks) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::memory::Pages;

    fn shapes() -> Vec<Shape> {
        let mut shapes = vec![
            Shape::Eight,
            Shape::EightInSmallLoop,
            Shape::EightAndMultiply,
            Shape::FourOfEight,
            Shape::EightOfFour,
            Shape::TwoStores,
            Shape::Vector16,
        ];
        shapes.extend(Wide::detect().map(Shape::Vector32));
        shapes
    }

    #[test]
    fn every_chain_ends_as_it_does_byte_by_byte() {
        let mut rng = fastrand::Rng::with_seed(3);
        for shape in shapes() {
            let buffer = Buffer::new(8192, Pages::Small).unwrap();
            let mut chain = StoreLoadChain::new(buffer, shape, 0, 0);
            for (store, load) in [(0, 0), (60, 60), (40, 44), (44, 40), (4092, 4092), (0, 100)] {
                chain.place(store, load);
                chain.start([(); 4].map(|()| rng.u64(..)), &mut rng);
                let expected = chain.expected();
                chain.run(1);
                assert_eq!(chain.value(), expected, "{shape:?} {store} {load}");
                chain.run(1000);
                assert_eq!(chain.value(), expected, "{shape:?} {store} {load}");
            }
        }
    }

    #[test]
    fn a_value_that_is_handed_over_is_the_first_one() {
        let mut rng = fastrand::Rng::with_seed(4);
        let buffer = Buffer::new(4096, Pages::Small).unwrap();
        let mut chain = StoreLoadChain::new(buffer, Shape::Eight, 8, 8);
        chain.start([77, 0, 0, 0], &mut rng);
        chain.run(100);
        assert_eq!(chain.value()[0], 77);
    }

    #[test]
    fn a_bystander_stays_where_it_is() {
        for offset in [8, 4096 - 64, 4096, 4096 + 4] {
            let buffer = Buffer::new(3 * 4096, Pages::Small).unwrap();
            assert!(Bystander::new(buffer, offset).run(1000));
        }
    }

    #[test]
    #[should_panic = "not inside the buffer"]
    fn a_chain_does_not_store_before_the_buffer() {
        let buffer = Buffer::new(4096, Pages::Small).unwrap();
        StoreLoadChain::new(buffer, Shape::Eight, usize::MAX - 7, 0).run(1);
    }

    #[test]
    #[should_panic = "not inside the buffer"]
    fn no_more_is_copied_than_there_can_be() {
        let mut buffer = Buffer::new(4096, Pages::Small).unwrap();
        copy(&mut buffer, 64, 128, usize::MAX - 63);
    }

    #[test]
    #[should_panic = "overlap"]
    fn nothing_is_copied_over_itself() {
        let mut buffer = Buffer::new(4096, Pages::Small).unwrap();
        copy(&mut buffer, 64, 127, 64);
    }

    #[test]
    #[should_panic = "beside the store"]
    fn a_load_that_needs_the_store_is_no_bystander() {
        Bystander::new(Buffer::new(4096, Pages::Small).unwrap(), 4);
    }

    #[test]
    fn a_copy_is_a_copy() {
        let mut buffer = Buffer::new(4 * 4096, Pages::Small).unwrap();
        fastrand::Rng::with_seed(5).fill(&mut buffer.bytes_mut()[..4096]);
        copy(&mut buffer, 0, 8192 + 48, 4096);
        let bytes = buffer.bytes();
        assert_eq!(bytes[..4096], bytes[8240..8240 + 4096]);
        assert!(bytes[4096..8240].iter().chain(&bytes[8240 + 4096..]).all(|&b| b == 0));
    }
}
