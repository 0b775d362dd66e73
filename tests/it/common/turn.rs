//! Who may use the machine: all tests are threads of one process, and runs disturb one another.
//!
//! A run takes its samples in quiet moments. Beside another one it still completes, places, labels
//! and leaves out what it should; but a sample may be late, a figure may lack for want of a quiet
//! moment, and the two see each other's processes and lose CPU time to each other.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A turn beside others.
pub(crate) type Turn = RwLockReadGuard<'static, ()>;

static MACHINE: RwLock<()> = RwLock::new(());

/// The whole machine, for a test that wants figures or changes what every process here inherits.
pub(crate) fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().unwrap_or_else(PoisonError::into_inner)
}

/// The machine together with others, for a test that looks at what a run says, leaves out or leaves
/// behind, or that keeps a CPU busy without measuring.
pub(crate) fn beside_others() -> Turn {
    MACHINE.read().unwrap_or_else(PoisonError::into_inner)
}
