//! A system call that no crate has a safe name for.

use std::io;

/// Puts the calling thread, and what it starts, into the class that keeps its CPU until it sleeps.
pub(crate) fn enter_real_time() -> io::Result<()> {
    let parameter = libc::sched_param { sched_priority: 10 };
    // By number, as musl knows the name alone.
    let (call, class) = (libc::SYS_sched_setscheduler, libc::SCHED_FIFO);
    // SAFETY: the kernel reads one sched_param, which lives until the call is over.
    match unsafe { libc::syscall(call, 0, class, &raw const parameter) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
