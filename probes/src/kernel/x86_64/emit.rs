//! Instructions as bytes.

use crate::kernel::generic::emit::Emit;

/// An instruction as it is emitted.
pub(in crate::kernel) type Instruction = &'static [u8];

/// Bytes of a jump with a 32-bit distance.
pub(in crate::kernel) const JUMP: usize = 5;

/// What is executed only by mistake: a breakpoint.
pub(in crate::kernel) const HOLE: Instruction = &[0xCC];

/// `mov edx, ecx`: fills up code, and leaves the flags alone.
pub(in crate::kernel) const FILL: Instruction = &[0x89, 0xCA];

/// Bytes of [`Emit::next_word`], [`Emit::next_bit`] and both jumps after it.
pub(in crate::kernel) const FORK: usize = 21;

/// The no-operations that the makers recommend, by length.
const NOPS: [Instruction; 8] = [
    &[0x90],
    &[0x66, 0x90],
    &[0x0F, 0x1F, 0x00],
    &[0x0F, 0x1F, 0x40, 0x00],
    &[0x0F, 0x1F, 0x44, 0x00, 0x00],
    &[0x66, 0x0F, 0x1F, 0x44, 0x00, 0x00],
    &[0x0F, 0x1F, 0x80, 0x00, 0x00, 0x00, 0x00],
    &[0x0F, 0x1F, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
];

/// The longest no-operation of at most so many bytes.
pub(in crate::kernel) fn no_operation(bytes: usize) -> Instruction {
    NOPS[bytes.min(NOPS.len()) - 1]
}

/// The bytes of an instruction.
pub(in crate::kernel) fn encoded(instruction: &Instruction) -> Instruction {
    instruction
}

/// Routines are called with rdi, rsi, rdx and rcx, and return rax.
impl Emit {
    /// The beginning of a routine that counts. `xor eax, eax`; rdi holds the number of laps already.
    pub(in crate::kernel) fn begin(&mut self) -> &mut Emit {
        self.put(&[&[0x31, 0xC0]])
    }

    /// Counts one. `inc rax`.
    pub(in crate::kernel) fn count(&mut self) -> &mut Emit {
        self.put(&[&[0x48, 0xFF, 0xC0]])
    }

    /// Jumps to an offset before or behind. `jmp`.
    pub(in crate::kernel) fn jump(&mut self, to: usize) -> &mut Emit {
        self.put(&[&[0xE9]]).distance(to)
    }

    /// Calls what is at an offset. `call`.
    pub(in crate::kernel) fn call(&mut self, to: usize) -> &mut Emit {
        self.put(&[&[0xE8]]).distance(to)
    }

    /// Jumps if the carry flag is set. `jc`.
    pub(in crate::kernel) fn jump_if_carry(&mut self, to: usize) -> &mut Emit {
        self.put(&[&[0x0F, 0x82]]).distance(to)
    }

    /// The end of a loop, whose beginning is at an offset. `dec rdi; jnz`.
    pub(in crate::kernel) fn repeat(&mut self, to: usize) -> &mut Emit {
        self.put(&[&[0x48, 0xFF, 0xCF], &[0x0F, 0x85]]).distance(to)
    }

    /// Returns. `ret`.
    pub(in crate::kernel) fn leave(&mut self) -> &mut Emit {
        self.put(&[&[0xC3]])
    }

    /// Saves where to return to: a call has put it on the stack.
    pub(in crate::kernel) fn save_return(&mut self) -> &mut Emit {
        self
    }

    /// Takes it back: a return does so.
    pub(in crate::kernel) fn restore_return(&mut self) -> &mut Emit {
        self
    }

    /// Counts one, unless a branch is taken because the byte at that place of a row is 0.
    /// `cmp byte ptr [rsi + place], 0; je over; inc rax`.
    pub(in crate::kernel) fn count_unless_zero(&mut self, place: usize) -> &mut Emit {
        self.put(&[&[0x80, 0xBE]])
            .number(place.cast_signed())
            .put(&[&[0x00], &[0x74, 0x03]])
            .count()
    }

    /// Goes to the next row of so many bytes, or from the end to the first one.
    /// `add rsi, bytes; cmp rsi, rcx; cmovae rsi, rdx`.
    pub(in crate::kernel) fn next_row(&mut self, bytes: usize) -> &mut Emit {
        self.put(&[&[0x48, 0x81, 0xC6]]).number(bytes.cast_signed());
        self.put(&[&[0x48, 0x39, 0xCE], &[0x48, 0x0F, 0x43, 0xF2]])
    }

    /// Takes the next word of bits. `mov r8, [rsi]; add rsi, 8`.
    pub(in crate::kernel) fn next_word(&mut self) -> &mut Emit {
        self.put(&[&[0x4C, 0x8B, 0x06], &[0x48, 0x83, 0xC6, 0x08]])
    }

    /// Moves the next bit of the word into the carry flag, the lowest first. `shr r8`.
    pub(in crate::kernel) fn next_bit(&mut self) -> &mut Emit {
        self.put(&[&[0x49, 0xD1, 0xE8]])
    }

    /// Distances count from the end of the instruction, which is the end of the distance.
    fn distance(&mut self, to: usize) -> &mut Emit {
        self.number(to.cast_signed() - (self.here() + 4).cast_signed())
    }

    /// Four bytes, of which the highest bit is a sign: a distance or an operand.
    ///
    /// # Panics
    /// If it takes more.
    fn number(&mut self, value: isize) -> &mut Emit {
        let Ok(value) = i32::try_from(value) else { panic!("{value} bytes are too far") };
        self.bytes(&value.to_le_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_count_from_their_end() {
        let mut emit = Emit::default();
        // Forward by 0x10 from the end at 5, and back onto itself.
        emit.jump(5 + 0x10).jump(5);
        assert_eq!(emit.code(), [0xE9, 0x10, 0, 0, 0, 0xE9, 0xFB, 0xFF, 0xFF, 0xFF]);
    }

    #[test]
    #[should_panic = "2147483648 bytes are too far"]
    fn a_jump_reaches_two_gibibytes() {
        Emit::default().jump(JUMP + (1 << 31) - 1).jump(2 * JUMP + (1 << 31));
    }
}
