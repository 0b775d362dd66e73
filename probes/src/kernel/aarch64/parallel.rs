//! Many loads at a time.
use core::arch::asm;

use super::sve::Sve;

/// Chains that live in general registers.
pub(in crate::kernel) const IN_REGISTERS: usize = 24;

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
            ".set i, 0",
            ".irp r, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 20, 21, 22, 23, 24, 25, 26, 27",
            ".if i < {chains}",
            "ldr x\\r, [x0], #8",
            ".endif",
            ".set i, i + 1",
            ".endr",
            ".p2align 6",
            "2:",
            ".rept {unroll}",
            ".set i, 0",
            ".irp r, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 20, 21, 22, 23, 24, 25, 26, 27",
            ".if i < {chains}",
            "ldr x\\r, [x\\r]",
            ".endif",
            ".set i, i + 1",
            ".endr",
            ".endr",
            "subs x1, x1, #1",
            "b.ne 2b",
            "sub x0, x0, #(8 * {chains})",
            ".set i, 0",
            ".irp r, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 20, 21, 22, 23, 24, 25, 26, 27",
            ".if i < {chains}",
            "str x\\r, [x0], #8",
            ".endif",
            ".set i, i + 1",
            ".endr",
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

/// Chains for which there are registers: in 16 of the longest vectors.
pub(in crate::kernel) const MOST_SLOTS: usize = 128;

/// Steps of each chain in one unrolled block.
pub(in crate::kernel) const STEPS: u64 = 16;

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

    /// `steps` gathers with each of `VECTORS` vectors, 16 at most; each gather loads the addresses
    /// for its next one.
    ///
    /// # Safety
    /// As for [`chase`], for the slots of so many vectors; `steps` is not 0.
    unsafe fn gather<const VECTORS: usize>(self, slots: &mut [u64; MOST_SLOTS], steps: u64) {
        const { assert!(VECTORS > 0 && VECTORS <= 16) };
        // SAFETY: as for `chase`; SVE was detected (the token); there are slots enough.
        unsafe {
            asm!(
                ".arch_extension sve",
                "ptrue p0.b",
                ".set i, 0",
                ".irp r, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23",
                ".if i < {vectors}",
                "ldr z\\r, [{slots}, #i, mul vl]",
                ".endif",
                ".set i, i + 1",
                ".endr",
                ".p2align 6",
                "2:",
                ".set i, 0",
                ".irp r, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23",
                ".if i < {vectors}",
                "ld1d {{ z\\r\\().d }}, p0/z, [z\\r\\().d]",
                ".endif",
                ".set i, i + 1",
                ".endr",
                "subs {n}, {n}, #1",
                "b.ne 2b",
                ".set i, 0",
                ".irp r, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23",
                ".if i < {vectors}",
                "str z\\r, [{slots}, #i, mul vl]",
                ".endif",
                ".set i, i + 1",
                ".endr",
                vectors = const VECTORS,
                slots = in(reg) slots.as_mut_ptr(),
                n = inout(reg) steps => _,
                out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _,
                out("v6") _, out("v7") _, out("v16") _, out("v17") _, out("v18") _,
                out("v19") _, out("v20") _, out("v21") _, out("v22") _, out("v23") _,
                out("p0") _,
                options(nostack),
            );
        }
    }
}

