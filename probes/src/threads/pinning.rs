//! Which CPU a thread is on.

use card::record::Skip;

/// Pins the calling thread; `false` where that is not permitted.
pub fn pin(cpu: usize) -> bool {
    // The C library's mask ends there, and core_affinity panics beyond it.
    const MASK_BITS: usize = 1024;
    cpu < MASK_BITS && core_affinity::set_for_current(core_affinity::CoreId { id: cpu })
}

/// Those of the CPUs that the calling thread can be pinned to; it is on the last of them afterwards.
pub fn pinnable(cpus: &[usize]) -> Vec<usize> {
    cpus.iter().copied().filter(|&cpu| pin(cpu)).collect()
}

/// Why nothing can be measured between two CPUs where threads cannot be pinned.
pub fn unpinned() -> Skip {
    Skip::new(
        "threads on two CPUs of their own",
        "pinning is not permitted here (sched_setaffinity)",
        "allow it in the seccomp profile",
    )
}
