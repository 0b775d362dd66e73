//! Many loads at a time.
use core::arch::asm;

use super::vector::{Avx, Avx512};

/// Chains that live in general registers; from there on each address takes a move more.
pub(in crate::kernel) const IN_REGISTERS: usize = 10;

/// `steps` loads in each of the first `CHAINS` chains, at most 24; in each chain the
/// value loaded is the address of the next load. Ten chains live in general registers, the others
/// in vector registers, from where each address takes a move more.
///
/// # Safety
/// From each of the first `CHAINS` slots on, every value loaded must be the address of 8 readable
/// bytes, for ever; `steps` is a multiple of [`STEPS`] and not 0.
pub(in crate::kernel) unsafe fn chase<const CHAINS: usize>(
    slots: &mut [u64; MOST_SLOTS],
    steps: u64,
) {
    const { assert!(CHAINS > 0 && CHAINS <= 24) };
    // SAFETY: the caller promises that each loaded value is a readable address; besides the slots
    // nothing is written.
    unsafe {
        asm!(
            ".set i, 0",
            ".irp r, rcx, rdx, r8, r9, r10, r11, r12, r13, r14, r15",
            ".if i < {chains}",
            "mov \\r, [rdi]",
            "add rdi, 8",
            ".endif",
            ".set i, i + 1",
            ".endr",
            ".irp x, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13",
            ".if i < {chains}",
            "movq xmm\\x, qword ptr [rdi]",
            "add rdi, 8",
            ".endif",
            ".set i, i + 1",
            ".endr",
            ".p2align 6",
            "2:",
            ".rept {unroll}",
            ".set i, 0",
            ".irp r, rcx, rdx, r8, r9, r10, r11, r12, r13, r14, r15",
            ".if i < {chains}",
            "mov \\r, [\\r]",
            ".endif",
            ".set i, i + 1",
            ".endr",
            ".irp x, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13",
            ".if i < {chains}",
            "movq rax, xmm\\x",
            "movq xmm\\x, qword ptr [rax]",
            ".endif",
            ".set i, i + 1",
            ".endr",
            ".endr",
            "dec rsi",
            "jnz 2b",
            "sub rdi, 8 * {chains}",
            ".set i, 0",
            ".irp r, rcx, rdx, r8, r9, r10, r11, r12, r13, r14, r15",
            ".if i < {chains}",
            "mov [rdi], \\r",
            "add rdi, 8",
            ".endif",
            ".set i, i + 1",
            ".endr",
            ".irp x, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13",
            ".if i < {chains}",
            "movq qword ptr [rdi], xmm\\x",
            "add rdi, 8",
            ".endif",
            ".set i, i + 1",
            ".endr",
            chains = const CHAINS,
            unroll = const STEPS,
            inout("rdi") slots.as_mut_ptr() => _,
            inout("rsi") steps / STEPS => _,
            out("rax") _, out("rcx") _, out("rdx") _, out("r8") _, out("r9") _, out("r10") _,
            out("r11") _, out("r12") _, out("r13") _, out("r14") _, out("r15") _,
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _,
            out("xmm5") _, out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _,
            out("xmm10") _, out("xmm11") _, out("xmm12") _, out("xmm13") _,
            options(nostack),
        );
    }
}

/// Chains for which there are registers: sixteen vectors of eight addresses.
pub(in crate::kernel) const MOST_SLOTS: usize = 128;

/// Steps of each chain in one unrolled block.
pub(in crate::kernel) const STEPS: u64 = 16;

/// A gather of 64-bit words, proven possible.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) enum Gather {
    Avx(Avx),
    Avx512(Avx512),
}

impl Gather {
    /// The widest one, if there is any.
    pub(in crate::kernel) fn detect() -> Option<Gather> {
        Avx512::detect().map(Gather::Avx512).or_else(|| Avx::detect().map(Gather::Avx))
    }

    /// Addresses in one vector.
    pub(in crate::kernel) fn lanes(self) -> usize {
        match self {
            Gather::Avx(_) => 4,
            Gather::Avx512(_) => 8,
        }
    }

