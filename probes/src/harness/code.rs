//! What to say where the system lets no code be made at run time.

use card::record::Skip;
use std::io;

/// The reason and the remedy; `what` cannot be measured without.
pub fn refused(what: &str, error: &io::Error) -> Skip {
    Skip::new(
        format!("memory for code made at run time ({what})"),
        format!("the system refuses it: {error}"),
        "allow mprotect(PROT_EXEC): seccomp filters, SELinux (execmem) and systemd \
                 (MemoryDenyWriteExecute) can forbid it; a memory limit can too",
    )
}
