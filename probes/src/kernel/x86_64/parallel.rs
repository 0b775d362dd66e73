//! Many loads at a time.
use core::arch::asm;

use super::vector::{Avx, Avx512};
use crate::kernel::generic::parallel::{
    LIST, MOST_SLOTS, STEPS, first, gather, list, prefetch, stream,
};

/// Chains that live in general registers; from there on each address takes a move more.
pub(in crate::kernel) const IN_REGISTERS: usize = 10;

/// Instructions for each chain in a general register \r, and for each of those after it in a vector
/// register of that number.
macro_rules! each {
    ($general:tt $vector:tt) => {
        concat!(
            ".set i, 0\n",
            first!("{chains}" "rcx, rdx, r8, r9, r10, r11, r12, r13, r14, r15" $general),
            "\n",
            first!("{chains}" "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13" $vector)
        )
    };
}

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
            each!(["mov \\r, [rdi]" "add rdi, 8"] ["movq xmm\\r, qword ptr [rdi]" "add rdi, 8"]),
            ".p2align 6",
            "2:",
            ".rept {unroll}",
            each!(["mov \\r, [\\r]"] ["movq rax, xmm\\r" "movq xmm\\r, qword ptr [rax]"]),
            ".endr",
            "dec rsi",
            "jnz 2b",
            "sub rdi, 8 * {chains}",
            each!(["mov [rdi], \\r" "add rdi, 8"] ["movq qword ptr [rdi], xmm\\r" "add rdi, 8"]),
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

gather!(Avx, 12 "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11":
    []
    ["vmovdqu ymm\\r, [{slots}]" "add {slots}, 32"]
    // A gather merges into its target, and so would wait for the one before.
    ["vpcmpeqd ymm13, ymm13, ymm13" "vpxor ymm12, ymm12, ymm12"
     "vpgatherqq ymm12, [{zero} + ymm\\r], ymm13" "vmovdqa ymm\\r, ymm12"]
    ["sub {slots}, 32 * {vectors}"]
    ["vmovdqu [{slots}], ymm\\r" "add {slots}, 32"]
    ["vzeroupper"]
    [zero = in(reg) 0_u64,
     out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _, out("ymm4") _, out("ymm5") _,
     out("ymm6") _, out("ymm7") _, out("ymm8") _, out("ymm9") _, out("ymm10") _,
     out("ymm11") _, out("ymm12") _, out("ymm13") _, out("ymm14") _, out("ymm15") _,]);

gather!(Avx512, 16 "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15":
    []
    ["vmovdqu64 zmm\\r, [{slots}]" "add {slots}, 64"]
    ["kxnorw k1, k1, k1" "vpxorq zmm16, zmm16, zmm16"
     "vpgatherqq zmm16 {{k1}}, [{zero} + zmm\\r]" "vmovdqa64 zmm\\r, zmm16"]
    ["sub {slots}, 64 * {vectors}"]
    ["vmovdqu64 [{slots}], zmm\\r" "add {slots}, 64"]
    ["vzeroupper"]
    [zero = in(reg) 0_u64, out("k1") _, out("xmm16") _,
     out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _, out("ymm4") _, out("ymm5") _,
     out("ymm6") _, out("ymm7") _, out("ymm8") _, out("ymm9") _, out("ymm10") _,
     out("ymm11") _, out("ymm12") _, out("ymm13") _, out("ymm14") _, out("ymm15") _,]);

list!(
    ["mov {place:e}, [{list} + \\at]" "mov {a}, [{base} + {place}]"
     "mov {place:e}, [{list} + \\at + 4]" "mov {b}, [{base} + {place}]"
     "mov {place:e}, [{list} + \\at + 8]" "mov {c}, [{base} + {place}]"
     "mov {place:e}, [{list} + \\at + 12]" "mov {d}, [{base} + {place}]"]
    "add {list}, 64"
);

prefetch!(
    "mov {place:e}, [{list} + 4 * {ahead} + i]"
    "prefetcht0 [{base} + {place}]" "prefetcht1 [{base} + {place}]"
    ["mov {place:e}, [{list} + i]" "mov \\value, [{base} + {place}]"]
    "add {list}, 64"
);

stream!(
    |start, apart|
    [".irp stream, 0, 1, 2, 3"
     ".if \\stream < {streams}"
     ".if \\stream == 0"
     "mov {a}, [{at} + \\at]"
     "mov {b}, [{at} + \\at + 64]"
     "mov {c}, [{at} + \\at + 128]"
     "mov {d}, [{at} + \\at + 192]"
     ".elseif \\stream == 3"
     "mov {a}, [{at} + {three} + \\at]"
     "mov {b}, [{at} + {three} + \\at + 64]"
     "mov {c}, [{at} + {three} + \\at + 128]"
     "mov {d}, [{at} + {three} + \\at + 192]"
     ".else"
     "mov {a}, [{at} + \\stream * {apart} + \\at]"
     "mov {b}, [{at} + \\stream * {apart} + \\at + 64]"
     "mov {c}, [{at} + \\stream * {apart} + \\at + 128]"
     "mov {d}, [{at} + \\stream * {apart} + \\at + 192]"
     ".endif"
     ".endif"
     ".endr"]
    ["add {at}, 512"]
    [at = inout(reg) start => _, apart = in(reg) apart, three = in(reg) 3 * apart,]
);
