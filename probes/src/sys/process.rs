//! The life of a child process.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd};

/// Ends the calling process when its parent ends, so that no probe outlives a killed run; `false`
/// where that is not permitted.
pub fn die_with_parent() -> bool {
    // SAFETY: PR_SET_PDEATHSIG takes a signal number and touches no memory of ours.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == 0 }
}

/// Whether this process was told to ignore that signal, as `nohup` does it with a hang-up.
pub fn ignores(signal: libc::c_int) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a null action changes nothing; the pointer is to a whole structure.
    unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) };
    // SAFETY: all-zero bytes are a valid sigaction, so it is initialised in any case.
    let action = unsafe { action.assume_init() };
    action.sa_sigaction == libc::SIG_IGN
}

/// Kills a process that leads a group of its own, and all of the group.
pub fn kill_group(leader: u32) {
    // 0 and 1 would be this process's own group and every process there is.
    if let Some(group) = i32::try_from(leader).ok().filter(|&group| group > 1) {
        // SAFETY: takes numbers and touches no memory of ours.
        unsafe { libc::kill(-group, libc::SIGKILL) };
    }
}

/// A copy of this process that does one thing. It ends when the thread that made it does, and when
/// this value is dropped.
#[derive(Debug)]
pub struct Forked(libc::pid_t);

impl Forked {
    /// Forks a process that does `work` and ends. The copy has the calling thread alone, and locks
    /// that others hold stay locked in it: `work` may make system calls, but not allocate or print.
    pub fn new(work: impl FnOnce()) -> io::Result<Forked> {
        // SAFETY: takes no arguments and touches no memory of ours.
        let parent = unsafe { libc::getpid() };
        // SAFETY: the copy does no more than what is said above, and never returns from here.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                // The parent may have ended before the child asked to be told.
                // SAFETY: takes no arguments and touches no memory of ours.
                if die_with_parent() && unsafe { libc::getppid() } == parent {
                    work();
                }
                // SAFETY: ends the process without running what belongs to its parent.
                unsafe { libc::_exit(0) }
            }
            child => Ok(Forked(child)),
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
        let (id, how) = (self.0.cast_unsigned(), libc::WEXITED | libc::WNOHANG | libc::WNOWAIT);
        // SAFETY: the pointer is to a whole siginfo_t; WNOWAIT leaves the process to be waited for.
        let done = unsafe { libc::waitid(libc::P_PID, id, info.as_mut_ptr(), how) };
        // SAFETY: all-zero bytes are a valid siginfo_t, so it is initialised in any case.
        let info = unsafe { info.assume_init() };
        // SAFETY: waitid has filled in the fields of a child, or left them 0.
        done != 0 || unsafe { info.si_pid() } != 0
    }
}

impl Drop for Forked {
    fn drop(&mut self) {
        // SAFETY: takes numbers; the process has not been waited for, so that the id is still its.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
        // SAFETY: a null status is allowed; nothing else is written to.
        while unsafe { libc::waitpid(self.0, std::ptr::null_mut(), 0) } == -1
            && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
        {}
    }
}

/// Keeps the C library's allocator to one heap. Another one for each thread reserves 64 MiB of
/// address space, of which a small limit has none to spare.
pub fn keep_one_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets a number in the allocator and touches no memory of ours.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1)
    };
}

/// What children end with, so that no other end is taken for theirs.
const DONE: libc::c_int = 42;

/// Forks and waits for the child's end so many times. A child does nothing but end, so that none
/// is left behind whatever becomes of this process.
pub fn fork_each(times: u64) -> io::Result<()> {
    for _ in 0..times {
        // SAFETY: the child calls nothing but _exit, which is safe whatever other threads held.
        match unsafe { libc::fork() } {
            -1 => return Err(io::Error::last_os_error()),
            // SAFETY: ends the child at once; nothing of it is needed any more.
            0 => unsafe { libc::_exit(DONE) },
            child => wait_for(child)?,
        }
    }
    Ok(())
}

/// Whether a child that does this lives to tell: for what a filter of system calls may kill for.
pub fn survives(act: fn()) -> io::Result<bool> {
    // SAFETY: the child runs one function of ours, which takes no lock and allocates nothing.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            // SAFETY: the structure is whole. If it is killed, nobody wants its memory on disk.
            unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
            act();
            // SAFETY: ends the child; nothing of it is needed any more.
            unsafe { libc::_exit(DONE) }
        }
        child => Ok(wait_for(child).is_ok()),
    }
}

