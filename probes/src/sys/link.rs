//! Messages between two tasks, one at a time, and the life of the second task, which may be a copy of
//! the process.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::sync::atomic::{AtomicU32, Ordering};

use super::ipc::{self, Futex, SharedPage};
use super::process::Forked;
use super::thread::{current_cpu, usage};

/// What carries a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// Four bytes through a pipe.
    Pipe,
    /// A word of common memory, on which the receiver sleeps.
    Futex,
    /// A counter that the receiver reads.
    Eventfd,
}

impl Mechanism {
    /// All of them.
    pub const ALL: [Mechanism; 3] = [Mechanism::Pipe, Mechanism::Futex, Mechanism::Eventfd];

    /// As in parameters and ids.
    pub const fn name(self) -> &'static str {
        match self {
            Mechanism::Pipe => "pipe",
            Mechanism::Futex => "futex",
            Mechanism::Eventfd => "eventfd",
        }
    }
}

/// How a task waits for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// In the kernel, which gives its CPU to others.
    Asleep,
    /// By looking again and again.
    Awake,
}

/// One direction.
#[derive(Debug)]
pub enum Channel {
    /// Both ends of a pipe.
    Pipe(PipeReader, PipeWriter),
    /// Number of a word of the shared page: 0 where there is no message.
    Futex(usize),
    /// The counter.
    Eventfd(File),
}

/// Answer at once.
pub const PING: u32 = 1;
/// Say how often you were switched out, and answer.
pub const REPORT: u32 = 2;
/// Give your CPU away until told to stop, then answer.
pub const YIELD: u32 = 3;
/// End.
pub const STOP: u32 = 4;

/// Word of the shared page for messages to the partner.
const THERE: usize = 0;
/// And for its answers, on a line of its own.
pub const BACK: usize = 32;
/// What the partner says of itself when it begins: the CPU it is on, and 1 more.
pub const PLACE: usize = 64;
/// Its switches.
pub const SWITCHES: usize = 65;
/// Its calls that gave its CPU away, or tried to.
pub const YIELDS: usize = 66;
/// Not 0 when it shall no longer give its CPU away.
pub const ENOUGH: usize = 96;

/// What the two have in common.
#[derive(Debug)]
pub struct Link {
    /// To the partner.
    pub there: Channel,
    /// From it.
    pub back: Channel,
    page: SharedPage,
    /// How words are waited for.
    pub futex: Futex,
    waiting: Waiting,
}

impl Channel {
    fn new(mechanism: Mechanism, word: usize, waiting: Waiting) -> io::Result<Channel> {
        Ok(match mechanism {
            Mechanism::Pipe => {
                let (read, write) = io::pipe()?;
                if waiting == Waiting::Awake {
                    ipc::set_nonblocking(&read)?;
                }
                Channel::Pipe(read, write)
            }
            Mechanism::Futex => Channel::Futex(word),
            Mechanism::Eventfd => {
                let event = ipc::eventfd()?;
                if waiting == Waiting::Awake {
                    ipc::set_nonblocking(&event)?;
                }
                Channel::Eventfd(event)
            }
        })
    }
}

impl Link {
    /// A link without a message, between the tasks that the futex is for.
    ///
    /// # Errors
    /// If this process may open no more files, or there is no memory.
    pub fn new(mechanism: Mechanism, futex: Futex, waiting: Waiting) -> io::Result<Link> {
        Ok(Link {
            there: Channel::new(mechanism, THERE, waiting)?,
            back: Channel::new(mechanism, BACK, waiting)?,
            page: SharedPage::new()?,
            futex,
            waiting,
        })
    }

    /// A word of the shared page.
    pub fn word(&self, at: usize) -> &AtomicU32 {
        &self.page.words()[at]
    }

    /// Sends a message.
    ///
    /// # Errors
    /// If a pipe has no reader any more.
    pub fn send(&self, channel: &Channel, message: u32) -> io::Result<()> {
        match channel {
            Channel::Pipe(_, write) => (&*write).write_all(&message.to_ne_bytes()),
            Channel::Futex(at) => {
                self.word(*at).store(message, Ordering::Release);
                self.futex.wake(self.word(*at));
                Ok(())
            }
            Channel::Eventfd(event) => (&*event).write_all(&u64::from(message).to_ne_bytes()),
        }
    }

    /// Waits for a message.
    ///
    /// # Errors
    /// If a pipe has no writer any more.
    pub fn receive(&self, channel: &Channel) -> io::Result<u32> {
        match channel {
            Channel::Pipe(read, _) => {
                let mut message = [0; 4];
                read_message(&mut &*read, &mut message)?;
                Ok(u32::from_ne_bytes(message))
            }
            Channel::Futex(at) => {
                let word = self.word(*at);
                loop {
                    let message = word.load(Ordering::Acquire);
                    if message != 0 {
                        word.store(0, Ordering::Relaxed);
                        return Ok(message);
                    }
                    match self.waiting {
                        Waiting::Asleep => self.futex.wait(word, 0),
                        Waiting::Awake => std::hint::spin_loop(),
                    }
                }
            }
            Channel::Eventfd(event) => {
                let mut sum = [0; 8];
                read_message(&mut &*event, &mut sum)?;
                // One message at a time: the sum is the message.
                Ok(u64::from_ne_bytes(sum) as u32)
            }
        }
    }

    /// A copy of this process in which [`Link::serve`] is all that happens.
    ///
    /// # Errors
    /// If there may be no more processes.
    pub fn serve_in_copy(&self) -> io::Result<Forked> {
        // SAFETY: `serve` makes system calls and works on words; it allocates nothing, takes no lock
        // and waits for no thread.
        unsafe { Forked::new(|| self.serve()) }
    }

    /// The partner's life: it makes system calls and nothing else, so that a copy of the process can
    /// live it.
    pub fn serve(&self) {
        let here = current_cpu().and_then(|cpu| u32::try_from(cpu).ok()).unwrap_or(u32::MAX - 1);
        self.word(PLACE).store(here + 1, Ordering::Release);
        while let Ok(message) = self.receive(&self.there) {
            match message {
                PING => {}
                REPORT => {
                    let usage = usage();
                    // Differences are taken: it may wrap.
                    let switches = (usage.nvcsw + usage.nivcsw) as u32;
                    self.word(SWITCHES).store(switches, Ordering::Release);
                }
                YIELD => {
                    let (before, mut calls) = (usage(), 0_u32);
                    while self.word(ENOUGH).load(Ordering::Relaxed) == 0 {
                        ipc::yield_now();
                        calls = calls.wrapping_add(1);
                    }
                    let after = usage();
                    let all = (after.nvcsw + after.nivcsw) - (before.nvcsw + before.nivcsw);
                    self.word(YIELDS).store(calls, Ordering::Release);
                    self.word(SWITCHES).store(all as u32, Ordering::Release);
                }
                _ => return,
            }
            if self.send(&self.back, message).is_err() {
                return;
            }
        }
    }
}

/// A message is read whole or not at all.
fn read_message(from: &mut impl Read, message: &mut [u8]) -> io::Result<()> {
    loop {
        match from.read(message) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => std::hint::spin_loop(),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}
