//! What the kernel did to this thread, where it runs, and threads at their plainest.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of a thread, or of all, since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Voluntary context switches.
    pub nvcsw: u64,
    /// Involuntary context switches.
    pub nivcsw: u64,
    /// Page faults, minor and major.
    pub faults: u64,
}

/// Reads the counters of the calling thread.
pub fn usage() -> Usage {
    usage_of(libc::RUSAGE_THREAD)
}

/// Reads the counters of all threads of this process, those that have ended included.
pub fn usage_of_all() -> Usage {
    usage_of(libc::RUSAGE_SELF)
}

fn usage_of(whom: libc::c_int) -> Usage {
    let mut raw = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to a whole rusage; with a valid pointer it cannot fail.
    unsafe { libc::getrusage(whom, raw.as_mut_ptr()) };
    // SAFETY: all-zero bytes are a valid rusage, so it is initialised even if the call failed.
    let raw = unsafe { raw.assume_init() };
    Usage {
        nvcsw: raw.ru_nvcsw.cast_unsigned(),
        nivcsw: raw.ru_nivcsw.cast_unsigned(),
        faults: raw.ru_minflt.cast_unsigned() + raw.ru_majflt.cast_unsigned(),
    }
}

/// The CPU this thread runs on now; `None` where the kernel does not tell.
pub fn current_cpu() -> Option<usize> {
    // SAFETY: takes no arguments and touches no memory of ours.
    usize::try_from(unsafe { libc::sched_getcpu() }).ok()
}

thread_local! {
    /// The CPU that this thread has been pinned to.
    static HOME: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Remembers that the calling thread has been pinned to this CPU, for [`strayed`].
pub fn at_home(cpu: usize) {
    HOME.set(Some(cpu));
}

/// The CPU that the calling thread has been pinned to and the one that it is on, where something has
/// moved it: `taskset`, a cpuset, a CPU that was switched off. It asks the kernel for nothing.
pub fn strayed() -> Option<(usize, usize)> {
    HOME.get().zip(current_cpu()).filter(|(home, here)| home != here)
}

/// Lets the calling thread, and those it starts from now on, run on all of these CPUs; `false`
/// where that is not permitted.
pub fn set_affinity(cpus: &[usize]) -> bool {
    HOME.set(None);
    let words = cpus.iter().max().map_or(1, |most| most / 64 + 1);
    let mut mask = vec![0_u64; words];
    for cpu in cpus {
        mask[cpu / 64] |= 1 << (cpu % 64);
    }
    let (bytes, set) = (std::mem::size_of_val(&mask[..]), mask.as_ptr().cast());
    // SAFETY: the kernel reads so many bytes of the mask, which is as long.
    unsafe { libc::sched_setaffinity(0, bytes, set) == 0 }
}

/// Leaves a real-time class of the scheduler, in which a thread that spins keeps all others from its
/// CPU, those that it waits for among them; the name of the class, if it was in one.
///
/// # Errors
/// If the kernel does not let it go.
pub fn leave_real_time() -> io::Result<Option<&'static str>> {
    // Besides the class the number may say that children do not inherit it.
    const WHOLE: i64 = !(libc::SCHED_RESET_ON_FORK as i64);
    // By number: musl knows the names alone.
    // SAFETY: the call takes a number and touches no memory of ours.
    let class = match unsafe { libc::syscall(libc::SYS_sched_getscheduler, 0) } & WHOLE {
        class if class == i64::from(libc::SCHED_FIFO) => "SCHED_FIFO",
        class if class == i64::from(libc::SCHED_RR) => "SCHED_RR",
        class if class == i64::from(libc::SCHED_DEADLINE) => "SCHED_DEADLINE",
        _ => return Ok(None),
    };
    let priority: libc::c_int = 0;
    let (call, other) = (libc::SYS_sched_setscheduler, libc::SCHED_OTHER);
    // SAFETY: the kernel reads one sched_param, which is a priority and no more.
    match unsafe { libc::syscall(call, 0, other, &raw const priority) } {
        0 => Ok(Some(class)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Ticks that the hypervisor took from a CPU since boot (`steal` in /proc/stat).
pub fn steal_ticks(cpu: usize) -> Option<u64> {
    parse_steal(&std::fs::read_to_string("/proc/stat").ok()?, cpu)
}

fn parse_steal(stat: &str, cpu: usize) -> Option<u64> {
    let name = format!("cpu{cpu}");
    let line = stat.lines().find(|l| l.split(' ').next() == Some(name.as_str()))?;
    line.split_ascii_whitespace().nth(8)?.parse().ok()
}

/// Starts a thread and waits for its end so many times; how many of them ran. By the C library
/// alone: the standard library's threads also get a stack for signals, which takes half as long
/// again.
///
/// # Errors
/// If there may be no more threads.
pub fn start_each(times: u64) -> io::Result<u64> {
    let ran = AtomicU64::new(0);
    let argument = (&raw const ran).cast_mut().cast();
    for _ in 0..times {
        let mut thread = std::mem::MaybeUninit::uninit();
        // SAFETY: `ran`, to which the argument points, stays until the thread is joined.
        let error = unsafe {
            libc::pthread_create(thread.as_mut_ptr(), std::ptr::null(), count_one, argument)
        };
        if error != 0 {
            return Err(io::Error::from_raw_os_error(error));
        }
        // SAFETY: it was written when the thread was created.
        let thread = unsafe { thread.assume_init() };
        // SAFETY: the thread exists and is joined once.
        if unsafe { libc::pthread_join(thread, std::ptr::null_mut()) } != 0 {
            // It has no reason to fail. If it did, `ran` could go away before the thread has counted.
            std::process::abort();
        }
    }
    Ok(ran.into_inner())
}

extern "C" fn count_one(ran: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: `start_each` hands over a counter that outlives this thread.
    let ran = unsafe { &*ran.cast::<AtomicU64>() };
    ran.fetch_add(1, Ordering::Relaxed);
    std::ptr::null_mut()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steal_is_the_eighth_counter_of_the_right_cpu() {
        let stat =
            "cpu  1 2 3 4 5 6 7 99 9 10\ncpu1 1 2 3 4 5 6 7 8 9 10\ncpu10 0 0 0 0 0 0 0 77 0 0\n";
        assert_eq!(parse_steal(stat, 1), Some(8));
        assert_eq!(parse_steal(stat, 10), Some(77));
        assert_eq!(parse_steal(stat, 2), None);
    }

    #[test]
    fn every_thread_runs() {
        assert_eq!(start_each(5).unwrap(), 5);
    }

    #[test]
    fn a_thread_goes_where_it_may_and_nowhere_else() {
        let cpus = card::machine::Machine::detect().allowed_cpus().to_vec();
        let check = || {
            assert!(set_affinity(&cpus[..1]) && current_cpu() == cpus.first().copied());
            assert!(set_affinity(&cpus));
            assert!(!set_affinity(&[100_000]) && !set_affinity(&[]), "there are no such CPUs");
        };
        std::thread::scope(|scope| scope.spawn(check).join().unwrap());
    }

    #[test]
    fn a_fault_is_counted() {
        let before = usage();
        let fresh = vec![1_u8; 8 << 20];
        std::hint::black_box(&fresh);
        assert!(usage().faults > before.faults);
    }

    #[test]
    fn sleeping_is_a_voluntary_switch() {
        let before = usage();
        std::thread::sleep(std::time::Duration::from_millis(2));
        assert!(usage().nvcsw > before.nvcsw);
    }
}
