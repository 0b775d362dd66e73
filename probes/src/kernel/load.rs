//! Traffic on the way to memory, as much as is wanted, to see what it does to others.

use std::io;

use super::arch;
use crate::sys::memory::{Buffer, LINE, Pages};

/// Bytes that are read between two looks at what is wanted.
pub const CHUNK: usize = 16 << 10;

/// Four lines: what is read between two delays.
const GROUP: usize = 256;

/// A buffer that is read again and again in a straight line, every line of it.
#[derive(Debug)]
pub struct Load {
    buffer: Buffer,
    at: usize,
    right: bool,
}

impl Load {
    /// Maps at least `bytes`, in whole chunks, and touches them first: they lie near this CPU.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn new(bytes: usize) -> io::Result<Load> {
        let mut buffer = Buffer::new(bytes.next_multiple_of(CHUNK).max(CHUNK), Pages::Huge)?;
        let words = buffer.words_mut();
        for at in (0..words.len()).step_by(LINE / 8) {
            words[at] = at as u64 * 8;
        }
        Ok(Load { buffer, at: 0, right: true })
    }

    /// Reads the next chunk, with so many dependent multiplications after every four lines.
    #[inline]
    pub fn read(&mut self, delay: u64) {
        let start = self.buffer.base().cast_const().wrapping_add(self.at);
        // SAFETY: `at` is a multiple of the chunk, and less than the length, which is one too.
        let sum = unsafe { arch::load::read(start, CHUNK / GROUP, delay) };
        self.at += CHUNK;
        let last = (self.at - GROUP..self.at).step_by(LINE).map(|at| at as u64);
        self.right &= sum == last.sum::<u64>();
        self.at %= self.buffer.len();
    }

    /// Whether every chunk held what was written into it, as far as its last lines tell.
    pub fn is_right(&self) -> bool {
        self.right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_the_buffer_is_read_and_right() {
        let mut load = Load::new(3 * CHUNK - 1).unwrap();
        assert_eq!(load.buffer.len(), 3 * CHUNK);
        for round in 0..7 {
            assert_eq!(load.at, round % 3 * CHUNK);
            load.read(round as u64);
        }
        assert!(load.is_right());
    }

    #[test]
    fn a_wrong_line_is_noticed() {
        let mut load = Load::new(CHUNK).unwrap();
        load.buffer.words_mut()[CHUNK / 8 - 8] ^= 1;
        load.read(0);
        assert!(!load.is_right());
    }
}
