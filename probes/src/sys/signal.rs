//! Signals that a thread sends to itself.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// Has no meaning of its own.
const SIGNAL: libc::c_int = libc::SIGUSR1;

/// Deliveries that the handler has seen.
static SEEN: AtomicU64 = AtomicU64::new(0);

extern "C" fn handler(_: libc::c_int) {
    SEEN.fetch_add(1, Ordering::Relaxed);
}

/// As long as it lives, the signal is counted; afterwards it means what it meant before.
#[derive(Debug)]
pub struct Counted {
    before: libc::sigaction,
}

impl Counted {
    /// Installs the handler.
    ///
    /// # Errors
    /// If a filter of system calls refuses.
    pub fn install() -> io::Result<Counted> {
        let zero = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: all-zero bytes are a valid sigaction: no flags, nothing masked.
        let mut action = unsafe { zero.assume_init() };
        action.sa_sigaction = handler as *const () as usize;
        let mut before = action;
        // SAFETY: both are whole structures, and the handler only adds to an atomic.
        let done = unsafe { libc::sigaction(SIGNAL, &raw const action, &raw mut before) };
        if done == 0 { Ok(Counted { before }) } else { Err(io::Error::last_os_error()) }
    }

    /// Sends the signal to the calling thread so many times; how many came.
    ///
    /// # Errors
    /// If a filter of system calls refuses.
    pub fn send_each(&self, times: u64) -> io::Result<u64> {
        let before = SEEN.load(Ordering::Relaxed);
        // SAFETY: takes no arguments and touches no memory of ours.
        let thread = unsafe { libc::gettid() };
        let process = std::process::id();
        for _ in 0..times {
            // SAFETY: the signal has a handler, which may interrupt this thread anywhere.
            let sent = unsafe { libc::syscall(libc::SYS_tgkill, process, thread, SIGNAL) };
            if sent != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(SEEN.load(Ordering::Relaxed) - before)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        // SAFETY: the structure is what the kernel handed out.
        unsafe { libc::sigaction(SIGNAL, &raw const self.before, std::ptr::null_mut()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_comes() {
        let counted = Counted::install().unwrap();
        assert_eq!(counted.send_each(100).unwrap(), 100);
    }
}
