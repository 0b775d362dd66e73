//! Two slow chains with other work between them.

use super::emit::{self, Instruction};

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

/// The number of laps, and 1 in both chains and for vectors.
/// `fmov d0, #1.0; fmov d1, d0; fmov d31, d0`.
pub(in crate::kernel) const BEGIN: &[Instruction] =
    &[emit::BEGIN[0], emit::BEGIN[1], 0x1E6E_1000, 0x1E60_4001, 0x1E60_401F];

/// fsqrt d0, d0.
pub(in crate::kernel) const FIRST_ROOT: Instruction = 0x1E61_C000;

/// fsqrt d1, d1.
pub(in crate::kernel) const SECOND_ROOT: Instruction = 0x1E61_C021;

/// Waits for both chains. `fmaxnm d0, d0, d1; fmov d1, d0`.
pub(in crate::kernel) const JOIN: &[Instruction] = &[0x1E61_6800, 0x1E60_4001];

/// fmov x0, d0.
pub(in crate::kernel) const RESULT: &[Instruction] = &[0x9E66_0000];
