//! Streams through memory: reading, writing, copying and their mixtures, at every width.
//!
//! [`StreamBuffers`] are one thread's memory. Sources hold a known word at each place, so that
//! whatever a loop did can be checked without a second copy: the last word it read, the sum of all it
//! read, what it stored at places that were spoilt before.
//!
//! What is stored decides how fast: some processors write lines of zeros past the caches several
//! times as fast as any other content. So no kernel stores a line of zeros, and no source has one,
//! but those kernels that are there to measure just that.

use std::io;

use super::arch::bandwidth::{Movsb, ZeroLine};
use super::generic::bandwidth::{Stream, Walk};
use super::simd::Type;
pub use super::simd::Width;
use crate::sys::memory::{Buffer, Pages};

/// Bytes of each array that a loop takes at least.
pub const BLOCK: usize = 512;

/// 64-bit words in a block.
const WORDS: usize = BLOCK / 8;

/// What is done with the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// Loads, and no arithmetic.
    Read,
    /// Loads, added up in eight registers.
    ReadSum,
    /// Stores.
    Write,
    /// Stores past the caches, and a fence at the end.
    WriteNt,
    /// The same, of nothing but zeros.
    WriteNtZero,
    /// An instruction that clears a line, and a fence at the end.
    ZeroLine,
    /// Loads and stores.
    Copy,
    /// Loads, and stores past the caches.
    CopyNt,
    /// a = b + s·c in 64-bit floating point.
    Triad,
    /// An addition to each word in its place.
    Update,
    /// One `rep movsb`.
    Movsb,
    /// The C library's memcpy.
    Memcpy,
}

impl Kernel {
    /// All of them.
    pub const ALL: [Kernel; 12] = [
        Kernel::Read,
        Kernel::ReadSum,
        Kernel::Write,
        Kernel::WriteNt,
        Kernel::WriteNtZero,
        Kernel::ZeroLine,
        Kernel::Copy,
        Kernel::CopyNt,
        Kernel::Triad,
        Kernel::Update,
        Kernel::Movsb,
        Kernel::Memcpy,
    ];

    /// The name in parameters and ids.
    pub fn name(self) -> &'static str {
        match self {
            Kernel::Read => "read",
            Kernel::ReadSum => "read_sum",
            Kernel::Write => "write",
            Kernel::WriteNt => "write_nt",
            Kernel::WriteNtZero => "write_nt_zero",
            Kernel::ZeroLine => "zero_line",
            Kernel::Copy => "copy",
            Kernel::CopyNt => "copy_nt",
            Kernel::Triad => "triad",
            Kernel::Update => "update",
            Kernel::Movsb => "movsb",
            Kernel::Memcpy => "memcpy",
        }
    }

    /// Arrays that it goes through.
    pub fn arrays(self) -> usize {
        match self {
            Kernel::Read
            | Kernel::ReadSum
            | Kernel::Write
            | Kernel::WriteNt
            | Kernel::WriteNtZero
            | Kernel::ZeroLine
            | Kernel::Update => 1,
            Kernel::Copy | Kernel::CopyNt | Kernel::Movsb | Kernel::Memcpy => 2,
            Kernel::Triad => 3,
        }
    }

    /// Bytes loaded and stored for each byte of an array: an update does both to the same byte.
    pub fn accesses(self) -> usize {
        if self == Kernel::Update { 2 } else { self.arrays() }
    }

    /// Whether this CPU can do it.
    pub fn is_here(self) -> bool {
        match self {
            Kernel::Movsb => Movsb::detect().is_some(),
            Kernel::ZeroLine => ZeroLine::detect().is_some(),
            _ => true,
        }
    }

    /// Whether it stores nothing but zeros.
    pub fn stores_zeros(self) -> bool {
        matches!(self, Kernel::WriteNtZero | Kernel::ZeroLine)
    }

    /// Whether the width of the registers is ours to choose.
    pub fn has_widths(self) -> bool {
        !matches!(self, Kernel::ZeroLine | Kernel::Movsb | Kernel::Memcpy)
    }

    /// Arrays that are read and keep what they hold.
    fn sources(self) -> usize {
        match self {
            Kernel::Read | Kernel::ReadSum => 1,
            _ => self.arrays() - 1,
        }
    }

    fn has_target(self) -> bool {
        !matches!(self, Kernel::Read | Kernel::ReadSum)
    }
}

