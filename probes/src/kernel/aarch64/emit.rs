//! Instructions as words, for kernels whose code is what varies: how much of it there is and where
//! it lies.

use std::io;

use crate::sys::code::Code;

/// Bytes of an instruction.
const WORD: usize = 4;

/// Bytes of a jump.
pub(super) const JUMP: usize = WORD;

/// What is executed only by mistake: a breakpoint.
const HOLE: u32 = 0xD420_0000;

/// `nop`.
pub(super) const NOP: u32 = 0xD503_201F;

/// `add x0, x0, #1`: what routines count in.
pub(super) const COUNT: u32 = 0x9100_0400;

/// Code as it grows. Labels are offsets from its beginning, in bytes.
#[derive(Debug, Default)]
pub(super) struct Emit {
    code: Vec<u8>,
    here: usize,
}

impl Emit {
    /// The offset of what comes next.
    pub(super) fn here(&self) -> usize {
        self.here
    }

    /// Goes on at another offset, before or behind.
    pub(super) fn seek(&mut self, offset: usize) -> &mut Emit {
        self.here = offset;
        self
    }

    /// Instructions as words.
    pub(super) fn put(&mut self, words: &[u32]) -> &mut Emit {
        for word in words {
            let end = self.here + WORD;
            while self.code.len() < end {
                self.code.extend(HOLE.to_le_bytes());
            }
            self.code[self.here..end].copy_from_slice(&word.to_le_bytes());
            self.here = end;
        }
        self
    }

    /// Fills up with no-operations to a multiple of bytes.
    pub(super) fn align(&mut self, to: usize) -> &mut Emit {
        while !self.here.is_multiple_of(to) {
            self.put(&[NOP]);
        }
        self
    }

    /// The beginning of a routine: the number of laps into x4, and zero into x0.
    pub(super) fn begin(&mut self) -> &mut Emit {
        self.put(&[0xAA00_03E4, 0xD280_0000])
    }

    /// `b`, to an offset before or behind.
    pub(super) fn jump(&mut self, to: usize) -> &mut Emit {
        let distance = self.distance(to, 26);
        self.put(&[0x1400_0000 | distance])
    }

    /// `bl`.
    pub(super) fn call(&mut self, to: usize) -> &mut Emit {
        let distance = self.distance(to, 26);
        self.put(&[0x9400_0000 | distance])
    }

    /// `b.cs`: if the carry flag is set.
    pub(super) fn jump_if_carry(&mut self, to: usize) -> &mut Emit {
        let distance = self.distance(to, 19);
        self.put(&[0x5400_0002 | distance << 5])
    }

    /// `subs x4, x4, #1; b.eq over; b`: the end of a loop, however far its beginning is.
    pub(super) fn repeat(&mut self, to: usize) -> &mut Emit {
        self.put(&[0xF100_0484, 0x5400_0040]).jump(to)
    }

    /// `ret`.
    pub(super) fn leave(&mut self) -> &mut Emit {
        self.put(&[0xD65F_03C0])
    }

    /// Words from the next instruction to an offset, in so many bits.
    ///
    /// # Panics
    /// If it is too far.
    fn distance(&self, to: usize, bits: u32) -> u32 {
        let bytes = to.cast_signed() - self.here.cast_signed();
        let words = i32::try_from(bytes / WORD.cast_signed());
        let Some(words) = words.ok().filter(|words| words >> (bits - 1) == words >> 31) else {
            panic!("{bytes} bytes are too far");
        };
        words.cast_unsigned() & ((1 << bits) - 1)
    }

    /// Makes it executable.
    pub(super) fn finish(self) -> io::Result<Routine> {
        Ok(Routine(Code::new(&self.code)?))
    }

    /// What was emitted so far.
    #[cfg(test)]
    pub(super) fn words(&self) -> Vec<u32> {
        self.code.as_chunks().0.iter().map(|&bytes| u32::from_le_bytes(bytes)).collect()
    }
}

/// A finished function with the C calling convention.
#[derive(Debug)]
pub(super) struct Routine(Code);

type Function = extern "C" fn(u64, *mut u8, *const u8, *const u8) -> u64;

impl Routine {
    /// Calls it with its four arguments in x0 to x3.
    ///
    /// # Safety
    /// The code must keep to the calling convention (return, and change no register that belongs to
    /// the caller), and touch no memory but what the arguments allow it to.
    pub(super) unsafe fn call(
        &self,
        count: u64,
        data: *mut u8,
        begin: *const u8,
        end: *const u8,
    ) -> u64 {
        // SAFETY: the entry is executable code, and as the caller promises a function of this type.
        let function = unsafe { std::mem::transmute::<*const u8, Function>(self.0.entry()) };
        function(count, data, begin, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_exact_and_jumps_count_from_themselves() {
        let mut emit = Emit::default();
        emit.leave().align(32);
        assert_eq!(emit.here(), 32);
        emit.align(32);
        assert_eq!(emit.here(), 32);
        emit.jump(32 + 0x10).jump(32).jump_if_carry(32);
        assert_eq!(emit.words()[8..], [0x1400_0004, 0x17FF_FFFF, 0x54FF_FFC2]);
    }

    #[test]
    fn what_is_left_out_is_a_breakpoint() {
        let mut emit = Emit::default();
        emit.seek(8).leave().seek(0).leave();
        assert_eq!(emit.words(), [0xD65F_03C0, HOLE, 0xD65F_03C0]);
    }

    #[test]
    #[should_panic = "too far"]
    fn a_conditional_jump_reaches_a_mebibyte() {
        Emit::default().jump_if_carry((1 << 20) - 4).jump_if_carry(4 + (1 << 20));
    }

    #[test]
    fn emitted_code_runs() {
        let mut emit = Emit::default();
        // As often as asked for: what adds 3, and stands before it.
        emit.begin().jump(32);
        emit.seek(32).jump(16).seek(16).put(&[COUNT, COUNT, COUNT]).jump(36);
        emit.seek(36).repeat(32).leave();
        let routine = emit.finish().unwrap();
        // SAFETY: the code above changes x0 and x4, and touches no memory.
        let sum =
            unsafe { routine.call(5, std::ptr::null_mut(), std::ptr::null(), std::ptr::null()) };
        assert_eq!(sum, 15);
    }
}
