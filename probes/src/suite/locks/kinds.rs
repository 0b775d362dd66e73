//! The locks, each around a counter that shows whether it keeps others out.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, RwLock};

/// A counter under a lock.
pub(super) trait Lock: Default + Sync {
    /// Whether waiters give up their CPU.
    const SLEEPS: bool;
    /// Locks, adds one, does this and unlocks.
    fn with<T>(&self, inside: impl FnOnce() -> T) -> T;
    /// How often that was done; `None` where those inside do not keep each other out.
    fn counted(&self) -> Option<u64>;
}

impl Lock for Mutex<u64> {
    const SLEEPS: bool = true;

    fn with<T>(&self, inside: impl FnOnce() -> T) -> T {
        // A poisoned lock costs the same; no one panics while holding it.
        let mut count = self.lock().unwrap_or_else(|e| e.into_inner());
        *count += 1;
        inside()
    }

    fn counted(&self) -> Option<u64> {
        Some(*self.lock().unwrap_or_else(|e| e.into_inner()))
    }
}

/// The read lock alone.
#[derive(Debug, Default)]
pub(super) struct Read(RwLock<u64>);

impl Lock for Read {
    // Readers wait for no reader.
    const SLEEPS: bool = false;

    fn with<T>(&self, inside: impl FnOnce() -> T) -> T {
        let count = self.0.read().unwrap_or_else(|e| e.into_inner());
        std::hint::black_box(*count);
        inside()
    }

    fn counted(&self) -> Option<u64> {
        None
    }
}

/// Tests before it sets, so that waiters read a line of their own until the lock is free.
#[derive(Debug, Default)]
pub(super) struct Spin {
    taken: AtomicBool,
    count: AtomicU64,
}

impl Lock for Spin {
    const SLEEPS: bool = false;

    fn with<T>(&self, inside: impl FnOnce() -> T) -> T {
        while self.taken.swap(true, Ordering::Acquire) {
            while self.taken.load(Ordering::Relaxed) {
                spin_loop();
            }
        }
        // Not an atomic addition: were there two inside, one of theirs would be lost.
        let count = self.count.load(Ordering::Relaxed);
        self.count.store(count + 1, Ordering::Relaxed);
        let done = inside();
        self.taken.store(false, Ordering::Release);
        done
    }

    fn counted(&self) -> Option<u64> {
        Some(self.count.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeps_out<L: Lock>() {
        let lock = L::default();
        let work = || (0..20_000).for_each(|_| lock.with(|| ()));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(work);
            }
        });
        assert_eq!(lock.counted(), Some(60_000));
    }

    #[test]
    fn nobody_gets_in_while_someone_is() {
        keeps_out::<Mutex<u64>>();
        keeps_out::<Spin>();
    }

    #[test]
    fn readers_get_in_together() {
        let lock = Read::default();
        assert_eq!(lock.with(|| lock.with(|| 5)), 5);
        assert_eq!(lock.counted(), None);
    }
}
