//! The life of a child process.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{call, file};

/// Ends the calling process when its parent ends, and now if it has ended already, so that no probe
/// outlives a killed run; `false` where that is not permitted.
pub fn die_with_parent(parent: u32) -> bool {
    // SAFETY: PR_SET_PDEATHSIG takes a signal number and touches no memory of ours.
    let asked = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == 0 };
    if std::os::unix::process::parent_id() != parent {
        // SAFETY: ends the process, whose results nobody waits for.
        unsafe { libc::_exit(FAILED) }
    }
    asked
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

/// How the C library numbers resources.
#[cfg(target_env = "gnu")]
pub(super) type Resource = libc::__rlimit_resource_t;
/// The same.
#[cfg(not(target_env = "gnu"))]
pub(super) type Resource = libc::c_int;

/// What this process may have of a resource now (`ulimit`); without a limit the largest number.
pub(super) fn limit(of: Resource) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the pointer is to a whole rlimit; a call that fails leaves it as it is.
    unsafe { libc::getrlimit(of, &raw mut limit) };
    limit.rlim_cur
}

/// How large the first thread's stack may grow, bytes (`ulimit -s`).
pub fn stack_limit() -> u64 {
    limit(libc::RLIMIT_STACK)
}

/// Makes a write beyond the limit on the size of files (`ulimit -f`) an error, for this process and those
/// that it starts, where it would else be a deadly signal.
pub fn outlive_file_size_limit() {
    // SAFETY: to ignore a signal installs no code of ours.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
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
    /// Forks a process that does `work` and ends.
    ///
    /// # Safety
    /// The copy has the calling thread alone, and locks that others hold stay locked in it: `work`
    /// may make system calls, but not allocate, print or wait for a thread.
    pub(super) unsafe fn new(work: impl FnOnce()) -> io::Result<Forked> {
        let parent = std::process::id();
        // SAFETY: the copy does no more than what the caller promises, and never returns from here.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => end_after(|| {
                if die_with_parent(parent) {
                    work();
                }
            }),
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

/// Lets every other process come first.
pub fn give_way() {
    const NICE: libc::c_int = 10;
    // SAFETY: changes the priority of this process alone; that it may not go further down does no harm.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
}

/// Keeps the C library's allocator to one heap. Another one for each thread reserves 64 MiB of
/// address space, of which a small limit has none to spare.
pub fn limit_malloc_arenas() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets a number in the allocator and touches no memory of ours.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1)
    };
}

/// Keeps memory that was freed at the end of the heap. Where its end happens to lie near the limit, each
/// block that comes and goes would be asked of the kernel and given back: 2.8 µs for a vector of 8 KB
/// instead of 1.0, in all rounds of three runs of five.
pub fn keep_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets a number in the allocator and touches no memory of ours.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, 64 << 20)
    };
}

/// What children end with, so that no other end is taken for theirs.
const DONE: libc::c_int = 42;

/// What they end with if they could not do their work.
const FAILED: libc::c_int = 1;

/// Ends a copy of a process when it has done its work, without running what belongs to its parent:
/// neither by returning nor by a panic does it get to its parent's part of the stack.
fn end_after(work: impl FnOnce()) -> ! {
    let done = catch_unwind(AssertUnwindSafe(work)).is_ok();
    // SAFETY: ends the process; nothing of it is needed any more.
    unsafe { libc::_exit(if done { DONE } else { FAILED }) }
}

/// Forks and waits for the child's end so many times. A child does nothing but end, so that none
/// is left behind whatever becomes of this process.
///
/// # Errors
/// If there may be no more processes, or a child ends otherwise.
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

/// Whether a child that makes a call that does not exist lives to tell: a filter of system calls may
/// kill for that.
///
/// # Errors
/// If there may be no more processes.
pub fn survives_invalid_call() -> io::Result<bool> {
    // SAFETY: one system call.
    unsafe { survives(|| _ = call::invalid_each(1)) }
}

/// Whether a child that does this lives to tell.
///
/// # Safety
/// As for [`Forked::new`].
unsafe fn survives(act: impl FnOnce()) -> io::Result<bool> {
    // SAFETY: the child makes a system call and does what the caller promises.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => end_after(|| {
            let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            // SAFETY: the structure is whole. If it is killed, nobody wants its memory on disk.
            unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
            act();
        }),
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
    ///
    /// # Errors
    /// As for [`file::memfd`], or without /proc.
    pub fn new() -> io::Result<TinyProgram> {
        let mut file = file::memfd(file::Content::Program)?;
        file.write_all(&tiny_elf())?;
        // A program that is open for writing cannot be started: the path is that of a second,
        // read-only description.
        let file = File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        Ok(TinyProgram { _file: file, path })
    }

    /// Starts it by posix_spawn and waits for its end so many times.
    ///
    /// # Errors
    /// If it may not be started, or a child ends otherwise.
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

    fn wait_for_end(copy: &Forked) {
        let until = Instant::now() + Duration::from_secs(20);
        while !copy.has_ended() && Instant::now() < until {
            pause();
        }
        assert!(copy.has_ended());
    }

    #[test]
    fn a_copy_does_its_work_and_ends() {
        let (read, write) = io::pipe().unwrap();
        let hello = || _ = io::Write::write(&mut &write, b"hello");
        // SAFETY: one system call.
        let copy = unsafe { Forked::new(hello) }.unwrap();
        let mut said = [0; 5];
        io::Read::read_exact(&mut &read, &mut said).unwrap();
        assert_eq!(&said, b"hello");
        wait_for_end(&copy);
    }

    /// Says so when it is dropped.
    struct Dropped<'a>(&'a io::PipeWriter);

    impl Drop for Dropped<'_> {
        fn drop(&mut self) {
            let _ = io::Write::write(&mut self.0, b"!");
        }
    }

    #[test]
    fn a_copy_that_panics_drops_nothing_of_its_parent() {
        let (read, write) = io::pipe().unwrap();
        let of_the_parent = Dropped(&write);
        // SAFETY: a panic without a message takes no lock.
        let copy = unsafe { Forked::new(|| std::panic::resume_unwind(Box::new(()))) };
        wait_for_end(&copy.unwrap());
        std::mem::forget(of_the_parent);
        drop(write);
        assert_eq!(io::Read::read(&mut &read, &mut [0; 1]).unwrap(), 0);
    }

    #[test]
    fn a_copy_is_gone_when_it_is_dropped() {
        let (read, write) = io::pipe().unwrap();
        let forever = || {
            loop {
                pause();
            }
        };
        // SAFETY: sleeping takes no lock.
        let copy = unsafe { Forked::new(forever) }.unwrap();
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
        // SAFETY: it does nothing.
        let idle = unsafe { survives(|| ()) };
        // SAFETY: it sends itself a signal.
        let killed = unsafe { survives(|| std::process::abort()) };
        assert!(idle.unwrap() && !killed.unwrap());
        assert!(survives_invalid_call().unwrap());
    }

    #[test]
    fn who_has_lost_its_parent_ends() {
        let here = std::process::id();
        for (parent, lives) in [(here, true), (u32::MAX, false)] {
            // SAFETY: two system calls.
            let survives = unsafe { survives(|| _ = die_with_parent(parent)) };
            assert_eq!(survives.unwrap(), lives, "{parent}");
        }
    }
}
