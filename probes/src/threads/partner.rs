//! A second task, a thread or a process, with which messages are exchanged one at a time.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::pinning;
use crate::sys::ipc::Futex;
use crate::sys::link::{
    BACK, Channel, ENOUGH, Link, PING, PLACE, REPORT, STOP, SWITCHES, YIELD, YIELDS,
};
pub use crate::sys::link::{Mechanism, Waiting};
use crate::sys::process::Forked;

/// What the second task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A thread of this process.
    Thread,
    /// A process of its own.
    Process,
}

impl Kind {
    /// Both.
    pub const ALL: [Kind; 2] = [Kind::Thread, Kind::Process];

    /// As in parameters and ids.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Thread => "thread",
            Kind::Process => "process",
        }
    }

    fn futex(self) -> Futex {
        match self {
            Kind::Thread => Futex::Private,
            Kind::Process => Futex::Shared,
        }
    }
}

/// What a partner did while it gave its CPU away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Yielded {
    /// Its calls.
    pub calls: u64,
    /// How often it was switched out.
    pub switches: u64,
}

/// The second task, which ends with this value.
#[derive(Debug)]
pub struct Partner {
    link: Arc<Link>,
    body: Body,
}

#[derive(Debug)]
enum Body {
    /// Taken when it is joined.
    Thread(Option<JoinHandle<()>>),
    Process(Forked),
}

/// Starts a thread that does little but make system calls, which need next to no stack. It must be
/// told when to end.
///
/// # Errors
///
/// A limit on threads or memory.
pub fn start_thread(serve: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    const STACK: usize = 64 << 10;
    std::thread::Builder::new().stack_size(STACK).spawn(serve)
}

/// How long a partner may take until it serves. Where there is none after that, there will be none.
const START_TIMEOUT: Duration = Duration::from_secs(2);

impl Partner {
    /// Starts one on a CPU. The calling thread goes on on `home`.
    ///
    /// # Errors
    ///
    /// That a pipe, a thread or a process could not be had.
    pub fn start(
        (mechanism, kind, waiting): (Mechanism, Kind, Waiting),
        cpu: usize,
        home: usize,
    ) -> io::Result<Partner> {
        let link = Arc::new(Link::new(mechanism, kind.futex(), waiting)?);
        // It inherits the place.
        pinning::pin(cpu);
        let body = body(&link, kind);
        pinning::pin(home);
        let partner = Partner { link, body: body? };
        partner.wait_for(cpu)?;
        Ok(partner)
    }

    /// Until it serves, on the CPU that it was to be on.
    fn wait_for(&self, cpu: usize) -> io::Result<()> {
        let until = Instant::now() + START_TIMEOUT;
        loop {
            let place = self.link.word(PLACE).load(Ordering::Acquire) as usize;
            let ended = match &self.body {
                Body::Thread(thread) => thread.as_ref().is_none_or(JoinHandle::is_finished),
                Body::Process(process) => process.has_ended(),
            };
            match place {
                0 if ended => return Err(io::Error::other("it ended at once")),
                0 if Instant::now() > until => return Err(io::ErrorKind::TimedOut.into()),
                0 => std::thread::sleep(Duration::from_micros(50)),
                place if place == cpu + 1 => return Ok(()),
                _ => return Err(io::Error::other(format!("it does not run on CPU {cpu}"))),
            }
        }
    }

    /// So many messages to the partner, each answered. A partner that fails leaves this waiting for
    /// the end of the round.
    ///
    /// # Errors
    ///
    /// That the partner has failed, or the channel.
    pub fn round_trips(&self, times: u64) -> io::Result<()> {
        (0..times).try_for_each(|_| self.ask(PING))
    }

    fn ask(&self, message: u32) -> io::Result<()> {
        self.link.send(&self.link.there, message)?;
        let answer = self.link.receive(&self.link.back)?;
        if answer == message { Ok(()) } else { Err(io::Error::other("a message was changed")) }
    }

    /// Wakes the partner and looks, without sleeping, for its answer. Only by futex.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn wake(&self) -> io::Result<()> {
        self.link.send(&self.link.there, PING)?;
        let back = self.link.word(BACK);
        while back.load(Ordering::Acquire) == 0 {
            std::hint::spin_loop();
        }
        back.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// How often it was switched out so far, for one reason or the other; wraps.
    ///
    /// # Errors
    ///
    /// That the partner does not say.
    pub fn switches(&self) -> io::Result<u32> {
        self.ask(REPORT)?;
        Ok(self.link.word(SWITCHES).load(Ordering::Acquire))
    }

