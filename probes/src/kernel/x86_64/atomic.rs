//! Atomic read-modify-writes: instructions with a lock prefix, which is all that there is.
use std::sync::atomic::{AtomicU32, Ordering};

/// What the compiler makes of atomics here.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) struct Form;

impl Form {
    pub(in crate::kernel) const DECLARED: &[&str] = &["lock"];

    /// Those of this CPU.
    pub(in crate::kernel) fn detect() -> Vec<Form> {
        vec![Form]
    }

    /// The one that a compiler would choose.
    #[inline(always)]
    pub(in crate::kernel) fn usual() -> Form {
        Form
    }

    pub(in crate::kernel) fn name(self) -> &'static str {
        "lock"
    }

    #[inline(always)]
    pub(in crate::kernel) fn add_one(self, word: &AtomicU32) -> u32 {
        word.fetch_add(1, Ordering::Relaxed)
    }

    #[inline(always)]
    pub(in crate::kernel) fn replace(self, word: &AtomicU32, from: u32, to: u32) -> bool {
        word.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}
