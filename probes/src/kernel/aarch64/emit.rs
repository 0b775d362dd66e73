//! Instructions as words.

use crate::kernel::generic::emit::Emit;

/// An instruction as it is emitted.
pub(in crate::kernel) type Instruction = u32;

/// Bytes of an instruction.
const WORD: usize = 4;

/// Bytes of a jump.
pub(in crate::kernel) const JUMP: usize = WORD;

/// What is executed only by mistake: a breakpoint.
pub(in crate::kernel) const HOLE: Instruction = 0xD420_0000;

/// `mov w9, w10`: fills up code, and leaves the flags alone.
pub(in crate::kernel) const FILL: Instruction = 0x2A0A_03E9;

/// Bytes of [`Emit::next_word`], [`Emit::next_bit`] and both jumps after it.
pub(in crate::kernel) const FORK: usize = 4 * WORD;

/// `nop`.
pub(in crate::kernel) const NOP: Instruction = 0xD503_201F;

/// `mov x4, x0; mov x0, #0`: the number of laps, and the count.
pub(in crate::kernel) const BEGIN: [Instruction; 2] = [0xAA00_03E4, 0xD280_0000];

/// There is one length.
pub(in crate::kernel) fn no_operation(_: usize) -> Instruction {
    NOP
}

/// The bytes of an instruction.
pub(in crate::kernel) fn encoded(instruction: &Instruction) -> [u8; WORD] {
    instruction.to_le_bytes()
}

/// Routines are called with x0 to x3, and return x0.
impl Emit {
    /// The beginning of a routine that counts.
    pub(in crate::kernel) fn begin(&mut self) -> &mut Emit {
        self.put(&BEGIN)
    }

    /// Counts one. `add x0, x0, #1`.
    pub(in crate::kernel) fn count(&mut self) -> &mut Emit {
        self.put(&[0x9100_0400])
    }

    /// Jumps to an offset before or behind. `b`.
    pub(in crate::kernel) fn jump(&mut self, to: usize) -> &mut Emit {
        self.put(&[0x1400_0000 | self.distance(to, 26)])
    }

    /// Calls what is at an offset. `bl`.
    pub(in crate::kernel) fn call(&mut self, to: usize) -> &mut Emit {
        self.put(&[0x9400_0000 | self.distance(to, 26)])
    }

    /// Jumps if the carry flag is set. `b.cs`.
    pub(in crate::kernel) fn jump_if_carry(&mut self, to: usize) -> &mut Emit {
        self.put(&[0x5400_0002 | self.distance(to, 19) << 5])
    }

    /// The end of a loop, however far its beginning is. `subs x4, x4, #1; b.eq over; b`.
    pub(in crate::kernel) fn repeat(&mut self, to: usize) -> &mut Emit {
        self.put(&[0xF100_0484, 0x5400_0040]).jump(to)
    }

    /// Returns. `ret`.
    pub(in crate::kernel) fn leave(&mut self) -> &mut Emit {
        self.put(&[0xD65F_03C0])
    }

    /// Saves where to return to. `str x30, [sp, #-16]!`.
    pub(in crate::kernel) fn save_return(&mut self) -> &mut Emit {
        self.put(&[0xF81F_0FFE])
    }

    /// Takes it back. `ldr x30, [sp], #16`.
    pub(in crate::kernel) fn restore_return(&mut self) -> &mut Emit {
        self.put(&[0xF841_07FE])
    }

    /// Counts one, unless a branch is taken because the byte at that place of a row is 0.
    /// `ldrb w8, [x1, #place]; cbz w8, over; add x0, x0, #1`.
    pub(in crate::kernel) fn count_unless_zero(&mut self, place: usize) -> &mut Emit {
        self.put(&[displaced(0x3940_0028, place), 0x3400_0048]).count()
    }

    /// Goes to the next row of so many bytes, or from the end to the first one.
    /// `add x1, x1, #bytes; cmp x1, x3; csel x1, x2, x1, hs`.
    pub(in crate::kernel) fn next_row(&mut self, bytes: usize) -> &mut Emit {
        self.put(&[displaced(0x9100_0021, bytes), 0xEB03_003F, 0x9A81_2041])
    }

    /// Takes the next word of bits. `ldr x8, [x1], #8`.
    pub(in crate::kernel) fn next_word(&mut self) -> &mut Emit {
        self.put(&[0xF840_8428])
    }

    /// Moves the next bit of the word into the carry flag, the highest first. `adds x8, x8, x8`.
    pub(in crate::kernel) fn next_bit(&mut self) -> &mut Emit {
        self.put(&[0xAB08_0108])
    }

    /// Words from the next instruction to an offset, in so many bits.
    ///
    /// # Panics
    /// If it is too far.
    fn distance(&self, to: usize, bits: u32) -> u32 {
        let bytes = to.cast_signed() - self.here().cast_signed();
        let words = i32::try_from(bytes / WORD.cast_signed());
        let Some(words) = words.ok().filter(|words| words >> (bits - 1) == words >> 31) else {
            panic!("{bytes} bytes are too far");
        };
        words.cast_unsigned() & ((1 << bits) - 1)
    }
}

/// An instruction with so many bytes in its displacement.
///
/// # Panics
/// If it does not hold them.
fn displaced(instruction: Instruction, bytes: usize) -> Instruction {
    match u32::try_from(bytes) {
        Ok(bytes @ 0..4096) => instruction | bytes << 10,
        _ => panic!("{bytes} bytes are too far"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_count_from_themselves() {
        let mut emit = Emit::default();
        emit.seek(32).jump(32 + 0x10).jump(32).jump_if_carry(32);
        let words = [0x1400_0004_u32, 0x17FF_FFFF, 0x54FF_FFC2];
        assert_eq!(emit.code()[32..], words.map(u32::to_le_bytes).concat());
    }

    #[test]
    #[should_panic = "1048576 bytes are too far"]
    fn a_conditional_jump_reaches_a_mebibyte() {
        Emit::default().jump_if_carry((1 << 20) - 4).jump_if_carry(4 + (1 << 20));
    }

    #[test]
    #[should_panic = "4096 bytes are too far"]
    fn a_displacement_has_twelve_bits() {
        Emit::default().count_unless_zero(4095).count_unless_zero(4096);
    }
}