/// Loads from the places that a list names, nothing waiting for anything, and returns the sum of
/// what the last four loaded. No running sum: additions that wait for their data fill the
/// schedulers long before the miss buffers are full.
///
/// # Safety
/// `list` is a whole number of blocks of [`LIST`], not empty, and each of it is the distance from
/// `base` of 8 readable bytes.
pub(in crate::kernel) unsafe fn list(base: *const u8, list: &[u32]) -> u64 {
    let sum;
    // SAFETY: the caller promises that each place can be read; nothing is written.
    unsafe {
        asm!(
            ".p2align 6",
            "2:",
            ".irp at, 0, 16, 32, 48",
            "ldr {place:w}, [{list}, #\\at]",
            "ldr {a}, [{base}, {place}]",
            "ldr {place:w}, [{list}, #(\\at + 4)]",
            "ldr {b}, [{base}, {place}]",
            "ldr {place:w}, [{list}, #(\\at + 8)]",
            "ldr {c}, [{base}, {place}]",
            "ldr {place:w}, [{list}, #(\\at + 12)]",
            "ldr {d}, [{base}, {place}]",
            ".endr",
            "add {list}, {list}, #64",
            "subs {n}, {n}, #1",
            "b.ne 2b",
            "add {a}, {a}, {b}",
            "add {c}, {c}, {d}",
            "add {a}, {a}, {c}",
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

/// Places in one unrolled block of a list.
pub(in crate::kernel) const LIST: usize = 16;

/// The same with each place prefetched `AHEAD` places before it is loaded, into the first level
/// (`NEAR`) or the second. The list is `AHEAD` places longer than what is loaded.
///
/// # Safety
/// As for [`list`], without the last `AHEAD` places.
pub(in crate::kernel) unsafe fn prefetch<const AHEAD: usize, const NEAR: bool>(
    base: *const u8,
    list: &[u32],
) -> u64 {
    let sum;
    // SAFETY: the caller promises that each place can be read; a prefetch cannot fault.
    unsafe {
        asm!(
            ".p2align 6",
            "2:",
            ".set i, 0",
            ".rept 4",
            ".irp value, {a}, {b}, {c}, {d}",
            "ldr {place:w}, [{list}, #(4 * {ahead} + i)]",
            ".if {near}",
            "prfm pldl1keep, [{base}, {place}]",
            ".else",
            "prfm pldl2keep, [{base}, {place}]",
            ".endif",
            "ldr {place:w}, [{list}, #i]",
            "ldr \\value, [{base}, {place}]",
            ".set i, i + 4",
            ".endr",
            ".endr",
            "add {list}, {list}, #64",
            "subs {n}, {n}, #1",
            "b.ne 2b",
            "add {a}, {a}, {b}",
            "add {c}, {c}, {d}",
            "add {a}, {a}, {c}",
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

/// Loads one word of each line in `STREAMS` straight lines, 1, 2 or 4, `apart` bytes apart, and
/// returns the sum of the last four.
///
/// # Safety
/// From `start` + k × `apart` on, for each stream k, `blocks` × 512 bytes can be read; `blocks` is
/// not 0.
pub(in crate::kernel) unsafe fn stream<const STREAMS: usize>(
    start: *const u8,
    apart: usize,
    blocks: usize,
) -> u64 {
    const { assert!(STREAMS == 1 || STREAMS == 2 || STREAMS == 4) };
    let sum;
    // SAFETY: reads what the caller promised can be read; nothing is written.
    unsafe {
        asm!(
            ".p2align 6",
            "2:",
            ".irp at, 0, 256",
            ".set i, 0",
            ".irp stream, {first}, {second}, {third}, {fourth}",
            ".if i < {streams}",
            "ldr {a}, [\\stream, #\\at]",
            "ldr {b}, [\\stream, #(\\at + 64)]",
            "ldr {c}, [\\stream, #(\\at + 128)]",
            "ldr {d}, [\\stream, #(\\at + 192)]",
            ".endif",
            ".set i, i + 1",
            ".endr",
            ".endr",
            ".set i, 0",
            ".irp stream, {first}, {second}, {third}, {fourth}",
            ".if i < {streams}",
            "add \\stream, \\stream, #512",
            ".endif",
            ".set i, i + 1",
            ".endr",
            "subs {n}, {n}, #1",
            "b.ne 2b",
            "add {a}, {a}, {b}",
            "add {c}, {c}, {d}",
            "add {a}, {a}, {c}",
            streams = const STREAMS,
            first = inout(reg) start => _,
            second = inout(reg) start.wrapping_add(apart) => _,
            third = inout(reg) start.wrapping_add(2 * apart) => _,
            fourth = inout(reg) start.wrapping_add(3 * apart) => _,
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