    /// Numbers of vectors that there are kernels for.
    pub(in crate::kernel) fn vectors(self) -> &'static [usize] {
        match self {
            Gather::Avx(_) => &[4, 8, 12],
            Gather::Avx512(_) => &[2, 4, 8, 16],
        }
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
        match self {
            Gather::Avx(token) => {
                let kernel = match vectors {
                    4 => Avx::gather::<4>,
                    8 => Avx::gather::<8>,
                    12 => Avx::gather::<12>,
                    _ => panic!("no kernel for {vectors} vectors"),
                };
                // SAFETY: the caller's promise.
                unsafe { kernel(token, slots, steps) };
            }
            Gather::Avx512(token) => {
                let kernel = match vectors {
                    2 => Avx512::gather::<2>,
                    4 => Avx512::gather::<4>,
                    8 => Avx512::gather::<8>,
                    16 => Avx512::gather::<16>,
                    _ => panic!("no kernel for {vectors} vectors"),
                };
                // SAFETY: the caller's promise.
                unsafe { kernel(token, slots, steps) };
            }
        }
    }
}

impl Avx {
    /// `steps` gathers with each of `VECTORS` vectors of four addresses, 12 at most; each gather
    /// loads the addresses for its next one.
    ///
    /// # Safety
    /// As for [`chase`], for the first 4 × `VECTORS` slots; `steps` is not 0.
    unsafe fn gather<const VECTORS: usize>(self, slots: &mut [u64; MOST_SLOTS], steps: u64) {
        const { assert!(VECTORS > 0 && VECTORS <= 12) };
        // SAFETY: as for `chase`; AVX2 was detected (the token); there are slots enough.
        unsafe {
            asm!(
                ".set i, 0",
                ".irp y, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11",
                ".if i < {vectors}",
                "vmovdqu ymm\\y, [{slots}]",
                "add {slots}, 32",
                ".endif",
                ".set i, i + 1",
                ".endr",
                ".p2align 6",
                "2:",
                ".set i, 0",
                ".irp y, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11",
                ".if i < {vectors}",
                "vpcmpeqd ymm13, ymm13, ymm13",
                // A gather merges into its target, and so would wait for the one before.
                "vpxor ymm12, ymm12, ymm12",
                "vpgatherqq ymm12, [{zero} + ymm\\y], ymm13",
                "vmovdqa ymm\\y, ymm12",
                ".endif",
                ".set i, i + 1",
                ".endr",
                "dec {n}",
                "jnz 2b",
                "sub {slots}, 32 * {vectors}",
                ".set i, 0",
                ".irp y, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11",
                ".if i < {vectors}",
                "vmovdqu [{slots}], ymm\\y",
                "add {slots}, 32",
                ".endif",
                ".set i, i + 1",
                ".endr",
                "vzeroupper",
                vectors = const VECTORS,
                slots = inout(reg) slots.as_mut_ptr() => _,
                n = inout(reg) steps => _,
                zero = in(reg) 0_u64,
                out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _, out("ymm4") _, out("ymm5") _,
                out("ymm6") _, out("ymm7") _, out("ymm8") _, out("ymm9") _, out("ymm10") _,
                out("ymm11") _, out("ymm12") _, out("ymm13") _, out("ymm14") _, out("ymm15") _,
                options(nostack),
            );
        }
    }
}

