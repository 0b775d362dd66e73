//! An indirect jump.
use core::arch::asm;

/// Targets of [`indirect`].
pub(in crate::kernel) const TARGETS: u64 = 16;

/// For each byte: an indirect jump to the target of that number, which must be below [`TARGETS`].
/// Every target adds its number; returns the sum.
///
/// The targets lie 64 bytes apart, so that the address is computed and no table is needed.
///
/// # Panics
/// If there is no such target.
pub(in crate::kernel) fn indirect(targets: &[u8]) -> u64 {
    let mut sum = 0_u64;
    assert!(targets.iter().all(|&t| u64::from(t) < TARGETS), "no such target");
    if targets.is_empty() {
        return sum;
    }
    // SAFETY: `next` walks `count` bytes of the slice, and each is the number of a target.
    unsafe {
        asm!(
            "adr {base}, 4f",
            ".p2align 6",
            "2:",
            "ldrb {to:w}, [{next}], #1",
            "add {to}, {base}, {to}, lsl #6",
            "br {to}",
            ".p2align 6",
            "4:",
            ".irp t, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
            ".p2align 6",
            "add {sum}, {sum}, #\\t",
            "subs {count}, {count}, #1",
            "b.ne 2b",
            "b 3f",
            ".endr",
            "3:",
            base = out(reg) _,
            to = out(reg) _,
            next = inout(reg) targets.as_ptr() => _,
            count = inout(reg) targets.len() => _,
            sum = inout(reg) sum,
            options(readonly, nostack),
        );
    }
    sum
}
