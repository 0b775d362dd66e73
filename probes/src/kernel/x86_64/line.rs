//! Loads after a flush, and atomic additions.
use core::arch::asm;

/// Whether the CPU can flush a line by address.
pub(in crate::kernel) fn can_flush() -> bool {
    raw_cpuid::CpuId::new().get_feature_info().is_some_and(|f| f.has_clflush())
}

/// Loads `probe`, flushes the line of `flushed`, and returns the ticks that a load of `probe`
/// takes then.
///
/// # Safety
/// Both must point to readable memory, and the CPU must know clflush.
pub(in crate::kernel) unsafe fn reload_after_flush(flushed: *const u8, probe: *const u8) -> u64 {
    let (start, end): (u64, u64);
    // SAFETY: both addresses are readable (caller); a flush changes no contents.
    unsafe {
        asm!(
            "mov {scratch:e}, dword ptr [{probe}]",
            "mfence",
            "clflush [{flushed}]",
            "mfence",
            "lfence",
            "rdtsc",
            "lfence",
            "shl rdx, 32",
            "lea {start}, [rax + rdx]",
            "mov {scratch:e}, dword ptr [{probe}]",
            "lfence",
            "rdtsc",
            "lfence",
            "shl rdx, 32",
            "lea {end}, [rax + rdx]",
            flushed = in(reg) flushed,
            probe = in(reg) probe,
            scratch = out(reg) _,
            start = out(reg) start,
            end = out(reg) end,
            out("rax") _,
            out("rdx") _,
            options(nostack),
        );
    }
    end.wrapping_sub(start)
}