/// What the registers hold before and after a loop.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Lanes(pub(super) [u64; WORDS]);

/// The factor of the triad. Multiplying by it is exact, so that a fused multiply-add and a
/// multiplication with an addition give the same.
const FACTOR: f64 = 2.0;

/// The word at each place of a source: as a number 1 and a little more, so that no arithmetic meets
/// denormals, and different at every place.
const fn content(word: usize) -> u64 {
    1.0_f64.to_bits() + word as u64
}

/// Sum of the contents of `count` words from `first`.
fn sum_of(first: usize, count: usize) -> u64 {
    let (first, count) = (first as u64, count as u64);
    // Of two successive numbers one is even, and half of it is exact before anything wraps.
    let pairs = if count % 2 == 0 {
        (count / 2).wrapping_mul(count.wrapping_sub(1))
    } else {
        count.wrapping_mul((count - 1) / 2)
    };
    count.wrapping_mul(content(0).wrapping_add(first)).wrapping_add(pairs)
}

/// From the start of one array to the start of the next, beyond whole pages, so that no load meets
/// a store that is still on its way and equal in its lower 12 address bits. Copies here run alike
/// with 704 to 3776 bytes and lose up to half below 128. An odd number of lines, so that arrays are
/// never a power of two apart.
pub(super) const ARRAY_GAP_BYTES: usize = 4096 - 1024 - 64 * 5;

/// Room that the gaps between arrays take at most, each.
const GAP: usize = 8192;

/// Places in the target that are spoilt before a timed run and looked at after it.
const PROBED: usize = 16;

/// The arrays of a kernel in the buffer.
#[derive(Clone, Copy, Debug)]
struct Layout {
    kernel: Kernel,
    /// Bytes of each array.
    len: usize,
    /// Offsets of the arrays: sources first, the target last.
    arrays: [usize; 3],
    /// Where the next run begins, in each array.
    at: usize,
}

impl Layout {
    fn target(&self) -> usize {
        self.arrays[self.kernel.arrays() - 1]
    }
}

/// What the runs since [`StreamBuffers::prepare`] did.
#[derive(Debug)]
struct Done {
    /// Where they began.
    from: usize,
    /// Where the last of them began, and over how many blocks it went.
    last: (usize, u64),
    /// Blocks of all of them.
    blocks: u64,
    /// The width of the last.
    width: Option<Width>,
    /// Offsets in the target, and what was there before.
    probes: Vec<(usize, u64)>,
}

/// One thread's memory with the arrays of one kernel at a time.
#[derive(Debug)]
pub struct StreamBuffers {
    buffer: Buffer,
    /// Up to here every word is `content`.
    clean: usize,
    layout: Layout,
    lanes: Lanes,
    /// Where the CPU has it.
    zero_line: Option<ZeroLine>,
    /// A new one for each preparation, so that a store that did not happen is seen.
    pattern: u64,
    done: Option<Done>,
    rng: fastrand::Rng,
}

