//! The life of a child process.

/// Ends the calling process when its parent ends, so that no probe outlives a killed run.
pub fn die_with_parent() {
    // SAFETY: PR_SET_PDEATHSIG takes a signal number and touches no memory of ours.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
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
