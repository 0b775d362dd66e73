//! Clocks of the kernel, and its timers.

use std::io;

/// Nanoseconds of CLOCK_MONOTONIC_RAW, which no one slews.
pub fn monotonic_raw_ns() -> u64 {
    nanoseconds(libc::CLOCK_MONOTONIC_RAW)
}

/// Nanoseconds that the calling thread has had a CPU.
pub fn thread_cpu_ns() -> u64 {
    nanoseconds(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Sleeps for so many nanoseconds, below a second. A signal ends it early, which is an error.
///
/// # Errors
/// If a signal came, or for a second and more.
pub fn sleep(ns: u32) -> io::Result<()> {
    let wanted = libc::timespec { tv_sec: 0, tv_nsec: ns.into() };
    let clock = libc::CLOCK_MONOTONIC;
    // SAFETY: the pointer is to a whole timespec; where the rest would go is not asked for.
    let error = unsafe { libc::clock_nanosleep(clock, 0, &raw const wanted, std::ptr::null_mut()) };
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

/// By how many nanoseconds the kernel may delay the calling thread's timers, to wake up for several
/// at once; `None` where it does not tell.
pub fn timer_slack() -> Option<u64> {
    // SAFETY: PR_GET_TIMERSLACK takes no argument and touches no memory of ours.
    u64::try_from(unsafe { libc::prctl(libc::PR_GET_TIMERSLACK) }).ok()
}

/// Sets it; 0 stands for the value the thread began with.
///
/// # Errors
/// If a filter of system calls refuses.
pub fn set_timer_slack(ns: u64) -> io::Result<()> {
    // SAFETY: PR_SET_TIMERSLACK takes a number and touches no memory of ours.
    let done = unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, ns) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn nanoseconds(clock: libc::clockid_t) -> u64 {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a whole timespec; both clocks exist since Linux 2.6.28.
    unsafe { libc::clock_gettime(clock, &raw mut ts) };
    ts.tv_sec.cast_unsigned() * 1_000_000_000 + ts.tv_nsec.cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeping_thread_has_no_cpu() {
        let (clock, cpu) = (monotonic_raw_ns(), thread_cpu_ns());
        std::thread::sleep(std::time::Duration::from_millis(20));
        let (slept, had) = (monotonic_raw_ns() - clock, thread_cpu_ns() - cpu);
        assert!(slept >= 20_000_000 && had < slept / 2, "{had} of {slept}");
    }

    #[test]
    fn a_sleep_is_never_too_short() {
        let start = monotonic_raw_ns();
        sleep(3_000_000).unwrap();
        // The two clocks may run at rates that differ by a two-thousandth.
        assert!(monotonic_raw_ns() - start >= 2_990_000);
        assert!(sleep(1_000_000_000).is_err());
    }

    #[test]
    fn the_slack_is_what_was_set() {
        let before = timer_slack();
        set_timer_slack(7000).unwrap();
        assert_eq!(timer_slack(), Some(7000));
        set_timer_slack(0).unwrap();
        assert_eq!(timer_slack(), before);
    }
}