impl StreamBuffers {
    /// Memory for working sets of up to `bytes`, first touched by this thread.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn new(bytes: usize, pages: Pages, seed: u64) -> io::Result<StreamBuffers> {
        let buffer = Buffer::new(bytes.max(Kernel::ALL.len() * GAP), pages)?;
        let layout = Layout { kernel: Kernel::Read, len: BLOCK, arrays: [0; 3], at: 0 };
        let rng = fastrand::Rng::with_seed(seed);
        let (lanes, zero_line) = (Lanes([0; WORDS]), ZeroLine::detect());
        let (clean, pattern, done) = (0, 0, None);
        let mut buffers =
            StreamBuffers { buffer, clean, layout, lanes, zero_line, pattern, done, rng };
        buffers.lay(Kernel::Read, BLOCK);
        Ok(buffers)
    }

    /// The memory.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// Lays the arrays of a kernel over `working_set` bytes and returns how many they really are.
    pub fn lay(&mut self, kernel: Kernel, working_set: usize) -> usize {
        let arrays = kernel.arrays();
        let room = self.buffer.len() - (arrays - 1) * GAP;
        let len = (working_set.min(room) / arrays / BLOCK).max(1) * BLOCK;
        // Sources from the bottom, the target at the top: a target spoils no source but in large
        // working sets.
        let mut offsets = [0; 3];
        for i in 1..kernel.sources() {
            offsets[i] = (offsets[i - 1] + len).next_multiple_of(4096) + ARRAY_GAP_BYTES;
        }
        if kernel.has_target() {
            let apart =
                if kernel.sources() > 0 { ARRAY_GAP_BYTES * kernel.sources() % 4096 } else { 0 };
            let top = self.buffer.len() - len - apart;
            offsets[arrays - 1] = top / 4096 * 4096 + apart;
        }
        let top = (0..kernel.sources()).map(|i| offsets[i] + len).max().unwrap_or(0);
        self.fill(top);
        self.layout = Layout { kernel, len, arrays: offsets, at: 0 };
        if kernel.has_target() {
            self.clean = self.clean.min(self.layout.target());
        }
        self.done = None;
        arrays * len
    }

    /// Makes the first `to` bytes sources.
    fn fill(&mut self, to: usize) {
        let (from, to) = (self.clean / 8, to.div_ceil(8));
        let words = self.buffer.words_mut().iter_mut().enumerate();
        words.take(to).skip(from).for_each(|(i, word)| *word = content(i));
        self.clean = self.clean.max(to * 8);
    }

    /// Bytes loaded and stored by a lap through the arrays.
    pub fn lap(&self) -> u64 {
        (self.layout.len * self.layout.kernel.accesses()) as u64
    }

    /// Bytes loaded and stored by the smallest run.
    pub fn block(&self) -> u64 {
        (BLOCK * self.layout.kernel.accesses()) as u64
    }

    /// Gets ready for runs of at least `bytes`, outside the timed region: spoils places that they
    /// must overwrite.
    pub fn prepare(&mut self, bytes: u64) {
        self.pattern = self.pattern.wrapping_add(content(1));
        self.lanes.0.fill(match self.layout.kernel {
            Kernel::Triad => FACTOR.to_bits(),
            Kernel::Update => 1,
            Kernel::WriteNtZero => 0,
            _ => self.pattern,
        });
        let Layout { kernel, len, at, .. } = self.layout;
        let mut probes = Vec::new();
        if kernel.has_target() {
            let words = (bytes / self.block()).clamp(1, (len / BLOCK) as u64) * WORDS as u64;
            for _ in 0..PROBED {
                let offset = (at + self.rng.u64(..words) as usize * 8) % len;
                probes.push((offset, self.target_word(offset)));
            }
            if kernel != Kernel::Update {
                let target = self.layout.target();
                for &(offset, _) in &probes {
                    let spoilt = !self.word_of(offset, 0);
                    self.buffer.words_mut()[(target + offset) / 8] = spoilt;
                }
            }
        }
        self.done = Some(Done { from: at, last: (at, 0), blocks: 0, width: None, probes });
    }

    /// The word that a run leaves at `offset` of the target, which held `before`.
    fn word_of(&self, offset: usize, before: u64) -> u64 {
        let layout = &self.layout;
        let source = |i: usize| content((layout.arrays[i] + offset) / 8);
        match layout.kernel {
            Kernel::Write | Kernel::WriteNt => self.pattern,
            Kernel::WriteNtZero | Kernel::ZeroLine => 0,
            Kernel::Triad => {
                (f64::from_bits(source(0)) + FACTOR * f64::from_bits(source(1))).to_bits()
            }
            Kernel::Update => {
                let done = self.done.as_ref();
                before
                    .wrapping_add(done.map_or(0, |d| visits(d.from, layout.len, d.blocks, offset)))
            }
            _ => source(0),
        }
    }

    fn target_word(&self, offset: usize) -> u64 {
        let at = self.layout.target() + offset;
        let mut word = [0; 8];
        word.copy_from_slice(&self.buffer.bytes()[at..at + 8]);
        u64::from_ne_bytes(word)
    }

    /// Runs the kernel over `bytes` loaded and stored, from where the last run ended, lap after
    /// lap. The width is of no matter to kernels that choose their own.
    #[inline]
    pub fn run(&mut self, width: Width, bytes: u64) {
        let blocks = (bytes / self.block()).max(1);
        if let Some(done) = &mut self.done {
            done.last = (self.layout.at, blocks);
            done.blocks += blocks;
            done.width = Some(width);
        }
        let kernel = self.layout.kernel;
        let stream = match kernel {
            Kernel::ZeroLine => self.zero_line.map(ZeroLine::stream),
            _ => width.0.stream(kernel),
        };
        match stream {
            Some(stream) => self.stream(stream, blocks),
            // Not here, which the check sees.
            None if kernel == Kernel::ZeroLine => {}
            None => self.copy(blocks),
        }
    }

    fn stream(&mut self, stream: Stream, blocks: u64) {
        let layout = &self.layout;
        let base = self.buffer.base().wrapping_add(layout.arrays[0]);
        let apart = |i: usize| layout.arrays[i].wrapping_sub(layout.arrays[0]).cast_signed();
        let walk = Walk {
            at: base.wrapping_add(layout.at),
            base,
            end: base.wrapping_add(layout.len),
            blocks,
            second: apart(1),
            third: apart(2),
        };
        // SAFETY: the width or the instruction was detected (its token); `lay` put every array of the
        // kernel into the buffer, which is ours alone, at multiples of 64 and with a length of whole
        // blocks; `at` is a multiple of the block below that length.
        let stopped = unsafe { stream(&walk, &mut self.lanes) };
        self.layout.at = stopped.addr() - base.addr();
    }

    /// Does nothing, which the check sees, where there is no such instruction.
    fn copy(&mut self, blocks: u64) {
        let by_itself = Movsb::detect();
        let Layout { kernel, len, arrays, .. } = self.layout;
        let mut left = usize::try_from(blocks).unwrap_or(usize::MAX).saturating_mul(BLOCK);
        while left > 0 {
            let at = self.layout.at;
            let now = left.min(len - at);
            let from = self.buffer.base().wrapping_add(arrays[0] + at);
            let to = self.buffer.base().wrapping_add(arrays[1] + at);
            // SAFETY (for both): `lay` put both arrays into the buffer, apart from each other, and
            // at + now does not exceed their length.
            match (kernel, by_itself) {
                // SAFETY: as above.
                (Kernel::Movsb, Some(movsb)) => unsafe { movsb.copy(to, from, now) },
                (Kernel::Movsb, None) => return,
                // SAFETY: as above.
                _ => unsafe {
                    libc::memcpy(to.cast(), from.cast(), now);
                },
            }
            self.layout.at = (at + now) % len;
            left -= now;
        }
    }

    /// Whether the runs since the last preparation did what they should; if not, what is wrong.
    ///
    /// # Errors
    /// What is wrong: of which kernel at which width, what there is and what there should be.
    pub fn check(&mut self) -> Result<(), String> {
        let Some(done) = self.done.as_ref() else { return Ok(()) };
        let Some(width) = done.width else { return Ok(()) };
        let Layout { kernel, len, arrays, at } = self.layout;
        let verdict = |what: &str, is: u64, should: u64| {
            let (kernel, width) = (kernel.name(), width.name());
            let wrong = || format!("{kernel} {width}: {what} is {is:#x} and should be {should:#x}");
            (is == should).then_some(()).ok_or_else(wrong)
        };
        let end = ahead(done.from, len, done.blocks);
        verdict("the end", at as u64, end as u64)?;
        let words = width.lanes(Type::F64);
        if kernel == Kernel::Read {
            let last = content((arrays[0] + (end + len - 8) % len) / 8);
            verdict("the last word", self.lanes.0[words - 1], last)?;
        }
        if kernel == Kernel::ReadSum {
            let lanes = &self.lanes.0[..8 * words];
            let sum = lanes.iter().fold(0_u64, |sum, &lane| sum.wrapping_add(lane));
            verdict("the sum", sum, self.sum(done.last.0, done.last.1))?;
        }
        for &(offset, before) in &done.probes {
            let what = format!("the word at {offset} of {len} bytes");
            verdict(&what, self.target_word(offset), self.word_of(offset, before))?;
        }
        self.done = None;
        Ok(())
    }

    /// Sum over `blocks` of the source from `from`, lap after lap.
    fn sum(&self, from: usize, blocks: u64) -> u64 {
        let len = self.layout.len;
        let first = self.layout.arrays[0] / 8;
        let part = |from: usize, bytes: usize| sum_of(first + from / 8, bytes / 8);
        let bytes = blocks as usize * BLOCK;
        let head = bytes.min(len - from);
        let (laps, tail) = ((bytes - head) / len, (bytes - head) % len);
        part(from, head)
            .wrapping_add(part(0, len).wrapping_mul(laps as u64))
            .wrapping_add(part(0, tail))
    }
}

