//! What to say where the system lets no code be made at run time.

use card::record::Skip;
use std::io;

/// What cannot be measured without such code is the caller's to say.
pub fn refused(error: &io::Error) -> Skip {
    Skip::new(
        "memory for code made at run time",
        format!("the system refuses it: {error}"),
        "allow mprotect(PROT_EXEC): seccomp filters, SELinux (execmem) and systemd \
                 (MemoryDenyWriteExecute) can forbid it; a memory limit can too",
    )
}
