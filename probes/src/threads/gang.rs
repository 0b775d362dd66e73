//! Several pinned threads that start together.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::pinning;

/// Followers run kernels, which need next to no stack; hundreds of default ones would not fit into
/// a small address-space limit.
const STACK: usize = 256 << 10;

/// What the threads of a gang share.
#[derive(Debug)]
pub struct Gang {
    arrived: AtomicUsize,
    size: usize,
    stop: AtomicBool,
}

impl Gang {
    /// Runs `lead` on `cpu` and one `follow(cpu)` on each of the other CPUs; all start within
    /// nanoseconds of each other, and the followers are told to stop once the leader is done.
    pub fn run<T>(
        cpu: usize,
        others: &[usize],
        follow: impl Fn(&Gang, usize) + Sync,
        lead: impl FnOnce(&Gang) -> T,
    ) -> io::Result<T> {
        let gang = Gang {
            arrived: AtomicUsize::new(0),
            size: others.len() + 1,
            stop: AtomicBool::new(false),
        };
        let (gang, follow) = (&gang, &follow);
        std::thread::scope(|scope| {
            // However this scope is left, the followers must not spin for ever.
            let _stop = StopOnDrop(gang);
            for &other in others {
                let start = move || {
                    // If this one panics, nobody may wait for it.
                    let _stop = StopOnPanic(gang);
                    pinning::pin(other);
                    // If another one cannot be started, there is nothing to follow.
                    if gang.meet() {
                        follow(gang, other);
                    }
                };
                std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, start)?;
            }
            pinning::pin(cpu);
            gang.meet();
            Ok(lead(gang))
        })
    }

    /// Spins until every thread has come here as often as this one, or none will: a sleeping barrier
    /// would wake them microseconds apart. `false` once the leader is done.
    pub fn meet(&self) -> bool {
        let before = self.arrived.fetch_add(1, Ordering::AcqRel);
        let all = (before / self.size + 1) * self.size;
        while self.arrived.load(Ordering::Acquire) < all && !self.stopped() {
            std::hint::spin_loop();
        }
        !self.stopped()
    }

    /// Whether the leader is done.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

struct StopOnPanic<'a>(&'a Gang);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop.store(true, Ordering::Relaxed);
        }
    }
}

struct StopOnDrop<'a>(&'a Gang);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn followers_run_until_the_leader_is_done() {
        let rounds = AtomicUsize::new(0);
        let result = Gang::run(
            0,
            &[0],
            |gang, _| {
                while !gang.stopped() {
                    rounds.fetch_add(1, Ordering::Relaxed);
                    std::thread::yield_now();
                }
            },
            |_| {
                while rounds.load(Ordering::Relaxed) < 3 {
                    std::thread::yield_now();
                }
                "done"
            },
        );
        assert_eq!(result.unwrap(), "done");
    }

    #[test]
    fn nobody_goes_on_before_all_have_met() {
        let steps = AtomicUsize::new(0);
        let follow = |gang: &Gang, _| {
            for _ in 0..5 {
                steps.fetch_add(1, Ordering::Relaxed);
                gang.meet();
                gang.meet();
            }
        };
        let seen = Gang::run(0, &[0, 0], follow, |gang| {
            let look = |_| {
                gang.meet();
                let seen = steps.load(Ordering::Relaxed);
                gang.meet();
                seen
            };
            (0..5).map(look).collect::<Vec<usize>>()
        });
        assert_eq!(seen.unwrap(), (1..=5).map(|step| 2 * step).collect::<Vec<usize>>());
    }

    #[test]
    fn a_gang_of_one_needs_no_one() {
        assert_eq!(Gang::run(0, &[], |_, _| (), |_| 5).unwrap(), 5);
    }

    #[test]
    fn a_follower_that_panics_keeps_nobody_waiting() {
        let ran = std::panic::catch_unwind(|| {
            let follow = |_: &Gang, cpu| assert_ne!(cpu, 1, "on purpose");
            Gang::run(0, &[0, 1], follow, |gang| while gang.meet() {})
        });
        assert!(ran.is_err());
    }

    #[test]
    fn a_leader_that_panics_leaves_no_one_spinning() {
        let led = std::panic::catch_unwind(|| {
            let follow = |gang: &Gang, _| {
                while !gang.stopped() {
                    std::thread::yield_now();
                }
            };
            Gang::run(0, &[0], follow, |_| panic!("on purpose"))
        });
        assert!(led.is_err());
    }
}
