//! Atomic read-modify-writes: single instructions since Armv8.1 (LSE), before that a load and a store
//! that fails if someone came in between.
//!
//! In assembly, because a program for all of these CPUs calls a function that asks which to use, each
//! time.
use std::arch::is_aarch64_feature_detected;
use std::sync::atomic::AtomicU32;

use core::arch::asm;

/// Which instructions.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) enum Form {
    /// LDADD and CASAL; made only where the CPU has them.
    Lse,
    /// Loads and stores exclusive.
    Exclusive,
}

impl Form {
    pub(in crate::kernel) const DECLARED: &[&str] = &["lse", "exclusive"];

    /// Those of this CPU.
    pub(in crate::kernel) fn detect() -> Vec<Form> {
        match Form::usual() {
            Form::Lse => vec![Form::Lse, Form::Exclusive],
            Form::Exclusive => vec![Form::Exclusive],
        }
    }

    /// The one that a compiler would choose for this CPU.
    #[inline(always)]
    pub(in crate::kernel) fn usual() -> Form {
        if is_aarch64_feature_detected!("lse") { Form::Lse } else { Form::Exclusive }
    }

    pub(in crate::kernel) fn name(self) -> &'static str {
        match self {
            Form::Lse => "lse",
            Form::Exclusive => "exclusive",
        }
    }

    #[inline(always)]
    pub(in crate::kernel) fn add_one(self, word: &AtomicU32) -> u32 {
        let (at, old) = (word.as_ptr(), &mut 0);
        match self {
            // SAFETY: the word is there for as long as it is borrowed, and changed atomically; the
            // CPU has the instruction, or there would be no such form.
            Form::Lse => unsafe {
                asm!(
                    ".arch_extension lse",
                    "ldadd {one:w}, {old:w}, [{at}]",
                    one = in(reg) 1,
                    old = out(reg) *old,
                    at = in(reg) at,
                    options(nostack, preserves_flags),
                );
            },
            // SAFETY: the word is there for as long as it is borrowed, and changed atomically.
            Form::Exclusive => unsafe {
                asm!(
                    "2:",
                    "ldxr {old:w}, [{at}]",
                    "add {new:w}, {old:w}, #1",
                    "stxr {failed:w}, {new:w}, [{at}]",
                    "cbnz {failed:w}, 2b",
                    old = out(reg) *old,
                    new = out(reg) _,
                    failed = out(reg) _,
                    at = in(reg) at,
                    options(nostack, preserves_flags),
                );
            },
        }
        *old
    }

    #[inline(always)]
    pub(in crate::kernel) fn replace(self, word: &AtomicU32, from: u32, to: u32) -> bool {
        let (at, found) = (word.as_ptr(), &mut { from });
        match self {
            // SAFETY: the word is there for as long as it is borrowed, and changed atomically; the
            // CPU has the instruction, or there would be no such form.
            Form::Lse => unsafe {
                asm!(
                    ".arch_extension lse",
                    "casal {found:w}, {to:w}, [{at}]",
                    found = inout(reg) *found,
                    to = in(reg) to,
                    at = in(reg) at,
                    options(nostack, preserves_flags),
                );
            },
            // SAFETY: the word is there for as long as it is borrowed, and changed atomically.
            Form::Exclusive => unsafe {
                asm!(
                    "2:",
                    "ldaxr {found:w}, [{at}]",
                    "cmp {found:w}, {from:w}",
                    "b.ne 3f",
                    "stlxr {failed:w}, {to:w}, [{at}]",
                    "cbnz {failed:w}, 2b",
                    "3:",
                    found = out(reg) *found,
                    failed = out(reg) _,
                    from = in(reg) from,
                    to = in(reg) to,
                    at = in(reg) at,
                    options(nostack),
                );
            },
        }
        *found == from
    }
}
