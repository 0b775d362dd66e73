//! Many loads at a time. In these loops `n` counts down what is left, and label 2 is where a lap
//! begins.

/// Chains for which there are registers: in sixteen vectors of eight addresses.
pub(in crate::kernel) const MOST_SLOTS: usize = 128;

/// Steps of each chain in one unrolled block.
pub(in crate::kernel) const STEPS: u64 = 16;

/// Places in one unrolled block of a list.
pub(in crate::kernel) const LIST: usize = 16;

/// Instructions for each of the registers \r in a list, as long as `i`, which counts them, is less
/// than `$many`.
macro_rules! first {
    ($many:literal $registers:literal [$($each:literal)+]) => {
        concat!(
            ".irp r, ", $registers, "\n.if i < ", $many, "\n",
            $($each, "\n",)+
            ".endif\n.set i, i + 1\n.endr"
        )
    };
}

/// A function for `steps` gathers with each of `VECTORS` vectors; each gather loads the addresses for
/// its next one.
macro_rules! gather {
    ($proof:ty, $most:literal $registers:literal: [$($begin:literal)*] $load:tt $gather:tt
     [$($back:literal)?] $store:tt [$($end:literal)?] [$($operands:tt)+]) => {
        impl $proof {
            /// # Safety
            /// As for [`chase`], for the slots of so many vectors; `steps` is not 0.
            unsafe fn gather<const VECTORS: usize>(
                self,
                slots: &mut [u64; MOST_SLOTS],
                steps: u64,
            ) {
                const { assert!(VECTORS > 0 && VECTORS <= $most) };
                // SAFETY: as for `chase`; the vectors were detected (the token); there are slots
                // enough.
                unsafe {
                    core::arch::asm!(
                        $($begin,)*
                        ".set i, 0",
                        first!("{vectors}" $registers $load),
                        ".p2align 6",
                        "2:",
                        ".set i, 0",
                        first!("{vectors}" $registers $gather),
                        crate::kernel::arch::again!(),
                        $($back,)?
                        ".set i, 0",
                        first!("{vectors}" $registers $store),
                        $($end,)?
                        vectors = const VECTORS,
                        slots = inout(reg) slots.as_mut_ptr() => _,
                        n = inout(reg) steps => _,
                        $($operands)+
                        options(nostack),
                    );
                }
            }
        }
    };
}

/// A function that loads from the places that a list names, nothing waiting for anything, and returns
/// the sum of what the last four loaded. No running sum: additions that wait for their data fill the
/// schedulers long before the miss buffers are full (15 % lower on x86).
macro_rules! list {
    ([$($four:literal)+] $next:literal) => {
        /// # Safety
        /// `list` is a whole number of blocks of [`LIST`], not empty, and each of it is the distance
        /// from `base` of 8 readable bytes.
        pub(in crate::kernel) unsafe fn list(base: *const u8, list: &[u32]) -> u64 {
            let sum;
            // SAFETY: the caller promises that each place can be read; nothing is written.
            unsafe {
                core::arch::asm!(
                    ".p2align 6",
                    "2:",
                    ".irp at, 0, 16, 32, 48",
                    $($four,)+
                    ".endr",
                    $next,
                    crate::kernel::arch::again!(),
                    crate::kernel::arch::total!(),
                    base = in(reg) base,
                    list = inout(reg) list.as_ptr() => _,
                    n = inout(reg) list.len() / LIST => _,
                    place = out(reg) _,
                    a = out(reg) sum,
                    b = out(reg) _,
                    c = out(reg) _,
                    d = out(reg) _,
                    options(readonly, nostack),
                );
            }
            sum
        }
    };
}

/// The same with each place prefetched `AHEAD` places before it is loaded, into the first level
/// (`NEAR`) or the second. The list is `AHEAD` places longer than what is loaded.
macro_rules! prefetch {
    ($ahead:literal $near:literal $far:literal [$($load:literal)+] $next:literal) => {
        /// # Safety
        /// As for [`list()`], without the last `AHEAD` places.
        pub(in crate::kernel) unsafe fn prefetch<const AHEAD: usize, const NEAR: bool>(
            base: *const u8,
            list: &[u32],
        ) -> u64 {
            let sum;
            // SAFETY: the caller promises that each place can be read; a prefetch cannot fault.
            unsafe {
                core::arch::asm!(
                    ".p2align 6",
                    "2:",
                    ".set i, 0",
                    ".rept 4",
                    ".irp value, {a}, {b}, {c}, {d}",
                    $ahead,
                    ".if {near}",
                    $near,
                    ".else",
                    $far,
                    ".endif",
                    $($load,)+
                    ".set i, i + 4",
                    ".endr",
                    ".endr",
                    $next,
                    crate::kernel::arch::again!(),
                    crate::kernel::arch::total!(),
                    ahead = const AHEAD,
                    near = const NEAR as u8,
                    base = in(reg) base,
                    list = inout(reg) list.as_ptr() => _,
                    n = inout(reg) (list.len() - AHEAD) / LIST => _,
                    place = out(reg) _,
                    a = out(reg) sum,
                    b = out(reg) _,
                    c = out(reg) _,
                    d = out(reg) _,
                    options(readonly, nostack),
                );
            }
            sum
        }
    };
}

/// A function that loads one word of each line in `STREAMS` straight lines, 1, 2 or 4, `apart` bytes
/// apart, and returns the sum of the last four.
macro_rules! stream {
    (|$start:ident, $apart:ident| [$($four:literal)+] [$($next:literal)+] [$($operands:tt)+]) => {
        /// # Safety
        /// From `start` + k × `apart` on, for each stream k, `blocks` × 512 bytes can be read;
        /// `blocks` is not 0.
        pub(in crate::kernel) unsafe fn stream<const STREAMS: usize>(
            $start: *const u8,
            $apart: usize,
            blocks: usize,
        ) -> u64 {
            const { assert!(STREAMS == 1 || STREAMS == 2 || STREAMS == 4) };
            let sum;
            // SAFETY: reads what the caller promised can be read; nothing is written.
            unsafe {
                core::arch::asm!(
                    ".p2align 6",
                    "2:",
                    ".irp at, 0, 256",
                    $($four,)+
                    ".endr",
                    $($next,)+
                    crate::kernel::arch::again!(),
                    crate::kernel::arch::total!(),
                    streams = const STREAMS,
                    $($operands)+
                    n = inout(reg) blocks => _,
                    a = out(reg) sum,
                    b = out(reg) _,
                    c = out(reg) _,
                    d = out(reg) _,
                    options(readonly, nostack),
                );
            }
            sum
        }
    };
}

pub(in crate::kernel) use {first, gather, list, prefetch, stream};
