//! Two slow chains with other work between them.

use std::io;
use std::num::NonZeroU64;
use std::ptr::{from_mut, null};

use super::emit::{Emit, Routine};

/// Where fillers load and store: a line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line([u64; 8]);

/// An instruction as it is emitted.
pub(in crate::kernel) type Instruction = &'static [u8];

// What stands between the chains: encodings that are used in turn, so that each writes to another
// register and none waits for another. Only what every x86_64 CPU has.

/// The longest no-operation: shorter ones are taken together, several as one entry of the window.
pub(in crate::kernel) const NOP: &[Instruction] = &[&[0x0F, 0x1F, 0x84, 0, 0, 0, 0, 0]];

/// lea r, [rdx + rcx] into rax, r8, r9, r10, r11.
pub(in crate::kernel) const INTEGER: &[Instruction] = &[
    &[0x48, 0x8D, 0x04, 0x0A],
    &[0x4C, 0x8D, 0x04, 0x0A],
    &[0x4C, 0x8D, 0x0C, 0x0A],
    &[0x4C, 0x8D, 0x14, 0x0A],
    &[0x4C, 0x8D, 0x1C, 0x0A],
];

/// pshufd xmm, xmm15, 0 into xmm2 to xmm7.
pub(in crate::kernel) const VECTOR: &[Instruction] = &[
    &[0x66, 0x41, 0x0F, 0x70, 0xD7, 0x00],
    &[0x66, 0x41, 0x0F, 0x70, 0xDF, 0x00],
    &[0x66, 0x41, 0x0F, 0x70, 0xE7, 0x00],
    &[0x66, 0x41, 0x0F, 0x70, 0xEF, 0x00],
    &[0x66, 0x41, 0x0F, 0x70, 0xF7, 0x00],
    &[0x66, 0x41, 0x0F, 0x70, 0xFF, 0x00],
];

/// Three `mov r, [rsi]` and two `movsd xmm, [rsi]` in turn: registers of both kinds last longer than
/// those of one, so that the queue has a chance to end before they do.
pub(in crate::kernel) const LOAD: &[Instruction] = &[
    &[0x48, 0x8B, 0x06],
    &[0xF2, 0x0F, 0x10, 0x16],
    &[0x4C, 0x8B, 0x06],
    &[0xF2, 0x0F, 0x10, 0x1E],
    &[0x4C, 0x8B, 0x0E],
];

/// mov [rsi], rcx.
pub(in crate::kernel) const STORE: &[Instruction] = &[&[0x48, 0x89, 0x0E]];

/// Square roots of 1, each of which waits for the one before; fillers; as many square roots of
/// another chain; and what waits for both chains, before it begins again.
#[derive(Debug)]
pub(in crate::kernel) struct Window(Routine);

impl Window {
    pub(in crate::kernel) fn new(
        filler: &[Instruction],
        fillers: usize,
        roots: usize,
    ) -> io::Result<Window> {
        let mut emit = Emit::default();
        // mov rax, 1.0; movq xmm0, rax; movaps xmm1, xmm0; movaps xmm15, xmm0
        emit.put(&[0x48, 0xB8]).put(&1.0_f64.to_le_bytes());
        emit.put(&[0x66, 0x48, 0x0F, 0x6E, 0xC0]).put(&[0x0F, 0x28, 0xC8]);
        emit.put(&[0x44, 0x0F, 0x28, 0xF8]).align(64);
        let top = emit.here();
        // sqrtsd xmm0, xmm0
        emit.put(&[0xF2, 0x0F, 0x51, 0xC0].repeat(roots));
        for bytes in filler.iter().cycle().take(fillers) {
            emit.put(bytes);
        }
        // sqrtsd xmm1, xmm1
        emit.put(&[0xF2, 0x0F, 0x51, 0xC9].repeat(roots));
        // maxsd xmm0, xmm1; movaps xmm1, xmm0
        emit.put(&[0xF2, 0x0F, 0x5F, 0xC1]).put(&[0x0F, 0x28, 0xC8]);
        emit.repeat(top);
        // movq rax, xmm0
        emit.put(&[0x66, 0x48, 0x0F, 0x7E, 0xC0]).leave();
        Ok(Window(emit.finish()?))
    }

    /// So many times; returns what came of the roots, which is 1.
    pub(in crate::kernel) fn run(&self, times: NonZeroU64) -> f64 {
        let mut line = Line::default();
        let data = from_mut(&mut line.0[0]).cast();
        // SAFETY: the function emitted by `new` touches no memory but the 8 bytes at `data`, which
        // are ours, and changes rax, rdi, r8 to r11 and vector registers, which the calling
        // convention gives it.
        let bits = unsafe { self.0.call(times.get(), data, null(), null()) };
        f64::from_bits(bits)
    }
}
