//! Which CPU a thread is on.

/// Pins the calling thread; `false` where that is not permitted.
pub fn pin(cpu: usize) -> bool {
    // The C library's mask ends there, and core_affinity panics beyond it.
    const MASK_BITS: usize = 1024;
    cpu < MASK_BITS && core_affinity::set_for_current(core_affinity::CoreId { id: cpu })
}
