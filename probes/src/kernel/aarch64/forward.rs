//! Stores, and loads that may need what was stored.
//!
//! Store and load address come in separate registers without displacement: newer cores recognise a
//! load with the register and displacement of an earlier store, and hand the value over without
//! asking the memory pipeline.
use core::arch::asm;

/// Proof that 32 bytes can be stored and loaded at once. There is none: a NEON register has 16, and
/// a pair of them is two accesses on many cores.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) enum Wide {}

impl Wide {
    pub(in crate::kernel) fn detect() -> Option<Wide> {
        None
    }
}

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
                    "subs {n}, {n}, #1",
                    "b.ne 2b",
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

chain!(eight: 64 times "str {v}, [{s}]", "ldr {v}, [{l}]");
chain!(eight_in_small_loop: 4 times "str {v}, [{s}]", "ldr {v}, [{l}]");
chain!(eight_and_multiply: 64 times "str {v}, [{s}]", "ldr {v}, [{l}]", "mul {v}, {v}, {one}"; one);
chain!(four_of_eight: 64 times "str {v}, [{s}]", "ldr {v:w}, [{l}]");
chain!(eight_of_four: 64 times "str {v:w}, [{s}]", "ldr {v}, [{l}]");
chain!(two_stores: 64 times "str {v:w}, [{s}]", "str {v:w}, [{s}, #4]", "ldr {v}, [{l}]");

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
            "ldr q0, [{v}]",
            ".p2align 6",
            "2:",
            ".rept 64",
            "str q0, [{s}]",
            "ldr q0, [{l}]",
            ".endr",
            "subs {n}, {n}, #1",
            "b.ne 2b",
            "str q0, [{v}]",
            s = in(reg) store,
            l = in(reg) load,
            v = in(reg) value.as_mut_ptr(),
            n = inout(reg) blocks => _,
            out("v0") _,
            options(nostack),
        );
    }
}

/// The same with 32 bytes, which nobody can ask for.
///
/// # Safety
/// There is no proof to call it with.
pub(in crate::kernel) unsafe fn vector_32(
    wide: Wide,
    _: *mut u8,
    _: *const u8,
    _: &mut [u64; 4],
    _: u64,
) {
    match wide {}
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
            "str {at}, [{s}]",
            "ldr {at}, [{at}]",
            ".endr",
            "subs {n}, {n}, #1",
            "b.ne 2b",
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
            ".irp i, 0, 1, 2, 3",
            "ldr q\\i, [{from}, #(16 * \\i)]",
            "str q\\i, [{to}, #(16 * \\i)]",
            ".endr",
            "add {from}, {from}, #64",
            "add {to}, {to}, #64",
            "subs {n}, {n}, #1",
            "b.ne 2b",
            from = inout(reg) from => _,
            to = inout(reg) to => _,
            n = inout(reg) blocks => _,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            options(nostack),
        );
    }
}