/// Where one is after so many blocks.
pub(super) fn ahead(at: usize, len: usize, blocks: u64) -> usize {
    let laps = (len / BLOCK) as u64;
    (at + (blocks % laps) as usize * BLOCK) % len
}

/// How often `blocks` from `at` come by the offset.
pub(super) fn visits(at: usize, len: usize, blocks: u64, offset: usize) -> u64 {
    let first = (offset + len - at) % len / BLOCK;
    let lap = (len / BLOCK) as u64;
    blocks.saturating_sub(first as u64).div_ceil(lap)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffers() -> StreamBuffers {
        StreamBuffers::new(1 << 20, Pages::Small, 1).unwrap()
    }

    /// What the target holds after a lap, byte for byte.
    fn lap(buffers: &mut StreamBuffers, kernel: Kernel, width: Width, set: usize) -> Vec<u8> {
        buffers.lay(kernel, set);
        let target = buffers.layout.target();
        let len = buffers.layout.len;
        buffers.buffer.bytes_mut()[target..target + len].fill(0xa5);
        buffers.pattern = 0;
        buffers.prepare(buffers.lap());
        buffers.run(width, buffers.lap());
        buffers.check().unwrap();
        buffers.buffer.bytes()[target..target + len].to_vec()
    }

    fn here() -> impl Iterator<Item = Kernel> {
        Kernel::ALL.into_iter().filter(|k| k.is_here())
    }

    fn writers() -> impl Iterator<Item = Kernel> {
        here().filter(|k| k.has_target())
    }

    #[test]
    fn every_width_leaves_what_the_scalar_loop_leaves() {
        let mut buffers = buffers();
        let scalar = Width::detect()[0];
        for kernel in writers() {
            for set in [BLOCK, 3 * BLOCK, 5 * BLOCK + 1, 24 << 10, 300_000] {
                let twin = lap(&mut buffers, kernel, scalar, set);
                for width in Width::detect() {
                    let name = (kernel.name(), width.name(), set);
                    assert_eq!(lap(&mut buffers, kernel, width, set), twin, "{name:?}");
                }
            }
        }
    }

    #[test]
    fn the_scalar_loop_leaves_what_it_says() {
        let mut buffers = buffers();
        let scalar = Width::detect()[0];
        for kernel in writers() {
            let bytes = lap(&mut buffers, kernel, scalar, 7 * BLOCK);
            for (i, word) in bytes.chunks_exact(8).enumerate() {
                let word = u64::from_ne_bytes(word.try_into().unwrap());
                let source = |n: usize| content(buffers.layout.arrays[n] / 8 + i);
                let number = |n| f64::from_bits(source(n));
                let should = match kernel {
                    Kernel::Write | Kernel::WriteNt => buffers.pattern,
                    Kernel::WriteNtZero | Kernel::ZeroLine => 0,
                    Kernel::Triad => (number(0) + 2.0 * number(1)).to_bits(),
                    Kernel::Update => 0xa5a5_a5a5_a5a5_a5a6,
                    _ => source(0),
                };
                assert_eq!(word, should, "{} {i}", kernel.name());
            }
        }
    }

    #[test]
    fn lines_of_zeros_are_stored_only_where_they_are_the_question() {
        let mut buffers = buffers();
        let is_zero = |line: &[u8]| line.iter().all(|&byte| byte == 0);
        for kernel in writers() {
            for width in Width::detect() {
                let stored = lap(&mut buffers, kernel, width, 300_000);
                let zeros = stored.chunks(64).filter(|line| is_zero(line)).count();
                let wanted = if kernel.stores_zeros() { stored.len() / 64 } else { 0 };
                assert_eq!(zeros, wanted, "{}", kernel.name());
                let Layout { arrays, len, .. } = buffers.layout;
                for from in &arrays[..kernel.sources()] {
                    let source = &buffers.buffer.bytes()[*from..from + len];
                    assert!(!source.chunks(64).any(is_zero), "{}", kernel.name());
                }
            }
        }
    }

    #[test]
    fn runs_of_any_length_go_on_where_the_last_one_ended() {
        let mut buffers = buffers();
        let mut rng = fastrand::Rng::with_seed(3);
        for kernel in here() {
            buffers.lay(kernel, 9 * BLOCK);
            for width in Width::detect() {
                for _ in 0..50 {
                    let bytes = rng.u64(1..40) * buffers.block();
                    buffers.prepare(bytes);
                    buffers.run(width, bytes);
                    buffers.check().unwrap();
                }
            }
        }
    }

    #[test]
    fn a_wrong_answer_is_seen() {
        let mut buffers = buffers();
        for width in Width::detect() {
            for kernel in here() {
                buffers.lay(kernel, 64 << 10);
                // Said to have run, and did not.
                buffers.prepare(buffers.lap());
                let done = buffers.done.as_mut().unwrap();
                (done.width, done.blocks) = (Some(width), 128);
                assert!(buffers.check().is_err(), "{} {}", kernel.name(), width.name());
                // Run, and one word flipped where it was spoilt, read last or added up.
                buffers.lay(kernel, 64 << 10);
                buffers.prepare(buffers.lap());
                match kernel {
                    Kernel::Read => buffers.buffer.words_mut()[buffers.layout.len / 8 - 1] ^= 1,
                    Kernel::ReadSum => buffers.buffer.words_mut()[77] ^= 1,
                    _ => (),
                }
                buffers.run(width, buffers.lap());
                if let Some(probe) = buffers.done.as_ref().unwrap().probes.first() {
                    let at = (buffers.layout.target() + probe.0) / 8;
                    buffers.buffer.words_mut()[at] ^= 1;
                }
                let said = buffers.check().unwrap_err();
                assert!(said.contains(kernel.name()), "{said}");
                buffers.clean = 0;
            }
        }
    }

    #[test]
    fn arrays_lie_in_the_buffer_apart_from_each_other() {
        let mut buffers = buffers();
        for kernel in Kernel::ALL {
            for set in [1, 8 << 10, 24 << 10, 640 << 10, 1 << 20, 1 << 30] {
                let real = buffers.lay(kernel, set);
                assert!(real <= set.max(kernel.arrays() * BLOCK));
                let Layout { arrays, len, .. } = buffers.layout;
                assert_eq!(real, kernel.arrays() * len);
                for i in 0..kernel.arrays() {
                    assert!(arrays[i] + len <= buffers.buffer.len());
                    assert_eq!(arrays[i] % 64, 0);
                    for j in 0..i {
                        let apart = arrays[i] - arrays[j];
                        assert!(apart >= len, "{} {set}: {arrays:?}", kernel.name());
                        assert!(!apart.is_power_of_two());
                        assert!((512..=4096 - 64).contains(&(apart % 4096)));
                        assert_eq!(apart / 64 % 2, (i - j) % 2);
                    }
                }
            }
        }
    }

    #[test]
    fn sources_are_restored_after_a_target_lay_over_them() {
        let mut buffers = buffers();
        let width = Width::detect()[0];
        buffers.lay(Kernel::Write, 1 << 20);
        buffers.run(width, buffers.lap());
        buffers.lay(Kernel::ReadSum, 1 << 20);
        buffers.prepare(buffers.lap());
        buffers.run(width, buffers.lap());
        buffers.check().unwrap();
    }
}
