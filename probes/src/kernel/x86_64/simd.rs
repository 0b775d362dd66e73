//! Chains of one instruction at each width, in registers alone.
//!
//! All loops have one frame: 240 instructions, which every number of chains divides, per taken
//! branch. Chains live in the first registers and constants in the last two, of 16, or of 32 where
//! there are 512 bits. Baseline instructions are written without the VEX prefix, as baseline code
//! has them.
use core::arch::asm;

use super::vector::Avx;
use super::width::Width;
use crate::kernel::generic::simd::{Chains, Loop, chains, counted, each, framed, none, registers};
use crate::kernel::simd::{Assisted, Op, Operands, State, Type};

/// A multiply-add overwrites a factor: x·c + d in place of x.
pub(in crate::kernel) const ACCUMULATES: bool = false;

impl Width {
    /// The loop of an instruction on so many chains; none where there is no such instruction, or
    /// its proof is missing.
    pub(in crate::kernel) fn chains(self, op: Op, of: Type, chains: u64) -> Option<Loop> {
        let [scalar, sse, avx256, avx512]: [Chains; 4] = match (op, of) {
            (Op::Fma, Type::F32) => [fma_f32_scalar, fma_f32_sse, fma_f32_avx, fma_f32_avx512],
            (Op::Fma, Type::F64) => [fma_f64_scalar, fma_f64_sse, fma_f64_avx, fma_f64_avx512],
            (Op::FmaAdd, Type::F32) => {
                [both_f32_scalar, both_f32_sse, both_f32_avx, both_f32_avx512]
            }
            (Op::FmaAdd, Type::F64) => {
                [both_f64_scalar, both_f64_sse, both_f64_avx, both_f64_avx512]
            }
            (Op::Add, Type::F32) => [add_f32_scalar, add_f32_sse, add_f32_avx, add_f32_avx512],
            (Op::Add, Type::F64) => [add_f64_scalar, add_f64_sse, add_f64_avx, add_f64_avx512],
            (Op::Mul, Type::F32) => [mul_f32_scalar, mul_f32_sse, mul_f32_avx, mul_f32_avx512],
            (Op::Mul, Type::F64) => [mul_f64_scalar, mul_f64_sse, mul_f64_avx, mul_f64_avx512],
            (Op::MulAdd, Type::F32) => [none, mul_add_f32_sse, none, none],
            (Op::MulAdd, Type::F64) => [none, mul_add_f64_sse, none, none],
            (Op::Add, Type::I32) => [add_i32_scalar, add_i32_sse, add_i32_avx, add_i32_avx512],
            (Op::Shuffle, Type::I32) => [none, shuffle_sse, shuffle_avx, shuffle_avx512],
            (Op::Gather, Type::I32) => [gather_scalar, none, gather_avx, gather_avx512],
            _ => return None,
        };
        let fused = matches!(op, Op::Fma | Op::FmaAdd);
        match self {
            Width::Scalar(None) | Width::Sse(None) if fused => None,
            Width::Scalar(_) => scalar(chains),
            Width::Sse(_) => sse(chains),
            Width::Avx(_) => avx256(chains),
            Width::Avx512(_) => avx512(chains),
        }
    }
}

/// All loops, with the registers of vectors: where upper halves were used, vzeroupper leaves them
/// clean for code without VEX.
macro_rules! frame {
    ($state:ident $blocks:ident $before:tt $block:tt $after:tt $($operands:tt)*) => {
        framed!(
            $state $blocks $before $block $after $($operands)*
            out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _, out("ymm4") _,
            out("ymm5") _, out("ymm6") _, out("ymm7") _, out("ymm8") _, out("ymm9") _,
            out("ymm10") _, out("ymm11") _, out("ymm12") _, out("ymm13") _, out("ymm14") _,
            out("ymm15") _, out("zmm16") _, out("zmm17") _, out("zmm18") _, out("zmm19") _,
            out("zmm20") _, out("zmm21") _, out("zmm22") _, out("zmm23") _, out("zmm24") _,
            out("zmm25") _, out("zmm26") _, out("zmm27") _, out("zmm28") _, out("zmm29") _,
            out("zmm30") _, out("zmm31") _, out("k1") _,
        )
    };
}

