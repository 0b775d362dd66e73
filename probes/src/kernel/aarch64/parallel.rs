//! Many loads at a time.
use core::arch::asm;

use super::sve::Sve;
use crate::kernel::generic::parallel::{
    LIST, MOST_SLOTS, STEPS, first, gather, list, prefetch, stream,
};

/// Chains that live in general registers.
pub(in crate::kernel) const IN_REGISTERS: usize = 24;

/// An instruction for each chain, in a general register of the number \r.
macro_rules! each {
    ($each:literal) => {
        concat!(
            ".set i, 0\n",
            first!("{chains}" "2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 20, 21, 22, 23, \
                24, 25, 26, 27" [$each])
        )
    };
}

/// `steps` loads in each of the first `CHAINS` chains, at most 24; in each chain the value loaded is
/// the address of the next load.
///
/// # Safety
/// From each of the first `CHAINS` slots on, every value loaded must be the address of 8 readable
/// bytes, for ever; `steps` is a multiple of [`STEPS`] and not 0.
pub(in crate::kernel) unsafe fn chase<const CHAINS: usize>(
    slots: &mut [u64; MOST_SLOTS],
    steps: u64,
) {
    const { assert!(CHAINS > 0 && CHAINS <= IN_REGISTERS) };
    // SAFETY: the caller promises that each loaded value is a readable address; besides the slots
    // nothing is written.
    unsafe {
        asm!(
            each!("ldr x\\r, [x0], #8"),
            ".p2align 6",
            "2:",
            ".rept {unroll}",
            each!("ldr x\\r, [x\\r]"),
            ".endr",
            "subs x1, x1, #1",
            "b.ne 2b",
            "sub x0, x0, #(8 * {chains})",
            each!("str x\\r, [x0], #8"),
            chains = const CHAINS,
            unroll = const STEPS,
            inout("x0") slots.as_mut_ptr() => _,
            inout("x1") steps / STEPS => _,
            out("x2") _, out("x3") _, out("x4") _, out("x5") _, out("x6") _, out("x7") _,
            out("x8") _, out("x9") _, out("x10") _, out("x11") _, out("x12") _, out("x13") _,
            out("x14") _, out("x15") _, out("x16") _, out("x17") _, out("x20") _, out("x21") _,
            out("x22") _, out("x23") _, out("x24") _, out("x25") _, out("x26") _, out("x27") _,
            options(nostack),
        );
    }
}

/// A gather of 64-bit words, proven possible. NEON has none.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) struct Gather(Sve);

impl Gather {
    pub(in crate::kernel) fn detect() -> Option<Gather> {
        Sve::detect().map(Gather)
    }

    /// Addresses in one vector.
    pub(in crate::kernel) fn lanes(self) -> usize {
        self.0.bytes() / 8
    }

    /// Numbers of vectors that there are kernels for.
    pub(in crate::kernel) fn vectors(self) -> &'static [usize] {
        &[2, 4, 8, 16]
    }

    /// `steps` gathers with each of so many vectors.
    ///
    /// # Safety
    /// From each slot that so many vectors have on, every value loaded must be the address of 8
    /// readable bytes, for ever; `steps` is not 0.
    pub(in crate::kernel) unsafe fn run(
        self,
        vectors: usize,
        slots: &mut [u64; MOST_SLOTS],
        steps: u64,
    ) {
        let kernel = match vectors {
            2 => Self::gather::<2>,
            4 => Self::gather::<4>,
            8 => Self::gather::<8>,
            16 => Self::gather::<16>,
            _ => panic!("no kernel for {vectors} vectors"),
        };
        // SAFETY: the caller's promise.
        unsafe { kernel(self, slots, steps) };
    }
}

gather!(Gather, 16 "0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23":
    [".arch_extension sve" "ptrue p0.b"]
    ["ldr z\\r, [{slots}, #i, mul vl]"]
    ["ld1d {{ z\\r\\().d }}, p0/z, [z\\r\\().d]"]
    []
    ["str z\\r, [{slots}, #i, mul vl]"]
    []
    [out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _,
     out("v6") _, out("v7") _, out("v16") _, out("v17") _, out("v18") _,
     out("v19") _, out("v20") _, out("v21") _, out("v22") _, out("v23") _, out("p0") _,]);

list!(
    ["ldr {place:w}, [{list}, #\\at]" "ldr {a}, [{base}, {place}]"
     "ldr {place:w}, [{list}, #(\\at + 4)]" "ldr {b}, [{base}, {place}]"
     "ldr {place:w}, [{list}, #(\\at + 8)]" "ldr {c}, [{base}, {place}]"
     "ldr {place:w}, [{list}, #(\\at + 12)]" "ldr {d}, [{base}, {place}]"]
    "add {list}, {list}, #64"
);

prefetch!(
    "ldr {place:w}, [{list}, #(4 * {ahead} + i)]"
    "prfm pldl1keep, [{base}, {place}]" "prfm pldl2keep, [{base}, {place}]"
    ["ldr {place:w}, [{list}, #i]" "ldr \\value, [{base}, {place}]"]
    "add {list}, {list}, #64"
);

stream!(
    |start, apart|
    [".set i, 0"
     ".irp stream, {first}, {second}, {third}, {fourth}"
     ".if i < {streams}"
     "ldr {a}, [\\stream, #\\at]"
     "ldr {b}, [\\stream, #(\\at + 64)]"
     "ldr {c}, [\\stream, #(\\at + 128)]"
     "ldr {d}, [\\stream, #(\\at + 192)]"
     ".endif"
     ".set i, i + 1"
     ".endr"]
    [".set i, 0"
     ".irp stream, {first}, {second}, {third}, {fourth}"
     ".if i < {streams}"
     "add \\stream, \\stream, #512"
     ".endif"
     ".set i, i + 1"
     ".endr"]
    [first = inout(reg) start => _,
     second = inout(reg) start.wrapping_add(apart) => _,
     third = inout(reg) start.wrapping_add(2 * apart) => _,
     fourth = inout(reg) start.wrapping_add(3 * apart) => _,]
);
