//! Which CPU a thread is on.

use std::io;

use crate::sys::thread;

/// Why a thread is not on the CPU that it was to be on.
#[derive(Debug, thiserror::Error)]
pub enum NotPinned {
    /// The call failed.
    #[error("sched_setaffinity: {0}")]
    Refused(io::Error),
    /// The call succeeded and did nothing, as in some sandboxes.
    #[error("sched_setaffinity succeeds without effect")]
    WithoutEffect,
}

/// Pins the calling thread; `false` where that cannot be done, see [`try_pin`].
pub fn pin(cpu: usize) -> bool {
    try_pin(cpu).is_ok()
}

/// Pins the calling thread, and looks whether it is there.
///
/// # Errors
///
/// Why it is not; it may run where it could before.
pub fn try_pin(cpu: usize) -> Result<(), NotPinned> {
    // The C library's mask ends there, and core_affinity panics beyond it.
    const MASK_BITS: usize = 1024;
    let none = || NotPinned::Refused(io::Error::from_raw_os_error(libc::EINVAL));
    let target = (cpu < MASK_BITS).then_some(core_affinity::CoreId { id: cpu }).ok_or_else(none)?;
    if !core_affinity::set_for_current(target) {
        return Err(NotPinned::Refused(io::Error::last_os_error()));
    }
    // A thread that was not moved may be there by chance. On a machine with more CPUs than the mask
    // has bits, the kernel does not say which ones are allowed.
    let alone = core_affinity::get_core_ids().is_none_or(|allowed| allowed == [target]);
    if !alone || thread::current_cpu().is_some_and(|here| here != cpu) {
        return Err(NotPinned::WithoutEffect);
    }
    thread::at_home(cpu);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_pinned_if_it_is_there_and_knows_when_it_is_moved() {
        let cpus = card::machine::Machine::detect().allowed_cpus().to_vec();
        let check = || {
            assert_eq!(thread::strayed(), None, "it was never pinned");
            try_pin(cpus[0]).unwrap();
            assert_eq!((thread::current_cpu(), thread::strayed()), (Some(cpus[0]), None));
            // As if another process had moved it.
            thread::at_home(100_000);
            assert_eq!(thread::strayed(), Some((100_000, cpus[0])));
            assert!(matches!(try_pin(100_000), Err(NotPinned::Refused(_))));
            assert!(thread::set_affinity(&cpus) && thread::strayed().is_none());
        };
        std::thread::scope(|scope| scope.spawn(check).join().unwrap());
    }
}