/// The loop on so many registers `$reg`, moved by `$mov`, with the constants in `$c` and `$d`.
macro_rules! looped {
    ((($mov:literal $reg:literal $c:literal $d:literal $end:literal) $first:literal $second:literal)
     $count:tt) => {{
        unsafe fn run(state: &mut State, blocks: u64) {
            frame!(
                state blocks
                [
                    concat!($mov, " ", $reg, $c, ", [{state} + 1536]"),
                    concat!($mov, " ", $reg, $d, ", [{state} + 1600]"),
                    each!($count concat!($mov, " ", $reg, "\\r, [{state} + 64*\\r]")),
                ]
                [concat!(".rept 120 / ", $count), each!($count $first), each!($count $second), ".endr",]
                [each!($count concat!($mov, " [{state} + 64*\\r], ", $reg, "\\r")), $end,]
            )
        }
        run
    }};
}

// One chain, and twelve: more than two ports at five cycles can use.
chains!([1 12] looped ("movss" "xmm" "14" "15" "")
    add_f32_scalar "addss xmm\\r, xmm15" "subss xmm\\r, xmm15";
    mul_f32_scalar "mulss xmm\\r, xmm14" "mulss xmm\\r, xmm15";
);
chains!([1 12] looped ("movsd" "xmm" "14" "15" "")
    add_f64_scalar "addsd xmm\\r, xmm15" "subsd xmm\\r, xmm15";
    mul_f64_scalar "mulsd xmm\\r, xmm14" "mulsd xmm\\r, xmm15";
    fma_f64_scalar "vfmadd213sd xmm\\r, xmm14, xmm15" "vfmadd213sd xmm\\r, xmm14, xmm15";
);
chains!([1 12] looped ("movaps" "xmm" "14" "15" "")
    add_f32_sse "addps xmm\\r, xmm15" "subps xmm\\r, xmm15";
    add_f64_sse "addpd xmm\\r, xmm15" "subpd xmm\\r, xmm15";
    add_i32_sse "paddd xmm\\r, xmm14" "paddd xmm\\r, xmm14";
    mul_f32_sse "mulps xmm\\r, xmm14" "mulps xmm\\r, xmm15";
    mul_f64_sse "mulpd xmm\\r, xmm14" "mulpd xmm\\r, xmm15";
    fma_f64_sse "vfmadd213pd xmm\\r, xmm14, xmm15" "vfmadd213pd xmm\\r, xmm14, xmm15";
    shuffle_sse "pshufd xmm\\r, xmm\\r, 0x1b" "pshufd xmm\\r, xmm\\r, 0x1b";
);
chains!([1 12] looped ("vmovaps" "ymm" "14" "15" "vzeroupper")
    add_f32_avx "vaddps ymm\\r, ymm\\r, ymm15" "vsubps ymm\\r, ymm\\r, ymm15";
    add_f64_avx "vaddpd ymm\\r, ymm\\r, ymm15" "vsubpd ymm\\r, ymm\\r, ymm15";
    add_i32_avx "vpaddd ymm\\r, ymm\\r, ymm14" "vpaddd ymm\\r, ymm\\r, ymm14";
    mul_f32_avx "vmulps ymm\\r, ymm\\r, ymm14" "vmulps ymm\\r, ymm\\r, ymm15";
    mul_f64_avx "vmulpd ymm\\r, ymm\\r, ymm14" "vmulpd ymm\\r, ymm\\r, ymm15";
    fma_f64_avx "vfmadd213pd ymm\\r, ymm14, ymm15" "vfmadd213pd ymm\\r, ymm14, ymm15";
    shuffle_avx "vpshufd ymm\\r, ymm\\r, 0x1b" "vpshufd ymm\\r, ymm\\r, 0x1b";
);
chains!([1 12] looped ("vmovaps" "zmm" "30" "31" "vzeroupper")
    add_f32_avx512 "vaddps zmm\\r, zmm\\r, zmm31" "vsubps zmm\\r, zmm\\r, zmm31";
    add_f64_avx512 "vaddpd zmm\\r, zmm\\r, zmm31" "vsubpd zmm\\r, zmm\\r, zmm31";
    add_i32_avx512 "vpaddd zmm\\r, zmm\\r, zmm30" "vpaddd zmm\\r, zmm\\r, zmm30";
    mul_f32_avx512 "vmulps zmm\\r, zmm\\r, zmm30" "vmulps zmm\\r, zmm\\r, zmm31";
    mul_f64_avx512 "vmulpd zmm\\r, zmm\\r, zmm30" "vmulpd zmm\\r, zmm\\r, zmm31";
    fma_f64_avx512 "vfmadd213pd zmm\\r, zmm30, zmm31" "vfmadd213pd zmm\\r, zmm30, zmm31";
    shuffle_avx512 "vpshufd zmm\\r, zmm\\r, 0x1b" "vpshufd zmm\\r, zmm\\r, 0x1b";
);

