//! What to do about errors of the kernel.

use std::io;

/// What the reader can do about an error.
pub fn remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::ENOSYS) => "allow it in the seccomp profile",
        Some(libc::EAGAIN) => {
            "raise the limits on processes and threads (ulimit -u, pids.max), or on memory, which a \
             thread's stack needs too (ulimit -v)"
        }
        Some(libc::EMFILE | libc::ENFILE) => "raise the limit on open files (ulimit -n)",
        Some(libc::EFBIG) => "raise the limit on the size of files (ulimit -f)",
        Some(libc::EACCES) => "let this user read and execute it",
        _ if error.kind() == io::ErrorKind::OutOfMemory => {
            "raise the limits on memory (ulimit -v, memory.max)"
        }
        _ => "see what the error says",
    }
}
