//! Several threads at once: pinned ones that start together, or as many as there is work for, wherever
//! the scheduler puts them.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use super::pinning;

/// Followers run kernels, which need next to no stack; hundreds of default ones would not fit into
/// a small address-space limit.
const STACK: usize = 256 << 10;

/// What the threads of a team share.
#[derive(Debug)]
pub struct Team {
    arrived: AtomicUsize,
    size: usize,
    stop: AtomicBool,
    /// Why a thread cannot work.
    not_ready: Mutex<Option<String>>,
}

impl Team {
    /// Runs `lead` on `cpu` and one `follow(cpu)` on each of the other CPUs; all start within
    /// nanoseconds of each other, and the followers are told to stop once the leader is done. Where
    /// the leader cannot be pinned, all are wherever the scheduler puts them.
    ///
    /// # Errors
    ///
    /// That a thread could not be started, or that a CPU cannot be had although the leader's can.
    pub fn pinned<T>(
        cpu: usize,
        others: &[usize],
        follow: impl Fn(&Team, usize) + Sync,
        lead: impl FnOnce(&Team) -> T,
    ) -> io::Result<T> {
        let follow = &follow;
        let can_pin = pinning::pin(cpu);
        // Why one of them is not where it belongs; known to all once they have met.
        let elsewhere: OnceLock<String> = OnceLock::new();
        let elsewhere = &elsewhere;
        let followers = others.iter().map(|&other| {
            move |team: &Team| {
                if let (true, Err(why)) = (can_pin, pinning::try_pin(other)) {
                    let _ = elsewhere.set(format!("CPU {other} cannot be had: {why}"));
                }
                // If another one cannot be started, there is nothing to follow.
                if team.wait() && elsewhere.get().is_none() {
                    follow(team, other);
                }
            }
        });
        Team::unpinned(followers, |team| {
            team.wait();
            match elsewhere.get() {
                None => Ok(lead(team)),
                Some(why) => Err(io::Error::other(why.as_str())),
            }
        })?
    }

    /// Runs a thread for each of the followers, where the scheduler likes, and `lead` in this one. None
    /// waits for another; the followers are told to stop once the leader is done.
    ///
    /// # Errors
    ///
    /// That a thread could not be started.
    pub fn unpinned<T, F: FnOnce(&Team) + Send>(
        followers: impl ExactSizeIterator<Item = F>,
        lead: impl FnOnce(&Team) -> T,
    ) -> io::Result<T> {
        let team = &Team {
            arrived: AtomicUsize::new(0),
            size: followers.len() + 1,
            stop: AtomicBool::new(false),
            not_ready: Mutex::default(),
        };
        std::thread::scope(|scope| {
            // However this scope is left, the followers must not spin for ever.
            let _stop = StopOnDrop(team);
            for follow in followers {
                let start = move || {
                    // If this one panics, nobody may wait for it.
                    let _stop = StopOnPanic(team);
                    follow(team);
                };
                std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, start)?;
            }
            Ok(lead(team))
        })
    }

    /// Waits until every thread has made what it needs, and hands it over if all of them could.
    ///
    /// # Errors
    ///
    /// Why one of them could not, for each of them; or that the leader is done.
    pub fn all_ready<H>(&self, made: Result<H, String>) -> Result<H, String> {
        let made = made.map_err(|reason| self.say(reason));
        if !self.wait() {
            self.say("the others have stopped".into());
        }
        match (self.said(), made) {
            (None, Ok(made)) => Ok(made),
            (reason, _) => Err(reason.unwrap_or_default()),
        }
    }

    /// The first reason is the one that counts. A lock is poisoned only by a panic, which ends the
    /// round anyway.
    fn say(&self, reason: String) {
        self.not_ready.lock().unwrap_or_else(|e| e.into_inner()).get_or_insert(reason);
    }

    fn said(&self) -> Option<String> {
        self.not_ready.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }

    /// Spins until every thread has come here as often as this one, or none will: a sleeping barrier
    /// would wake them microseconds apart. `false` once the leader is done.
    pub fn wait(&self) -> bool {
        let before = self.arrived.fetch_add(1, Ordering::AcqRel);
        let all = (before / self.size + 1) * self.size;
        while self.arrived.load(Ordering::Acquire) < all && !self.stopped() {
            std::hint::spin_loop();
        }
        !self.stopped()
    }

    /// Whether the leader is done.
    #[inline(always)]
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

