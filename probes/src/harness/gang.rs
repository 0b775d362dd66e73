//! Several pinned threads that start together.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::placement;

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
    ) -> T {
        let gang = Gang {
            arrived: AtomicUsize::new(0),
            size: others.len() + 1,
            stop: AtomicBool::new(false),
        };
        let (gang, follow) = (&gang, &follow);
        std::thread::scope(|scope| {
            for &other in others {
                scope.spawn(move || {
                    placement::pin(other);
                    gang.wait();
                    follow(gang, other);
                });
            }
            placement::pin(cpu);
            gang.wait();
            let result = lead(gang);
            gang.stop.store(true, Ordering::Relaxed);
            result
        })
    }

    /// Spins until every thread has come here: a sleeping barrier would wake them microseconds
    /// apart.
    fn wait(&self) {
        self.arrived.fetch_add(1, Ordering::AcqRel);
        while self.arrived.load(Ordering::Acquire) < self.size {
            std::hint::spin_loop();
        }
    }

    /// Whether the leader is done.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
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
        assert_eq!(result, "done");
    }

    #[test]
    fn a_gang_of_one_needs_no_one() {
        assert_eq!(Gang::run(0, &[], |_, _| (), |_| 5), 5);
    }
}