/// An error unless the child ended as children do here.
fn wait_for(child: libc::pid_t) -> io::Result<()> {
    let mut status = 0;
    // SAFETY: the pointer is to an int; the child is ours and waited for once.
    while unsafe { libc::waitpid(child, &raw mut status, 0) } != child {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    let right = libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == DONE;
    if right { Ok(()) } else { Err(io::Error::other(format!("a child ended with {status:#x}"))) }
}

/// A program of two instructions that ends at once, in memory: what starting a program costs
/// without what any particular program does first.
#[derive(Debug)]
pub struct TinyProgram {
    _file: File,
    path: CString,
}

impl TinyProgram {
    /// Writes it.
    pub fn new() -> io::Result<TinyProgram> {
        // SAFETY: the name is a constant C string. It must survive the exec for no one.
        let fd = unsafe { libc::memfd_create(c"tiny".as_ptr(), libc::MFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and belongs to no one else.
        let mut file = unsafe { File::from_raw_fd(fd) };
        file.write_all(&tiny_elf())?;
        // A program that is open for writing cannot be started: the path is that of a second,
        // read-only description.
        let file = File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        Ok(TinyProgram { _file: file, path })
    }

    /// Starts it by posix_spawn and waits for its end so many times.
    pub fn spawn_each(&self, times: u64) -> io::Result<()> {
        let name = c"tiny".as_ptr().cast_mut();
        let arguments = [name, std::ptr::null_mut()];
        let environment = [std::ptr::null_mut()];
        for _ in 0..times {
            let mut child = 0;
            // SAFETY: path, arguments and environment are C strings in lists that end in null and
            // outlive the call; neither actions nor attributes are given.
            let error = unsafe {
                libc::posix_spawn(
                    &raw mut child,
                    self.path.as_ptr(),
                    std::ptr::null(),
                    std::ptr::null(),
                    arguments.as_ptr(),
                    environment.as_ptr(),
                )
            };
            if error != 0 {
                return Err(io::Error::from_raw_os_error(error));
            }
            wait_for(child)?;
        }
        Ok(())
    }
}

/// Where the program is loaded.
const BASE: u64 = 0x40_0000;

/// The smallest file that Linux runs: its two headers and the instructions.
fn tiny_elf() -> Vec<u8> {
    #[cfg(target_arch = "x86_64")]
    // mov edi, 42; mov eax, 60 (exit); syscall
    const CODE: &[u8] = &[0xbf, DONE as u8, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05];
    #[cfg(target_arch = "aarch64")]
    // mov x0, 42; mov x8, 93 (exit); svc 0
    const CODE: &[u8] = &[0x40, 0x05, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 1, 0, 0, 0xd4];
    #[cfg(target_arch = "x86_64")]
    const MACHINE: u16 = 62;
    #[cfg(target_arch = "aarch64")]
    const MACHINE: u16 = 183;
    const HEADERS: u16 = 64 + 56;
    let length = u64::from(HEADERS) + CODE.len() as u64;
    let mut elf = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let half = |elf: &mut Vec<u8>, value: u16| elf.extend(value.to_le_bytes());
    let word = |elf: &mut Vec<u8>, value: u32| elf.extend(value.to_le_bytes());
    let long = |elf: &mut Vec<u8>, value: u64| elf.extend(value.to_le_bytes());
    // An executable for this machine; entry, then the program headers right behind this one.
    half(&mut elf, 2);
    half(&mut elf, MACHINE);
    word(&mut elf, 1);
    long(&mut elf, BASE + u64::from(HEADERS));
    long(&mut elf, 64);
    long(&mut elf, 0);
    word(&mut elf, 0);
    for value in [64, 56, 1, 64, 0, 0] {
        half(&mut elf, value);
    }
    // One segment: all of the file, to read and to execute.
    word(&mut elf, 1);
    word(&mut elf, 5);
    for value in [0, BASE, BASE, length, length, 0x1000] {
        long(&mut elf, value);
    }
    elf.extend_from_slice(CODE);
    elf
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn pause() {
        // SAFETY: takes a number.
        unsafe { libc::usleep(1000) };
    }

    #[test]
    fn a_copy_does_its_work_and_ends() {
        let (read, write) = io::pipe().unwrap();
        let copy = Forked::new(|| {
            let _ = io::Write::write(&mut &write, b"hello");
        })
        .unwrap();
        let mut said = [0; 5];
        io::Read::read_exact(&mut &read, &mut said).unwrap();
        assert_eq!(&said, b"hello");
        let until = Instant::now() + Duration::from_secs(20);
        while !copy.has_ended() && Instant::now() < until {
            pause();
        }
        assert!(copy.has_ended());
    }

    #[test]
    fn a_copy_is_gone_when_it_is_dropped() {
        let (read, write) = io::pipe().unwrap();
        let copy = Forked::new(|| {
            loop {
                pause();
            }
        });
        let copy = copy.unwrap();
        assert!(!copy.has_ended());
        drop((copy, write));
        // The end of the pipe that the copy had is closed.
        assert_eq!(io::Read::read(&mut &read, &mut [0; 1]).unwrap(), 0);
    }

    #[test]
    fn no_one_is_killed_by_a_number_that_means_many() {
        kill_group(0);
        kill_group(1);
        kill_group(u32::MAX);
    }

    #[test]
    fn children_come_and_go() {
        fork_each(3).unwrap();
        TinyProgram::new().unwrap().spawn_each(3).unwrap();
    }

    #[test]
    #[allow(clippy::zombie_processes, reason = "it is waited for by what is tested")]
    fn another_end_than_theirs_is_an_error() {
        let false_ = std::process::Command::new("false").spawn().unwrap();
        let error = wait_for(false_.id().cast_signed()).unwrap_err();
        assert!(error.to_string().contains("0x100"), "{error}");
        assert!(wait_for(1).is_err(), "no child of ours");
    }

    #[test]
    fn a_child_that_is_killed_does_not_survive() {
        assert!(survives(|| ()).unwrap());
        assert!(!survives(|| std::process::abort()).unwrap());
    }
}