struct StopOnPanic<'a>(&'a Team);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop.store(true, Ordering::Relaxed);
        }
    }
}

struct StopOnDrop<'a>(&'a Team);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As where pinning is not permitted: the others' numbers are but names.
    const ANYWHERE: usize = usize::MAX;

    #[test]
    fn followers_run_until_the_leader_is_done() {
        let rounds = AtomicUsize::new(0);
        let result = Team::pinned(
            0,
            &[0],
            |team, _| {
                while !team.stopped() {
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
        let follow = |team: &Team, _| {
            for _ in 0..5 {
                steps.fetch_add(1, Ordering::Relaxed);
                team.wait();
                team.wait();
            }
        };
        let seen = Team::pinned(0, &[0, 0], follow, |team| {
            let look = |_| {
                team.wait();
                let seen = steps.load(Ordering::Relaxed);
                team.wait();
                seen
            };
            (0..5).map(look).collect::<Vec<usize>>()
        });
        assert_eq!(seen.unwrap(), (1..=5).map(|step| 2 * step).collect::<Vec<usize>>());
    }

    #[test]
    fn all_learn_that_one_is_not_ready() {
        let make = |cpu| if cpu == 2 { Err("no memory".to_owned()) } else { Ok(cpu) };
        let told = AtomicUsize::new(0);
        let follow = |team: &Team, cpu| {
            let said = team.all_ready(make(cpu)).err();
            told.fetch_add(usize::from(said.as_deref() == Some("no memory")), Ordering::Relaxed);
        };
        let lead = |team: &Team| team.all_ready(make(0));
        assert_eq!(Team::pinned(ANYWHERE, &[1, 2], follow, lead).unwrap(), Err("no memory".into()));
        assert_eq!(told.into_inner(), 2);
        let follow = |team: &Team, cpu| {
            assert_eq!(team.all_ready(make(cpu)), Ok(cpu));
            team.wait();
        };
        let lead = |team: &Team| {
            let made = team.all_ready(make(0));
            team.wait();
            made
        };
        assert_eq!(Team::pinned(ANYWHERE, &[1, 3], follow, lead).unwrap(), Ok(0));
    }

    #[test]
    fn followers_that_may_be_anywhere_wait_for_no_one() {
        let done = AtomicUsize::new(0);
        let follower = |team: &Team| {
            done.fetch_add(1, Ordering::Relaxed);
            while !team.stopped() {
                std::thread::yield_now();
            }
        };
        let lead = |_: &Team| {
            while done.load(Ordering::Relaxed) < 3 {
                std::thread::yield_now();
            }
        };
        Team::unpinned([&follower; 3].into_iter(), lead).unwrap();
    }

    #[test]
    fn a_cpu_that_cannot_be_had_is_an_error_where_others_can() {
        let cpu = card::machine::Machine::detect().allowed_cpus()[0];
        let led = Team::pinned(cpu, &[cpu, 100_000], |_, _| panic!("nothing to follow"), |_| ());
        let said = led.unwrap_err().to_string();
        assert!(said.starts_with("CPU 100000 cannot be had: sched_setaffinity"), "{said}");
    }

    #[test]
    fn a_team_of_one_needs_no_one() {
        assert_eq!(Team::pinned(0, &[], |_, _| (), |_| 5).unwrap(), 5);
    }

    #[test]
    fn a_follower_that_panics_keeps_nobody_waiting() {
        let ran = std::panic::catch_unwind(|| {
            let follow = |_: &Team, cpu| assert_ne!(cpu, 1, "on purpose");
            Team::pinned(ANYWHERE, &[0, 1], follow, |team| while team.wait() {})
        });
        assert!(ran.is_err());
    }

    #[test]
    fn a_leader_that_panics_leaves_no_one_spinning() {
        let led = std::panic::catch_unwind(|| {
            let follow = |team: &Team, _| {
                while !team.stopped() {
                    std::thread::yield_now();
                }
            };
            Team::pinned(0, &[0], follow, |_| panic!("on purpose"))
        });
        assert!(led.is_err());
    }
}
