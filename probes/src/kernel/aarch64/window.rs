//! Two slow chains with other work between them.

use std::io;
use std::num::NonZeroU64;
use std::ptr::{from_mut, null};

use super::emit::{self, Emit, Routine};

/// Where fillers load and store: a line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line([u64; 8]);

/// An instruction as it is emitted.
pub(in crate::kernel) type Instruction = u32;

// What stands between the chains: encodings that are used in turn, so that each writes to another
// register and none waits for another. Only what every aarch64 CPU has.

/// A no-operation.
pub(in crate::kernel) const NOP: &[Instruction] = &[emit::NOP];

/// add r, x2, x3 into x0, x8, x9, x10, x11.
pub(in crate::kernel) const INTEGER: &[Instruction] =
    &[0x8B03_0040, 0x8B03_0048, 0x8B03_0049, 0x8B03_004A, 0x8B03_004B];

/// dup v.4s, v31.s[0] into v2 to v7.
pub(in crate::kernel) const VECTOR: &[Instruction] =
    &[0x4E04_07E2, 0x4E04_07E3, 0x4E04_07E4, 0x4E04_07E5, 0x4E04_07E6, 0x4E04_07E7];

/// Three `ldr x, [x1]` and two `ldr d, [x1]` in turn: registers of both kinds last longer than those
/// of one, so that the queue has a chance to end before they do.
pub(in crate::kernel) const LOAD: &[Instruction] =
    &[0xF940_0028, 0xFD40_0022, 0xF940_0029, 0xFD40_0023, 0xF940_002A];

/// str x3, [x1].
pub(in crate::kernel) const STORE: &[Instruction] = &[0xF900_0023];

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
        // fmov d0, #1.0; fmov d1, d0; fmov d31, d0
        emit.begin().put(&[0x1E6E_1000, 0x1E60_4001, 0x1E60_401F]).align(64);
        let top = emit.here();
        // fsqrt d0, d0
        emit.put(&[0x1E61_C000].repeat(roots));
        for &instruction in filler.iter().cycle().take(fillers) {
            emit.put(&[instruction]);
        }
        // fsqrt d1, d1
        emit.put(&[0x1E61_C021].repeat(roots));
        // fmaxnm d0, d0, d1; fmov d1, d0
        emit.put(&[0x1E61_6800, 0x1E60_4001]).repeat(top);
        // fmov x0, d0
        emit.put(&[0x9E66_0000]).leave();
        Ok(Window(emit.finish()?))
    }

    /// So many times; returns what came of the roots, which is 1.
    pub(in crate::kernel) fn run(&self, times: NonZeroU64) -> f64 {
        let mut line = Line::default();
        let data = from_mut(&mut line.0[0]).cast();
        // SAFETY: the function emitted by `new` touches no memory but the 8 bytes at `data`, which
        // are ours, and changes x0, x4, x8 to x11 and vector registers, which the calling
        // convention gives it.
        let bits = unsafe { self.0.call(times.get(), data, null(), null()) };
        f64::from_bits(bits)
    }
}