impl Avx512 {
    /// `steps` gathers with each of `VECTORS` vectors of eight addresses, 16 at most; each gather
    /// loads the addresses for its next one.
    ///
    /// # Safety
    /// As for [`chase`], for the first 8 × `VECTORS` slots; `steps` is not 0.
    unsafe fn gather<const VECTORS: usize>(self, slots: &mut [u64; MOST_SLOTS], steps: u64) {
        const { assert!(VECTORS > 0 && VECTORS <= 16) };
        // SAFETY: as for `chase`; AVX-512F was detected (the token); there are slots enough.
        unsafe {
            asm!(
                ".set i, 0",
                ".irp z, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
                ".if i < {vectors}",
                "vmovdqu64 zmm\\z, [{slots}]",
                "add {slots}, 64",
                ".endif",
                ".set i, i + 1",
                ".endr",
                ".p2align 6",
                "2:",
                ".set i, 0",
                ".irp z, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
                ".if i < {vectors}",
                "kxnorw k1, k1, k1",
                "vpxorq zmm16, zmm16, zmm16",
                "vpgatherqq zmm16 {{k1}}, [{zero} + zmm\\z]",
                "vmovdqa64 zmm\\z, zmm16",
                ".endif",
                ".set i, i + 1",
                ".endr",
                "dec {n}",
                "jnz 2b",
                "sub {slots}, 64 * {vectors}",
                ".set i, 0",
                ".irp z, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
                ".if i < {vectors}",
                "vmovdqu64 [{slots}], zmm\\z",
                "add {slots}, 64",
                ".endif",
                ".set i, i + 1",
                ".endr",
                "vzeroupper",
                vectors = const VECTORS,
                slots = inout(reg) slots.as_mut_ptr() => _,
                n = inout(reg) steps => _,
                zero = in(reg) 0_u64,
                out("k1") _, out("xmm16") _,
                out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _, out("ymm4") _, out("ymm5") _,
                out("ymm6") _, out("ymm7") _, out("ymm8") _, out("ymm9") _, out("ymm10") _,
                out("ymm11") _, out("ymm12") _, out("ymm13") _, out("ymm14") _, out("ymm15") _,
                options(nostack),
            );
        }
    }
}

/// Loads from the places that a list names, nothing waiting for anything, and returns the sum of
/// what the last four loaded. No running sum: additions that wait for their data fill the
/// schedulers long before the miss buffers are full (15 % lower here).
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
            "mov {place:e}, [{list} + \\at]",
            "mov {a}, [{base} + {place}]",
            "mov {place:e}, [{list} + \\at + 4]",
            "mov {b}, [{base} + {place}]",
            "mov {place:e}, [{list} + \\at + 8]",
            "mov {c}, [{base} + {place}]",
            "mov {place:e}, [{list} + \\at + 12]",
            "mov {d}, [{base} + {place}]",
            ".endr",
            "add {list}, 64",
            "dec {n}",
            "jnz 2b",
            "add {a}, {b}",
            "add {c}, {d}",
            "add {a}, {c}",
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
            "mov {place:e}, [{list} + 4 * {ahead} + i]",
            ".if {near}",
            "prefetcht0 [{base} + {place}]",
            ".else",
            "prefetcht1 [{base} + {place}]",
            ".endif",
            "mov {place:e}, [{list} + i]",
            "mov \\value, [{base} + {place}]",
            ".set i, i + 4",
            ".endr",
            ".endr",
            "add {list}, 64",
            "dec {n}",
            "jnz 2b",
            "add {a}, {b}",
            "add {c}, {d}",
            "add {a}, {c}",
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
            ".irp stream, 0, 1, 2, 3",
            ".if \\stream < {streams}",
            ".if \\stream == 0",
            "mov {a}, [{at} + \\at]",
            "mov {b}, [{at} + \\at + 64]",
            "mov {c}, [{at} + \\at + 128]",
            "mov {d}, [{at} + \\at + 192]",
            ".elseif \\stream == 3",
            "mov {a}, [{at} + {three} + \\at]",
            "mov {b}, [{at} + {three} + \\at + 64]",
            "mov {c}, [{at} + {three} + \\at + 128]",
            "mov {d}, [{at} + {three} + \\at + 192]",
            ".else",
            "mov {a}, [{at} + \\stream * {apart} + \\at]",
            "mov {b}, [{at} + \\stream * {apart} + \\at + 64]",
            "mov {c}, [{at} + \\stream * {apart} + \\at + 128]",
            "mov {d}, [{at} + \\stream * {apart} + \\at + 192]",
            ".endif",
            ".endif",
            ".endr",
            ".endr",
            "add {at}, 512",
            "dec {n}",
            "jnz 2b",
            "add {a}, {b}",
            "add {c}, {d}",
            "add {a}, {c}",
            streams = const STREAMS,
            at = inout(reg) start => _,
            apart = in(reg) apart,
            three = in(reg) 3 * apart,
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