// Some more for a curve.
chains!([1 2 4 8 12] looped ("movss" "xmm" "14" "15" "")
    fma_f32_scalar "vfmadd213ss xmm\\r, xmm14, xmm15" "vfmadd213ss xmm\\r, xmm14, xmm15";
);
chains!([1 2 4 8 12] looped ("movaps" "xmm" "14" "15" "")
    fma_f32_sse "vfmadd213ps xmm\\r, xmm14, xmm15" "vfmadd213ps xmm\\r, xmm14, xmm15";
);
chains!([1 2 4 8 12] looped ("vmovaps" "ymm" "14" "15" "vzeroupper")
    fma_f32_avx "vfmadd213ps ymm\\r, ymm14, ymm15" "vfmadd213ps ymm\\r, ymm14, ymm15";
);
chains!([1 2 4 8 12 24] looped ("vmovaps" "zmm" "30" "31" "vzeroupper")
    fma_f32_avx512 "vfmadd213ps zmm\\r, zmm30, zmm31" "vfmadd213ps zmm\\r, zmm30, zmm31";
);
/// Additions in the general registers of the list.
macro_rules! general {
    (() 1) => {
        general!("8d" 1)
    };
    (() 8) => {
        general!("8d,9d,10d,11d,12d,13d,14d,15d" 8)
    };
    ($list:literal $count:literal) => {{
        unsafe fn run(state: &mut State, blocks: u64) {
            frame!(
                state blocks
                [
                    "mov {c:e}, [{state} + 1536]",
                    "lea {at}, [{state} - 64]",
                    each!($list "add {at}, 64\nmov r\\r, [{at}]"),
                ]
                [concat!(".rept 240 / ", $count), each!($list "add r\\r, {c:e}"), ".endr",]
                [
                    "lea {at}, [{state} - 64]",
                    each!($list "add {at}, 64\nmov [{at}], r\\r"),
                ]
                c = out(reg) _, at = out(reg) _,
                out("r8") _, out("r9") _, out("r10") _, out("r11") _,
                out("r12") _, out("r13") _, out("r14") _, out("r15") _,
            )
        }
        run
    }};
}

fn add_i32_scalar(chains: u64) -> Option<Loop> {
    counted!(chains general () [1 8])
}

/// Two instructions in turn, each on its own chains.
macro_rules! mixed {
    ($name:ident $mov:literal $reg:literal $all:literal $end:literal [$($constant:expr,)+]
     $repeat:literal $first:literal [$one:literal] $([$other:literal] $second:literal)+) => {
        fn $name(chains: u64) -> Option<Loop> {
            unsafe fn run(state: &mut State, blocks: u64) {
                frame!(
                    state blocks
                    [
                        $($constant,)+
                        concat!(".irp r, ", $all),
                        concat!($mov, " ", $reg, "\\r, [{state} + 64*\\r]"),
                        ".endr",
                    ]
                    [
                        concat!(".rept ", $repeat),
                        $(
                            concat!(".irp r, ", $one), $first, ".endr",
                            concat!(".irp r, ", $other), $second, ".endr",
                        )+
                        ".endr",
                    ]
                    [
                        concat!(".irp r, ", $all),
                        concat!($mov, " [{state} + 64*\\r], ", $reg, "\\r"),
                        ".endr",
                        $end,
                    ]
                )
            }
            (chains == Op::OWN_CHAINS).then_some(run)
        }
    };
}

/// Eight chains of multiply-adds and seven of subtractions, one for one: the eighth of each group
/// of subtractions is the next chain's turn.
macro_rules! both {
    ($name:ident $mov:literal $reg:literal $end:literal $fma:literal $sub:literal) => {
        mixed!($name $mov $reg "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14" $end
            [concat!($mov, " ", $reg, "15, [{state} + 1600]"),]
            "2" $fma ["0, 1, 2, 3, 4, 5, 6, 7"]
            ["8, 9, 10, 11, 12, 13, 14, 8"] $sub ["9, 10, 11, 12, 13, 14, 8, 9"] $sub
            ["10, 11, 12, 13, 14, 8, 9, 10"] $sub ["11, 12, 13, 14, 8, 9, 10, 11"] $sub
            ["12, 13, 14, 8, 9, 10, 11, 12"] $sub ["13, 14, 8, 9, 10, 11, 12, 13"] $sub
            ["14, 8, 9, 10, 11, 12, 13, 14"] $sub);
    };
}

both!(both_f32_scalar "movss" "xmm" "" "vfmadd213ss xmm\\r, xmm15, xmm15"
    "vsubss xmm\\r, xmm15, xmm\\r");