    /// Runs `work` while the partner does nothing but give its CPU away, and says how often it did.
    ///
    /// # Errors
    ///
    /// That the partner has failed.
    pub fn while_yielding<T>(&self, work: impl FnOnce() -> T) -> io::Result<(T, Yielded)> {
        self.link.word(ENOUGH).store(0, Ordering::Relaxed);
        self.link.send(&self.link.there, YIELD)?;
        let done = work();
        self.link.word(ENOUGH).store(1, Ordering::Relaxed);
        self.link.receive(&self.link.back)?;
        let said = |word| u64::from(self.link.word(word).load(Ordering::Acquire));
        Ok((done, Yielded { calls: said(YIELDS), switches: said(SWITCHES) }))
    }
}

fn body(link: &Arc<Link>, kind: Kind) -> io::Result<Body> {
    Ok(match kind {
        Kind::Thread => {
            let link = Arc::clone(link);
            Body::Thread(Some(start_thread(move || link.serve())?))
        }
        Kind::Process => Body::Process(link.serve_in_copy()?),
    })
}

impl Drop for Partner {
    fn drop(&mut self) {
        // A process is killed when it is dropped; a thread must be told.
        if let Body::Thread(thread) = &mut self.body {
            let told = self.link.send(&self.link.there, STOP);
            // One that cannot be told ends with the round.
            let _ = told.map(|()| thread.take().map(JoinHandle::join));
        }
    }
}

/// The same calls by one task that has no one to switch to.
#[derive(Debug)]
pub struct Alone(Link);

impl Alone {
    /// A channel to oneself.
    ///
    /// # Errors
    ///
    /// That the channel could not be had.
    pub fn new(mechanism: Mechanism) -> io::Result<Alone> {
        Link::new(mechanism, Futex::Private, Waiting::Asleep).map(Alone)
    }

    /// Half of what one task does for a round trip: it sends a message, and receives one.
    ///
    /// # Errors
    ///
    /// Those of the channel.
    pub fn send_and_receive(&self, times: u64) -> io::Result<()> {
        let link = &self.0;
        for _ in 0..times {
            link.send(&link.there, PING)?;
            if let Channel::Futex(at) = link.there {
                // The call that would wait, had the message not come.
                link.futex.wait(link.word(at), 0);
            }
            link.receive(&link.there)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::ipc;
    use crate::sys::thread::{current_cpu, usage};

    fn home() -> usize {
        let cpu = (0..1024).find(|&cpu| pinning::pin(cpu)).unwrap();
        assert_eq!(current_cpu(), Some(cpu));
        cpu
    }

    #[test]
    fn partners_of_every_kind_answer_sleep_and_are_counted() {
        let home = home();
        for mechanism in Mechanism::ALL {
            for kind in Kind::ALL {
                let partner = Partner::start((mechanism, kind, Waiting::Asleep), home, home);
                let partner = partner.unwrap();
                let before = partner.switches().unwrap();
                partner.round_trips(50).unwrap();
                let slept = partner.switches().unwrap().wrapping_sub(before);
                assert!(slept >= 50, "{mechanism:?} {kind:?}: {slept}");
            }
        }
    }

    #[test]
    fn partners_that_do_not_sleep_answer_too() {
        let home = home();
        for mechanism in Mechanism::ALL {
            // On one CPU: each waits for the other's time slice.
            let how = (mechanism, Kind::Thread, Waiting::Awake);
            Partner::start(how, home, home).unwrap().round_trips(2).unwrap();
        }
    }

    #[test]
    fn a_partner_yields_until_the_work_is_done() {
        let home = home();
        for kind in Kind::ALL {
            let how = (Mechanism::Futex, kind, Waiting::Asleep);
            let partner = Partner::start(how, home, home).unwrap();
            let take_turns = || {
                let before = usage();
                let yields = || (0..100).for_each(|_| ipc::yield_now());
                let ((), theirs) = partner.while_yielding(yields).unwrap();
                let ours = usage().nivcsw - before.nivcsw;
                assert!(ours > 0 && theirs.calls > 0, "{ours} {theirs:?}");
                // It takes another one to begin and to end with.
                theirs.switches + 1 >= ours
            };
            // Now and then a third one wants the CPU, and is yielded to as well.
            assert!((0..20).any(|_| take_turns()), "they never take turns");
            partner.round_trips(1).unwrap();
        }
    }

    #[test]
    fn a_sleeper_is_woken() {
        let home = home();
        let how = (Mechanism::Futex, Kind::Thread, Waiting::Asleep);
        let partner = Partner::start(how, home, home).unwrap();
        (0..2).for_each(|_| partner.wake().unwrap());
    }

    #[test]
    fn one_that_cannot_be_where_it_should_is_an_error() {
        let how = (Mechanism::Pipe, Kind::Process, Waiting::Asleep);
        let said = Partner::start(how, 1_000_000, home()).unwrap_err();
        assert!(said.to_string().contains("1000000"), "{said}");
    }

    #[test]
    fn one_task_can_do_the_same_without_a_switch() {
        for mechanism in Mechanism::ALL {
            Alone::new(mechanism).unwrap().send_and_receive(10).unwrap();
        }
    }
}
