//! System calls in a row, by the C library or by the instruction itself.

/// A number that no kernel has given to a call, nor will for long.
const NO_CALL: libc::c_long = 100_000;

/// Asks for the parent's process id as programs do, so many times; how many answers were right.
/// Where the kernel leaves the CPU's return stack empty, the return from the C library's function
/// goes wrong each time, which is part of the price.
pub fn getppid_each(times: u64) -> u64 {
    let parent = std::os::unix::process::parent_id().cast_signed();
    // SAFETY: getppid takes no arguments and touches no memory.
    repeat(times, || unsafe { libc::getppid() } == parent)
}

/// The same by the instruction itself.
pub fn getppid_inline_each(times: u64) -> u64 {
    let parent = i64::from(std::os::unix::process::parent_id());
    // SAFETY: getppid takes no arguments and touches no memory.
    repeat(times, || unsafe { raw(libc::SYS_getppid, 0, 0) } == parent)
}

/// Makes a call that does not exist so many times; how many were refused. What is refused never
/// gets further than the entry.
pub fn invalid_each(times: u64) -> u64 {
    // SAFETY: a call that does not exist touches no memory.
    repeat(times, || unsafe { raw(NO_CALL, 0, 0) } < 0)
}

/// Reads the monotonic clock as every program does, through the page that the kernel shares; how
/// many readings were none earlier than the one before.
pub fn clock_each(times: u64) -> u64 {
    let mut last = (0, 0);
    repeat(times, || {
        let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the pointer is to a whole timespec.
        let read = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
        forward(&mut last, read == 0, now)
    })
}

/// The same by a real system call.
pub fn clock_by_call_each(times: u64) -> u64 {
    let mut last = (0, 0);
    repeat(times, || {
        let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let (clock, place) = (libc::CLOCK_MONOTONIC as usize, (&raw mut now).expose_provenance());
        // SAFETY: the second argument is the address of a whole timespec that outlives the call.
        let read = unsafe { raw(libc::SYS_clock_gettime, clock, place) };
        forward(&mut last, read == 0, now)
    })
}

fn forward(last: &mut (i64, i64), read: bool, now: libc::timespec) -> bool {
    let now = (now.tv_sec, now.tv_nsec);
    let right = read && now >= *last;
    *last = now;
    right
}

#[inline(always)]
fn repeat(times: u64, mut right: impl FnMut() -> bool) -> u64 {
    (0..times).map(|_| u64::from(right())).sum()
}

/// A system call with two arguments: the result, or an error's number below 0.
///
/// # Safety
///
/// The call must be sound with these arguments; those that are addresses must be of exposed memory.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn raw(number: libc::c_long, first: usize, second: usize) -> i64 {
    let result;
    // SAFETY: the instruction overwrites what is named here and, as the caller promises, nothing
    // else that it should not.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") first,
            in("rsi") second,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// The same.
///
/// # Safety
///
/// The same.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
unsafe fn raw(number: libc::c_long, first: usize, second: usize) -> i64 {
    let result;
    // SAFETY: as above.
    unsafe {
        std::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") first => result,
            in("x1") second,
            options(nostack),
        );
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_is_right() {
        for each in
            [getppid_each, getppid_inline_each, invalid_each, clock_each, clock_by_call_each]
        {
            assert_eq!(each(1000), 1000);
            assert_eq!(each(0), 0);
        }
    }

    #[test]
    fn a_clock_that_goes_back_is_no_right_answer() {
        let at = |tv_sec, tv_nsec| libc::timespec { tv_sec, tv_nsec };
        let mut last = (5, 7);
        assert!(forward(&mut last, true, at(5, 7)) && forward(&mut last, true, at(6, 0)));
        assert!(!forward(&mut last, true, at(5, 999)) && !forward(&mut last, false, at(9, 0)));
    }
}