both!(both_f64_scalar "movsd" "xmm" "" "vfmadd213sd xmm\\r, xmm15, xmm15"
    "vsubsd xmm\\r, xmm15, xmm\\r");
both!(both_f32_sse "movaps" "xmm" "" "vfmadd213ps xmm\\r, xmm15, xmm15"
    "vsubps xmm\\r, xmm15, xmm\\r");
both!(both_f64_sse "movaps" "xmm" "" "vfmadd213pd xmm\\r, xmm15, xmm15"
    "vsubpd xmm\\r, xmm15, xmm\\r");
both!(both_f32_avx "vmovaps" "ymm" "vzeroupper" "vfmadd213ps ymm\\r, ymm15, ymm15"
    "vsubps ymm\\r, ymm15, ymm\\r");
both!(both_f64_avx "vmovaps" "ymm" "vzeroupper" "vfmadd213pd ymm\\r, ymm15, ymm15"
    "vsubpd ymm\\r, ymm15, ymm\\r");

/// With 32 registers there are twelve chains for each.
macro_rules! both512 {
    ($name:ident $fma:literal $sub:literal) => {
        mixed!($name "vmovaps" "zmm" "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, \
            17, 18, 19, 20, 21, 22, 23" "vzeroupper" ["vmovaps zmm31, [{state} + 1600]",]
            "10" $fma ["0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11"]
            ["12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23"] $sub);
    };
}

both512!(both_f32_avx512 "vfmadd213ps zmm\\r, zmm31, zmm31" "vsubps zmm\\r, zmm31, zmm\\r");
both512!(both_f64_avx512 "vfmadd213pd zmm\\r, zmm31, zmm31" "vsubpd zmm\\r, zmm31, zmm\\r");

/// Baseline code has no fused multiply-add: multiplications and additions, one for one.
macro_rules! mul_add {
    ($name:ident $mul:literal $add:literal $sub:literal) => {
        mixed!($name "movaps" "xmm" "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11" ""
            ["movaps xmm14, [{state} + 1536]", "movaps xmm15, [{state} + 1600]",]
            "10" $mul ["0, 1, 2, 3, 4, 5"]
            ["6, 7, 8, 9, 10, 11"] $add ["6, 7, 8, 9, 10, 11"] $sub);
    };
}

mul_add!(mul_add_f32_sse "mulps xmm\\r, xmm14" "addps xmm\\r, xmm15" "subps xmm\\r, xmm15");
mul_add!(mul_add_f64_sse "mulpd xmm\\r, xmm14" "addpd xmm\\r, xmm15" "subpd xmm\\r, xmm15");

/// Loads at computed indices: one chain of them, or eight that do not wait for each other.
fn gather_scalar(chains: u64) -> Option<Loop> {
    unsafe fn one(state: &mut State, blocks: u64) {
        frame!(
            state blocks
            ["mov r8d, [{state}]",]
            [".rept 240", "mov r8d, [{state} + 4*r8 + 1664]", ".endr",]
            ["mov [{state}], r8d",]
            out("r8") _,
        )
    }
    unsafe fn eight(state: &mut State, blocks: u64) {
        frame!(
            state blocks
            [each!("8,9,10,11,12,13,14,15" "mov {t:e}, [{state} + 64*\\r - 512]\nmov r\\r, {t}"),]
            [
                ".rept 30",
                each!("8,9,10,11,12,13,14,15" "mov {t:e}, [{state} + 4*r\\r + 1664]"),
                ".endr",
            ]
            // The last one alone says what was read; a chain says it of all.
            ["mov [{state} + 448], {t:e}",]
            t = out(reg) _,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            out("r12") _, out("r13") _, out("r14") _, out("r15") _,
        )
    }
    match chains {
        1 => Some(one),
        8 => Some(eight),
        _ => None,
    }
}

/// Gathers into the registers of the list. Each needs a new mask, and a target that waits for
/// nothing.
macro_rules! gather {
    (($mov:literal $reg:literal $gather:literal) $count:tt) => {{
        unsafe fn run(state: &mut State, blocks: u64) {
            frame!(
                state blocks
                [each!($count concat!($mov, " ", $reg, "\\r, [{state} + 64*\\r]")),]
                [concat!(".rept 240 / ", $count), each!($count $gather), ".endr",]
                [each!($count concat!($mov, " [{state} + 64*\\r], ", $reg, "\\r")), "vzeroupper",]
            )
        }
        run
    }};
}

