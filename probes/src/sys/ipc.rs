//! How two tasks wake each other: words on which the kernel lets them sleep, counters, time slices.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;

use super::memory::Pages;

/// A page of words that a forked process has in common with its parent, all 0 in the beginning.
#[derive(Debug)]
pub struct SharedPage(NonNull<AtomicU32>);

// SAFETY: the page is owned and never handed out; all access is through atomics.
unsafe impl Send for SharedPage {}
// SAFETY: as above.
unsafe impl Sync for SharedPage {}

impl SharedPage {
    /// Maps a page.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn new() -> io::Result<SharedPage> {
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice aliases nothing.
        let map = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                Pages::Small.bytes(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if map == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(map.cast()).map(SharedPage).ok_or(io::ErrorKind::OutOfMemory.into())
    }

    /// Its words.
    pub fn words(&self) -> &[AtomicU32] {
        // SAFETY: the page is mapped and zeroed, lives as long as self, and any bits are a valid
        // word.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr(), Pages::Small.bytes() / 4) }
    }
}

impl Drop for SharedPage {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no reference into it can outlive self.
        unsafe { libc::munmap(self.0.as_ptr().cast(), Pages::Small.bytes()) };
    }
}

/// Whose words a futex is among: the kernel finds private ones faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Futex {
    /// Threads of one process.
    Private,
    /// Several processes.
    Shared,
}

impl Futex {
    fn flags(self) -> libc::c_int {
        match self {
            Futex::Private => libc::FUTEX_PRIVATE_FLAG,
            Futex::Shared => 0,
        }
    }

    /// Sleeps until the word is woken, unless it is no longer what it was. May return early.
    pub fn wait(self, word: &AtomicU32, while_it_is: u32) {
        let operation = libc::FUTEX_WAIT | self.flags();
        let no_limit = std::ptr::null::<libc::timespec>();
        // SAFETY: the word outlives the call, and a null timeout is allowed.
        unsafe {
            libc::syscall(libc::SYS_futex, word.as_ptr(), operation, while_it_is, no_limit);
        }
    }

    /// Wakes one that sleeps on the word.
    pub fn wake(self, word: &AtomicU32) {
        let operation = libc::FUTEX_WAKE | self.flags();
        // SAFETY: the word outlives the call, which only looks at its address.
        unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, 1) };
    }
}

/// A counter that is 0, on which a reader waits for a writer.
///
/// # Errors
/// If this process may open no more files, or a filter of system calls refuses.
pub fn eventfd() -> io::Result<File> {
    // SAFETY: takes numbers and touches no memory of ours.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a fresh descriptor that nothing else owns.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// From now on, reading returns at once where there is nothing to read.
///
/// # Errors
/// If a filter of system calls refuses.
pub fn set_nonblocking(file: &impl AsFd) -> io::Result<()> {
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: takes numbers and touches no memory of ours; the descriptor is open.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    // SAFETY: as above.
    let done = unsafe { libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK) };
    if flags < 0 || done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Gives the rest of the time slice to whoever else waits for this CPU.
pub fn yield_now() {
    // SAFETY: takes no arguments and touches no memory of ours.
    unsafe { libc::sched_yield() };
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::sys::process::Forked;

    #[test]
    fn a_page_is_shared_with_a_copy_of_the_process() {
        let page = SharedPage::new().unwrap();
        assert_eq!(page.words().len(), Pages::Small.bytes() / 4);
        let word = &page.words()[7];
        let answer = || {
            word.store(3, Ordering::Release);
            Futex::Shared.wake(word);
        };
        // SAFETY: a store and a system call.
        let copy = unsafe { Forked::new(answer) }.unwrap();
        while word.load(Ordering::Acquire) == 0 {
            Futex::Shared.wait(word, 0);
        }
        assert_eq!(word.load(Ordering::Relaxed), 3);
        drop(copy);
    }

    #[test]
    fn a_word_that_has_changed_is_not_waited_for() {
        Futex::Private.wait(&AtomicU32::new(1), 0);
        Futex::Shared.wait(&AtomicU32::new(1), 0);
    }

    #[test]
    fn a_counter_adds_up_and_is_read_once() {
        let mut event = eventfd().unwrap();
        event.write_all(&2_u64.to_ne_bytes()).unwrap();
        event.write_all(&3_u64.to_ne_bytes()).unwrap();
        let mut sum = [0; 8];
        event.read_exact(&mut sum).unwrap();
        assert_eq!(u64::from_ne_bytes(sum), 5);
        set_nonblocking(&event).unwrap();
        assert_eq!(event.read(&mut sum).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
