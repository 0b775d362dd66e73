//! Stores, and loads that may need what was stored.
//!
//! Store and load address come in separate registers without displacement: newer cores recognise a
//! load with the register and displacement of an earlier store, and hand the value over without
//! asking the memory pipeline.

/// A function for one scalar chain: `blocks` times 64 steps through the value `v`, storing at `s`,
/// loading at `l`, with a register that holds 1 for those that name it. A loop holds so many steps.
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
                core::arch::asm!(
                    ".p2align 6",
                    "2:",
                    concat!(".rept ", $repeat),
                    $($step,)+
                    ".endr",
                    crate::kernel::arch::again!(),
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

/// The same in a vector register, with the proof that there is such a vector.
macro_rules! vector {
    ($name:ident $proof:ty: $first:literal $store:literal $load:literal [$($last:literal)+]
     $register:tt) => {
        /// # Safety
        /// A vector must be writable at `store` and readable at `load`.
        pub(in crate::kernel) unsafe fn $name(
            _: $proof,
            store: *mut u8,
            load: *const u8,
            value: &mut [u64; 4],
            blocks: u64,
        ) {
            // SAFETY: the vectors are there (the proof, or they are baseline), and are no longer than
            // `value`; both addresses are valid for them (caller).
            unsafe {
                core::arch::asm!(
                    $first,
                    ".p2align 6",
                    "2:",
                    ".rept 64",
                    $store,
                    $load,
                    ".endr",
                    crate::kernel::arch::again!(),
                    $($last,)+
                    s = in(reg) store,
                    l = in(reg) load,
                    v = in(reg) value.as_mut_ptr(),
                    n = inout(reg) blocks => _,
                    out($register) _,
                    options(nostack),
                );
            }
        }
    };
}

/// A function that runs `blocks` times 64 steps of a chase in which each loaded address is stored
/// elsewhere before it is used: the load behind the store starts while the store still waits for its
/// data.
macro_rules! chase_past_store {
    ($store:literal $load:literal) => {
        /// # Safety
        /// From `start` on, every value loaded must be the address of 8 readable bytes, for ever,
        /// none of which the 8 writable bytes at `store` are among.
        pub(in crate::kernel) unsafe fn chase_past_store(
            store: *mut u8,
            start: *const u8,
            blocks: u64,
        ) -> *const u8 {
            let mut at = start;
            // SAFETY: the caller promises that each loaded value is a readable address and that the
            // stores hit none of them.
            unsafe {
                core::arch::asm!(
                    ".p2align 6",
                    "2:",
                    ".rept 64",
                    $store,
                    $load,
                    ".endr",
                    crate::kernel::arch::again!(),
                    s = in(reg) store,
                    at = inout(reg) at,
                    n = inout(reg) blocks => _,
                    options(nostack),
                );
            }
            at
        }
    };
}

/// A function that copies `blocks` blocks of 64 bytes upwards, 16 at a time (the \i-th).
macro_rules! copy {
    ($load:literal $store:literal [$($next:literal)+] [$($out:tt)+]) => {
        /// # Safety
        /// The blocks must be readable from `from`, writable from `to`, and not overlap;
        /// `blocks` > 0.
        pub(in crate::kernel) unsafe fn copy(from: *const u8, to: *mut u8, blocks: usize) {
            // SAFETY: reads and writes what the caller promises, and nothing else.
            unsafe {
                core::arch::asm!(
                    ".p2align 6",
                    "2:",
                    ".irp i, 0, 1, 2, 3",
                    $load,
                    $store,
                    ".endr",
                    $($next,)+
                    crate::kernel::arch::again!(),
                    from = inout(reg) from => _,
                    to = inout(reg) to => _,
                    n = inout(reg) blocks => _,
                    $($out)+
                    options(nostack),
                );
            }
        }
    };
}

pub(in crate::kernel) use {chain, chase_past_store, copy, vector};