fn gather_avx(chains: u64) -> Option<Loop> {
    counted!(chains gather ("vmovdqa" "ymm" "vpcmpeqd ymm14, ymm14, ymm14
        vpxor ymm13, ymm13, ymm13
        vpgatherdd ymm13, [{state} + 4*ymm\\r + 1664], ymm14
        vmovdqa ymm\\r, ymm13") [1 8])
}

fn gather_avx512(chains: u64) -> Option<Loop> {
    counted!(chains gather ("vmovdqa64" "zmm" "kxnorw k1, k1, k1
        vpxord zmm29, zmm29, zmm29
        vpgatherdd zmm29 {{k1}}, [{state} + 4*zmm\\r + 1664]
        vmovdqa64 zmm\\r, zmm29") [1 8])
}

/// Mask of MXCSR without exceptions, as threads begin with it.
const MXCSR: u32 = 0x1f80;
/// Results below the normal numbers become zero, and so do such operands.
const FLUSH: u32 = 0x8000 | 0x0040;

/// An instruction on four numbers over and over, 64 in a block, each time from the same operands;
/// returns the last result.
macro_rules! assisted {
    ($name:ident [$($each:literal)+]) => {
        unsafe fn $name(operands: &Operands, blocks: u64, mode: u32) -> [f32; 4] {
            let (mut out, mut before) = (Operands::default(), 0_u32);
            // SAFETY: the caller detected what the instructions need. MXCSR is changed and put
            // back within this block, where no compiled code can see it; memory is read and
            // written through the three pointers alone, which are to live values.
            unsafe {
                asm!(
                    "stmxcsr [{before}]",
                    "ldmxcsr [{mode}]",
                    "movaps xmm13, [{operands}]",
                    "movaps xmm14, [{operands} + 16]",
                    "movaps xmm15, [{operands} + 32]",
                    ".p2align 6",
                    "2:",
                    ".rept 8",
                    ".irp r, 0, 1, 2, 3, 4, 5, 6, 7",
                    $($each,)+
                    ".endr",
                    ".endr",
                    "dec {n}",
                    "jnz 2b",
                    "movaps [{out}], xmm7",
                    "ldmxcsr [{before}]",
                    before = in(reg) &raw mut before,
                    mode = in(reg) &raw const mode,
                    operands = in(reg) std::ptr::from_ref(operands),
                    out = in(reg) &raw mut out,
                    n = inout(reg) blocks => _,
                    out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _,
                    out("xmm5") _, out("xmm6") _, out("xmm7") _, out("xmm13") _, out("xmm14") _,
                    out("xmm15") _,
                    options(nostack),
                );
            }
            out.0[0]
        }
    };
}

assisted!(add_assisted ["movaps xmm\\r, xmm13" "addps xmm\\r, xmm14"]);
assisted!(mul_assisted ["movaps xmm\\r, xmm13" "mulps xmm\\r, xmm14"]);
assisted!(fma_assisted ["vmovaps xmm\\r, xmm13" "vfmadd213ps xmm\\r, xmm14, xmm15"]);

/// A loop of one of these instructions, proven possible.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) struct Assist(unsafe fn(&Operands, u64, u32) -> [f32; 4]);

impl Assist {
    /// `None` without that instruction.
    pub(in crate::kernel) fn detect(what: Assisted) -> Option<Assist> {
        match what {
            Assisted::Add => Some(Assist(add_assisted)),
            Assisted::Mul => Some(Assist(mul_assisted)),
            Assisted::Fma => Avx::detect().map(|_| Assist(fma_assisted)),
        }
    }

    /// Runs `blocks` of 64 instructions on the operands, with or without flushing what is subnormal
    /// to zero, and returns the last result.
    pub(in crate::kernel) fn blocks(
        self,
        operands: &Operands,
        blocks: u64,
        flush: bool,
    ) -> [f32; 4] {
        let mode = if flush { MXCSR | FLUSH } else { MXCSR };
        // SAFETY: SSE is baseline, and `detect` asked for fused multiply-adds.
        unsafe { self.0(operands, blocks, mode) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_proof_there_is_nothing_wider_than_the_baseline() {
        let widths = Width::proven(None, None);
        assert_eq!(widths.iter().map(|width| width.name()).collect::<Vec<_>>(), ["scalar", "sse"]);
        for width in widths {
            for of in [Type::F32, Type::F64] {
                assert!(width.chains(Op::Fma, of, 1).is_none());
                assert!(width.chains(Op::FmaAdd, of, Op::OWN_CHAINS).is_none());
                assert!(width.chains(Op::Add, of, 1).is_some());
            }
        }
    }
}
