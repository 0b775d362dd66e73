//! Stores, and loads that may need what was stored.
//!
//! Store and load address come in separate registers without displacement: newer cores recognise a
//! load with the register and displacement of an earlier store, and hand the value over without
//! asking the memory pipeline.
use core::arch::asm;

/// Proof that 32 bytes can be stored and loaded at once.
pub(in crate::kernel) use super::vector::Avx as Wide;

/// One scalar chain: `blocks` times 64 steps through the value `v`, storing at `s`, loading at `l`,
/// with a register that holds 1 for those that name it. A loop holds so many steps.
macro_rules! chain {
    ($name:ident: $repeat:literal times $($step:literal),+ $(; $one:ident)?) => {
        /// # Safety
        /// The widths named by the instructions must be writable at `store` and readable at `load`.
        pub(in crate::kernel) unsafe fn $name(
            store: *mut u8,
            load: *const u8,
            value: u64,
            blocks: u64,
        ) -> u64 {
            let mut value = value;
            // SAFETY: both addresses are valid for these widths (caller).
            unsafe {
                asm!(
                    ".p2align 6",
                    "2:",
                    concat!(".rept ", $repeat),
                    $($step,)+
                    ".endr",
                    "dec {n}",
                    "jnz 2b",
                    s = in(reg) store,
                    l = in(reg) load,
                    v = inout(reg) value,
                    n = inout(reg) blocks * (64 / $repeat) => _,
                    $($one = in(reg) 1_u64,)?
                    options(nostack),
                );
            }
            value
        }
    };
}

chain!(eight: 64 times "mov [{s}], {v}", "mov {v}, [{l}]");
chain!(eight_in_small_loop: 4 times "mov [{s}], {v}", "mov {v}, [{l}]");
chain!(eight_and_multiply: 64 times "mov [{s}], {v}", "mov {v}, [{l}]", "imul {v}, {one}"; one);
chain!(four_of_eight: 64 times "mov [{s}], {v}", "mov {v:e}, [{l}]");
chain!(eight_of_four: 64 times "mov [{s}], {v:e}", "mov {v}, [{l}]");
chain!(two_stores: 64 times "mov [{s}], {v:e}", "mov [{s} + 4], {v:e}", "mov {v}, [{l}]");

/// The same with 16 bytes in a vector register.
///
/// # Safety
/// 16 bytes must be writable at `store` and readable at `load`.
pub(in crate::kernel) unsafe fn vector_16(
    store: *mut u8,
    load: *const u8,
    value: &mut [u64; 4],
    blocks: u64,
) {
    // SAFETY: both addresses are valid for 16 bytes (caller), and `value` is longer.
    unsafe {
        asm!(
            "movups xmm0, [{v}]",
            ".p2align 6",
            "2:",
            ".rept 64",
            "movups [{s}], xmm0",
            "movups xmm0, [{l}]",
            ".endr",
            "dec {n}",
            "jnz 2b",
            "movups [{v}], xmm0",
            s = in(reg) store,
            l = in(reg) load,
            v = in(reg) value.as_mut_ptr(),
            n = inout(reg) blocks => _,
            out("xmm0") _,
            options(nostack),
        );
    }
}

/// The same with 32 bytes.
///
/// # Safety
/// 32 bytes must be writable at `store` and readable at `load`.
pub(in crate::kernel) unsafe fn vector_32(
    _: Wide,
    store: *mut u8,
    load: *const u8,
    value: &mut [u64; 4],
    blocks: u64,
) {
    // SAFETY: AVX was detected (the token), both addresses are valid for 32 bytes (caller), and
    // so is `value`.
    unsafe {
        asm!(
            "vmovups ymm0, [{v}]",
            ".p2align 6",
            "2:",
            ".rept 64",
            "vmovups [{s}], ymm0",
            "vmovups ymm0, [{l}]",
            ".endr",
            "dec {n}",
            "jnz 2b",
            "vmovups [{v}], ymm0",
            "vzeroupper",
            s = in(reg) store,
            l = in(reg) load,
            v = in(reg) value.as_mut_ptr(),
            n = inout(reg) blocks => _,
            out("ymm0") _,
            options(nostack),
        );
    }
}

/// `blocks` times 64 steps of a chase in which each loaded address is stored elsewhere before it
/// is used: the load behind the store starts while the store still waits for its data.
///
/// # Safety
/// From `start` on, every value loaded must be the address of 8 readable bytes, for ever, none of
/// which the 8 writable bytes at `store` are among.
pub(in crate::kernel) unsafe fn chase_past_store(
    store: *mut u8,
    start: *const u8,
    blocks: u64,
) -> *const u8 {
    let mut at = start;
    // SAFETY: the caller promises that each loaded value is a readable address and that the
    // stores hit none of them.
    unsafe {
        asm!(
            ".p2align 6",
            "2:",
            ".rept 64",
            "mov [{s}], {at}",
            "mov {at}, [{at}]",
            ".endr",
            "dec {n}",
            "jnz 2b",
            s = in(reg) store,
            at = inout(reg) at,
            n = inout(reg) blocks => _,
            options(nostack),
        );
    }
    at
}

/// Copies `blocks` blocks of 64 bytes upwards, 16 at a time.
///
/// # Safety
/// The blocks must be readable from `from`, writable from `to`, and not overlap; `blocks` > 0.
pub(in crate::kernel) unsafe fn copy(from: *const u8, to: *mut u8, blocks: usize) {
    // SAFETY: reads and writes what the caller promises, and nothing else.
    unsafe {
        asm!(
            ".p2align 6",
            "2:",
            "movups xmm0, [{from}]",
            "movups [{to}], xmm0",
            "movups xmm1, [{from} + 16]",
            "movups [{to} + 16], xmm1",
            "movups xmm2, [{from} + 32]",
            "movups [{to} + 32], xmm2",
            "movups xmm3, [{from} + 48]",
            "movups [{to} + 48], xmm3",
            "add {from}, 64",
            "add {to}, 64",
            "dec {n}",
            "jnz 2b",
            from = inout(reg) from => _,
            to = inout(reg) to => _,
            n = inout(reg) blocks => _,
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
            options(nostack),
        );
    }
}
