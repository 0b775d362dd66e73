//! Chains of one instruction at each width, in registers alone: 240 instructions, which every number
//! of chains divides, per taken branch.

use crate::kernel::simd::State;

/// A loop that runs so many blocks over the chains of a state.
///
/// # Safety
/// The features it is for must have been detected, and blocks > 0. A gather reads the table of the
/// state at the indices in the chains and in the table, which must all lie in it.
pub(in crate::kernel) type Loop = unsafe fn(&mut State, u64);

/// The loop for so many chains, if it is made for them.
pub(in crate::kernel) type Chains = fn(u64) -> Option<Loop>;

/// Where there is no such instruction.
pub(in crate::kernel) fn none(_: u64) -> Option<Loop> {
    None
}

/// All loops: what is before, the block, and what is after.
macro_rules! framed {
    ($state:ident $blocks:ident [$($before:expr,)*] [$($block:expr,)*] [$($after:expr,)*]
     $($operands:tt)*) => {
        // SAFETY: the caller detected what the loop is for. Memory is read and written in the
        // state alone; the rest is registers that are named.
        unsafe {
            core::arch::asm!(
                $($before,)*
                ".p2align 6",
                "2:",
                $($block,)*
                crate::kernel::arch::again!(),
                $($after,)*
                state = in(reg) std::ptr::from_mut($state),
                n = inout(reg) $blocks => _,
                $($operands)*
                options(nostack),
            );
        }
    };
}

/// `$line` for each of the registers in the list, \r.
macro_rules! each {
    ($list:tt $line:expr) => {
        concat!(".irp r, ", registers!($list), "\n", $line, "\n.endr")
    };
}

/// The numbers of so many registers, or the list that they are.
macro_rules! registers {
    (1) => {
        "0"
    };
    (2) => {
        "0,1"
    };
    (4) => {
        "0,1,2,3"
    };
    (8) => {
        "0,1,2,3,4,5,6,7"
    };
    (12) => {
        "0,1,2,3,4,5,6,7,8,9,10,11"
    };
    (24) => {
        "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23"
    };
    ($list:literal) => {
        $list
    };
}

/// The loop for a number of chains that is known only when it runs.
macro_rules! counted {
    ($chains:ident $loop:ident $what:tt [$($count:tt)+]) => {
        match $chains {
            $($count => Some($loop!($what $count)),)+
            _ => None,
        }
    };
}

/// Chains of two instructions in turn, in the loop that is made of what they have in common.
macro_rules! chains {
    ($counts:tt $loop:ident $common:tt $($name:ident $first:literal $second:literal;)+) => {$(
        fn $name(chains: u64) -> Option<Loop> {
            counted!(chains $loop ($common $first $second) $counts)
        }
    )+};
}

pub(in crate::kernel) use {chains, counted, each, framed, registers};
