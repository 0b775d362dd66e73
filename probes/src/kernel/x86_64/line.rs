//! Loads after a flush, and atomic additions.
use core::arch::asm;

/// Whether the CPU can flush a line by address.
pub(in crate::kernel) fn can_flush() -> bool {
    raw_cpuid::CpuId::new().get_feature_info().is_some_and(|f| f.has_clflush())
}

/// Flushes the line at this address from all caches, and waits until that is done.
///
/// # Safety
/// It must point to readable memory, and the CPU must know clflush.
pub(in crate::kernel) unsafe fn flush(line: *const u8) {
    // SAFETY: the address is readable (caller); a flush changes no contents.
    unsafe {
        asm!("mfence", "clflush [{line}]", "mfence", line = in(reg) line, options(nostack));
    }
}

/// Ticks that one load of this address takes.
///
/// # Safety
/// It must point to readable memory.
pub(in crate::kernel) unsafe fn timed_load(at: *const u8) -> u64 {
    let (start, end): (u64, u64);
    // SAFETY: the address is readable (caller).
    unsafe {
        asm!(
            "lfence",
            "rdtsc",
            "lfence",
            "shl rdx, 32",
            "lea {start}, [rax + rdx]",
            "mov {scratch:e}, dword ptr [{at}]",
            "lfence",
            "rdtsc",
            "lfence",
            "shl rdx, 32",
            "lea {end}, [rax + rdx]",
            at = in(reg) at,
            scratch = out(reg) _,
            start = out(reg) start,
            end = out(reg) end,
            out("rax") _,
            out("rdx") _,
            options(nostack, readonly),
        );
    }
    end.wrapping_sub(start)
}
