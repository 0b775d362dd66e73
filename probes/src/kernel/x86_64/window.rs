//! Two slow chains with other work between them.

use super::emit::Instruction;

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

/// 1 in both chains and for vectors. `mov rax, 1.0; movq xmm0, rax; movaps xmm1, xmm0;
/// movaps xmm15, xmm0`.
pub(in crate::kernel) const BEGIN: &[Instruction] = &[
    &[0x48, 0xB8, 0, 0, 0, 0, 0, 0, 0xF0, 0x3F],
    &[0x66, 0x48, 0x0F, 0x6E, 0xC0],
    &[0x0F, 0x28, 0xC8],
    &[0x44, 0x0F, 0x28, 0xF8],
];

/// sqrtsd xmm0, xmm0.
pub(in crate::kernel) const FIRST_ROOT: Instruction = &[0xF2, 0x0F, 0x51, 0xC0];

/// sqrtsd xmm1, xmm1.
pub(in crate::kernel) const SECOND_ROOT: Instruction = &[0xF2, 0x0F, 0x51, 0xC9];

/// Waits for both chains. `maxsd xmm0, xmm1; movaps xmm1, xmm0`.
pub(in crate::kernel) const JOIN: &[Instruction] =
    &[&[0xF2, 0x0F, 0x5F, 0xC1], &[0x0F, 0x28, 0xC8]];

/// movq rax, xmm0.
pub(in crate::kernel) const RESULT: &[Instruction] = &[&[0x66, 0x48, 0x0F, 0x7E, 0xC0]];
