//! Streams through arrays. All loops have one frame. It takes 512 bytes of each array per taken
//! branch, because one taken branch a cycle or less is what limits a rolled loop in L1; addresses are
//! one pointer and a displacement; and the pointer wraps at the end of the array by a conditional
//! move or select, so that no lap ends in a mispredicted branch.

use crate::kernel::bandwidth::Lanes;

/// A loop over whole blocks; returns where it stopped.
///
/// # Safety
/// The width it is for must have been detected. `at` must lie in `base..end`, whole blocks of 512
/// bytes from either; `blocks` > 0. What the kernel reads and writes at the distances must be
/// memory of the caller, 64-byte aligned, for the whole of `base..end`.
pub(in crate::kernel) type Stream = unsafe fn(&Walk, &mut Lanes) -> *mut u8;

/// Where a loop goes.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) struct Walk {
    pub(in crate::kernel) at: *mut u8,
    pub(in crate::kernel) base: *mut u8,
    pub(in crate::kernel) end: *mut u8,
    pub(in crate::kernel) blocks: u64,
    /// From the array that `at` is in to the second and the third one.
    pub(in crate::kernel) second: isize,
    pub(in crate::kernel) third: isize,
}

/// The frame of all loops: `$each` for the registers `$regs` (\i) of every part (\h) of a block of
/// 512 bytes. At the end of a block, `$next` moves the pointer.
macro_rules! framed {
    ([$($next:literal)+] [$($clobbered:tt)+]
     $name:ident $walk:ident $lanes:ident $parts:literal $regs:literal [$($before:literal)*]
     [$($point:expr),*] [$($each:literal)*] [$($after:literal)*] [$($operands:tt)*]) => {
        unsafe fn $name($walk: &Walk, $lanes: &mut Lanes) -> *mut u8 {
            let stopped;
            // SAFETY: the caller detected the width and owns the memory that is read and written;
            // the rest is registers and the lanes.
            unsafe {
                core::arch::asm!(
                    $($before,)*
                    ".p2align 6",
                    "2:",
                    $($point,)*
                    concat!(".irp h, ", $parts),
                    concat!(".irp i, ", $regs),
                    $($each,)*
                    ".endr",
                    ".endr",
                    $($next,)+
                    crate::kernel::arch::again!(),
                    $($after,)*
                    at = inout(reg) $walk.at => stopped,
                    base = in(reg) $walk.base,
                    end = in(reg) $walk.end,
                    n = inout(reg) $walk.blocks => _,
                    $($operands)*
                    $($clobbered)+
                    options(nostack),
                );
            }
            stopped
        }
    };
}

/// A loop over one array, with the lanes.
macro_rules! one {
    ($name:ident $parts:literal $before:tt $each:tt $after:tt $([$($operands:tt)*])?) => {
        frame!($name walk lanes $parts "0, 1, 2, 3, 4, 5, 6, 7" $before [] $each $after
            [lanes = in(reg) lanes.0.as_mut_ptr(), $($($operands)*)?]);
    };
}

/// A loop from the array at `at` to the one at `to`.
macro_rules! two {
    ($name:ident $parts:literal $before:tt $each:tt $after:tt $([$($operands:tt)*])?) => {
        frame!($name walk _lanes $parts "0, 1, 2, 3, 4, 5, 6, 7" $before
            [point!("to" "second")] $each $after
            [second = in(reg) walk.second, to = out(reg) _, $($($operands)*)?]);
    };
}

/// A loop over the arrays at `at` and `and`, with the lanes.
macro_rules! pair {
    ($name:ident $parts:literal $before:tt $each:tt $after:tt) => {
        frame!($name walk lanes $parts "0, 1, 2, 3, 4, 5, 6, 7" $before
            [point!("and" "second")] $each $after
            [second = in(reg) walk.second, and = out(reg) _,
             lanes = in(reg) lanes.0.as_mut_ptr(),]);
    };
}

/// A loop from the arrays at `at` and `and` to the one at `to`, with the lanes.
macro_rules! three {
    ($name:ident $parts:literal $before:tt $each:tt $after:tt) => {
        frame!($name walk lanes $parts "0, 1, 2, 3, 4, 5, 6, 7" $before
            [point!("and" "second"), point!("to" "third")] $each $after
            [second = in(reg) walk.second, third = in(reg) walk.third, and = out(reg) _,
             to = out(reg) _, lanes = in(reg) lanes.0.as_mut_ptr(),]);
    };
}

pub(in crate::kernel) use {framed, one, pair, three, two};
