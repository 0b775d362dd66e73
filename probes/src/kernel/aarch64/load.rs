//! Traffic on the way to memory, as much as is wanted.
use core::arch::asm;

/// Reads one word from each line of `groups` groups of four lines, and after each group lets
/// `delay` dependent multiplications pass. Returns the sum of what the last group held. Only the
/// loads count: sums of all of them would halve the traffic.
///
/// # Safety
/// `start` must be aligned to 8 bytes, `groups` × 256 bytes readable from it, and `groups` not 0.
pub(in crate::kernel) unsafe fn read(start: *const u8, groups: usize, delay: u64) -> u64 {
    let sum;
    // SAFETY: reads what the caller promised can be read; nothing is written.
    unsafe {
        asm!(
            ".p2align 6",
            "2:",
            "ldr {a}, [{at}]",
            "ldr {b}, [{at}, #64]",
            "ldr {c}, [{at}, #128]",
            "ldr {d}, [{at}, #192]",
            "add {at}, {at}, #256",
            "mov {left}, {delay}",
            "cbz {left}, 4f",
            "3:",
            "mul {chain}, {chain}, {chain}",
            "subs {left}, {left}, #1",
            "b.ne 3b",
            "4:",
            "subs {n}, {n}, #1",
            "b.ne 2b",
            "add {a}, {a}, {b}",
            "add {c}, {c}, {d}",
            "add {a}, {a}, {c}",
            at = inout(reg) start => _,
            n = inout(reg) groups => _,
            delay = in(reg) delay,
            left = out(reg) _,
            chain = inout(reg) 1_u64 => _,
            a = out(reg) sum,
            b = out(reg) _,
            c = out(reg) _,
            d = out(reg) _,
            options(readonly, nostack),
        );
    }
    sum
}
