//! What to say where the system lets no code be made at run time.

use std::io;

use crate::probe::Unmet;

/// The reason and the remedy; `what` cannot be measured without.
pub fn refused(what: &str, error: &io::Error) -> Unmet {
    Unmet {
        need: format!("memory for code made at run time ({what})"),
        reason: format!("the system refuses it: {error}"),
        remedy: "allow mprotect(PROT_EXEC): seccomp filters, SELinux (execmem) and systemd \
                 (MemoryDenyWriteExecute) can forbid it; a memory limit can too"
            .into(),
    }
}
