//! Instructions as bytes, for kernels whose code is what varies: how much of it there is and where
//! it lies.

use std::io;

use crate::sys::code::Code;

/// Bytes of a jump with a 32-bit distance.
pub(super) const JUMP: usize = 5;

/// Code as it grows. Labels are offsets from its beginning.
#[derive(Debug, Default)]
pub(super) struct Emit {
    code: Vec<u8>,
    here: usize,
}

/// What is executed only by mistake: a breakpoint.
const HOLE: u8 = 0xCC;

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

    /// Instructions that are written as bytes.
    pub(super) fn put(&mut self, bytes: &[u8]) -> &mut Emit {
        let end = self.here + bytes.len();
        if end > self.code.len() {
            self.code.resize(end, HOLE);
        }
        self.code[self.here..end].copy_from_slice(bytes);
        self.here = end;
        self
    }

    /// Four bytes, of which the highest bit is a sign: a distance or an operand.
    ///
    /// # Panics
    /// If it takes more.
    pub(super) fn number(&mut self, value: isize) -> &mut Emit {
        let Ok(value) = i32::try_from(value) else { panic!("{value} bytes are too far") };
        self.put(&value.to_le_bytes())
    }

    /// Fills up with the longest no-operations until `offset`.
    pub(super) fn pad_to(&mut self, offset: usize) -> &mut Emit {
        while self.here < offset {
            self.put(NOPS[(offset - self.here).min(NOPS.len()) - 1]);
        }
        self
    }

    /// Fills up to a multiple.
    pub(super) fn align(&mut self, to: usize) -> &mut Emit {
        self.pad_to(self.here().next_multiple_of(to))
    }

    /// `jmp`, to an offset before or behind.
    pub(super) fn jump(&mut self, to: usize) -> &mut Emit {
        self.put(&[0xE9]).distance(to)
    }

    /// `call`.
    pub(super) fn call(&mut self, to: usize) -> &mut Emit {
        self.put(&[0xE8]).distance(to)
    }

    /// `jc`: if the carry flag is set.
    pub(super) fn jump_if_carry(&mut self, to: usize) -> &mut Emit {
        self.put(&[0x0F, 0x82]).distance(to)
    }

    /// `dec rdi; jnz`: the end of a loop whose count is the first argument.
    pub(super) fn repeat(&mut self, to: usize) -> &mut Emit {
        self.put(&[0x48, 0xFF, 0xCF]).put(&[0x0F, 0x85]).distance(to)
    }

    /// `ret`.
    pub(super) fn leave(&mut self) -> &mut Emit {
        self.put(&[0xC3])
    }

    /// Distances count from the end of the instruction, which is the end of the distance.
    fn distance(&mut self, to: usize) -> &mut Emit {
        self.number(to.cast_signed() - (self.here() + 4).cast_signed())
    }

    /// Makes it executable.
    pub(super) fn finish(self) -> io::Result<Routine> {
        Ok(Routine(Code::new(&self.code)?))
    }

    /// What was emitted so far.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.code
    }
}

/// The no-operations that the makers recommend, by length.
const NOPS: [&[u8]; 8] = [
    &[0x90],
    &[0x66, 0x90],
    &[0x0F, 0x1F, 0x00],
    &[0x0F, 0x1F, 0x40, 0x00],
    &[0x0F, 0x1F, 0x44, 0x00, 0x00],
    &[0x66, 0x0F, 0x1F, 0x44, 0x00, 0x00],
    &[0x0F, 0x1F, 0x80, 0x00, 0x00, 0x00, 0x00],
    &[0x0F, 0x1F, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
];

/// A finished function with the C calling convention.
#[derive(Debug)]
pub(super) struct Routine(Code);

type Function = extern "sysv64" fn(u64, *mut u8, *const u8, *const u8) -> u64;

impl Routine {
    /// Calls it with its four arguments in rdi, rsi, rdx and rcx.
    ///
    /// # Safety
    /// The code must keep to the System V calling convention (return, and change no register that
    /// belongs to the caller), and touch no memory but what the arguments allow it to.
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
    fn padding_is_exact_and_jumps_count_from_their_end() {
        let mut emit = Emit::default();
        emit.put(&[0xC3]).align(32);
        assert_eq!(emit.here(), 32);
        emit.align(32);
        assert_eq!(emit.here(), 32);
        // Forward by 0x10 from the end at 37, and back onto itself.
        emit.jump(37 + 0x10);
        assert_eq!(&emit.bytes()[32..], [0xE9, 0x10, 0, 0, 0]);
        emit.jump(37);
        assert_eq!(&emit.bytes()[37..], [0xE9, 0xFB, 0xFF, 0xFF, 0xFF]);
    }

    #[test]
    #[should_panic = "2147483648 bytes are too far"]
    fn a_jump_reaches_two_gibibytes() {
        Emit::default().jump(JUMP + (1 << 31) - 1).jump(2 * JUMP + (1 << 31));
    }

    #[test]
    fn what_is_left_out_is_a_breakpoint() {
        let mut emit = Emit::default();
        emit.seek(2).leave().seek(0).leave();
        assert_eq!(emit.bytes(), [0xC3, HOLE, 0xC3]);
    }

    #[test]
    fn emitted_code_runs() {
        let mut emit = Emit::default();
        // xor eax, eax; then as often as asked for: a call of a function that adds 3.
        emit.put(&[0x31, 0xC0]).jump(32);
        emit.seek(32).call(16).repeat(32).leave();
        emit.seek(16).put(&[0x48, 0x83, 0xC0, 0x03]).leave();
        let routine = emit.finish().unwrap();
        // SAFETY: the code above changes rax and rdi, and touches no memory.
        let sum =
            unsafe { routine.call(5, std::ptr::null_mut(), std::ptr::null(), std::ptr::null()) };
        assert_eq!(sum, 15);
    }
}
