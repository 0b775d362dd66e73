//! Clocks of the kernel.

/// Nanoseconds of CLOCK_MONOTONIC_RAW, which no one slews.
pub fn monotonic_raw_ns() -> u64 {
    nanoseconds(libc::CLOCK_MONOTONIC_RAW)
}

/// Nanoseconds that the calling thread has had a CPU.
pub fn thread_cpu_ns() -> u64 {
    nanoseconds(libc::CLOCK_THREAD_CPUTIME_ID)
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
}
