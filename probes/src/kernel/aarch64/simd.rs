//! Chains of one instruction at each width, in registers alone.
//!
//! All loops have one frame: 240 instructions, which every number of chains divides, per taken
//! branch. Chains live in the first of 32 registers and constants in the last two. The fused
//! multiply-adds of NEON and SVE add to their target, and the scalar ones are used in the same way:
//! what is measured is the way through the sum, which some cores forward earlier than a product's
//! factors. All lanes of SVE take part, by a predicate where an instruction takes one.
use core::arch::asm;

use super::width::Width;
use crate::kernel::generic::simd::{Chains, Loop, chains, counted, each, framed, none, registers};
use crate::kernel::simd::{Assisted, Op, Operands, State, Type};

/// A multiply-add adds to its target: x + c·d in place of x.
pub(in crate::kernel) const ACCUMULATES: bool = true;

impl Width {
    /// The loop of an instruction on so many chains; none where there is no such instruction.
    pub(in crate::kernel) fn chains(self, op: Op, of: Type, chains: u64) -> Option<Loop> {
        let [scalar, neon, sve]: [Chains; 3] = match (op, of) {
            (Op::Fma, Type::F32) => [fma_f32_scalar, fma_f32_neon, fma_f32_sve],
            (Op::Fma, Type::F64) => [fma_f64_scalar, fma_f64_neon, fma_f64_sve],
            (Op::FmaAdd, Type::F32) => [both_f32_scalar, both_f32_neon, both_f32_sve],
            (Op::FmaAdd, Type::F64) => [both_f64_scalar, both_f64_neon, both_f64_sve],
            (Op::Add, Type::F32) => [add_f32_scalar, add_f32_neon, add_f32_sve],
            (Op::Add, Type::F64) => [add_f64_scalar, add_f64_neon, add_f64_sve],
            (Op::Mul, Type::F32) => [mul_f32_scalar, mul_f32_neon, mul_f32_sve],
            (Op::Mul, Type::F64) => [mul_f64_scalar, mul_f64_neon, mul_f64_sve],
            (Op::Add, Type::I32) => [add_i32_scalar, add_i32_neon, add_i32_sve],
            (Op::Shuffle, Type::I32) => [none, shuffle_neon, shuffle_sve],
            (Op::Gather, Type::I32) => [gather_scalar, none, gather_sve],
            _ => return None,
        };
        match self {
            Width::Scalar => scalar(chains),
            Width::Neon => neon(chains),
            Width::Sve(_) => sve(chains),
        }
    }
}

/// All loops, with the registers of vectors.
macro_rules! frame {
    ($state:ident $blocks:ident $before:tt $block:tt $after:tt $($operands:tt)*) => {
        framed!(
            $state $blocks $before $block $after $($operands)*
            out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _,
            out("v6") _, out("v7") _, out("v8") _, out("v9") _, out("v10") _, out("v11") _,
            out("v12") _, out("v13") _, out("v14") _, out("v15") _, out("v16") _,
            out("v17") _, out("v18") _, out("v19") _, out("v20") _, out("v21") _,
            out("v22") _, out("v23") _, out("v24") _, out("v25") _, out("v26") _,
            out("v27") _, out("v28") _, out("v29") _, out("v30") _, out("v31") _,
        )
    };
}

/// Loads the registers of a kind that are in the list from their places in the state.
macro_rules! load {
    ($list:tt $reg:literal) => {
        each!($list concat!("add {t}, {state}, #(64*\\r)\nldr ", $reg, "\\r, [{t}]"))
    };
}

/// Puts them back.
macro_rules! store {
    ($list:tt $reg:literal) => {
        each!($list concat!("add {t}, {state}, #(64*\\r)\nstr ", $reg, "\\r, [{t}]"))
    };
}

/// The same for the two constants.
macro_rules! load_constants {
    ($reg:literal) => {
        concat!(
            "add {t}, {state}, #1536\nldr ",
            $reg,
            "30, [{t}]\n",
            "add {t}, {state}, #1600\nldr ",
            $reg,
            "31, [{t}]"
        )
    };
}

/// The loop on so many registers `$reg`, with the constants in the last two.
macro_rules! looped {
    ((($begin:literal $reg:literal) $first:literal $second:literal) $count:tt) => {{
        unsafe fn run(state: &mut State, blocks: u64) {
            frame!(
                state blocks
                [$begin, load_constants!($reg), load!($count $reg),]
                [concat!(".rept 120 / ", $count), each!($count $first), each!($count $second), ".endr",]
                [store!($count $reg),]
                t = out(reg) _, out("p0") _,
            )
        }
        run
    }};
}

// One chain, and twelve: more than two ports at five cycles can use; 24 for four ports.
chains!([1 12 24] looped ("" "s")
    add_f32_scalar "fadd s\\r, s\\r, s31" "fsub s\\r, s\\r, s31";
    mul_f32_scalar "fmul s\\r, s\\r, s30" "fmul s\\r, s\\r, s31";
);
chains!([1 12 24] looped ("" "d")
    add_f64_scalar "fadd d\\r, d\\r, d31" "fsub d\\r, d\\r, d31";
    mul_f64_scalar "fmul d\\r, d\\r, d30" "fmul d\\r, d\\r, d31";
    fma_f64_scalar "fmadd d\\r, d30, d31, d\\r" "fmsub d\\r, d30, d31, d\\r";
);
chains!([1 12 24] looped ("" "q")
    add_f32_neon "fadd.4s v\\r, v\\r, v31" "fsub.4s v\\r, v\\r, v31";
    add_f64_neon "fadd.2d v\\r, v\\r, v31" "fsub.2d v\\r, v\\r, v31";
    add_i32_neon "add.4s v\\r, v\\r, v30" "add.4s v\\r, v\\r, v30";
    mul_f32_neon "fmul.4s v\\r, v\\r, v30" "fmul.4s v\\r, v\\r, v31";
    mul_f64_neon "fmul.2d v\\r, v\\r, v30" "fmul.2d v\\r, v\\r, v31";
    fma_f64_neon "fmla.2d v\\r, v30, v31" "fmls.2d v\\r, v30, v31";
);
chains!([1 12 24] looped (".arch_extension sve\nptrue p0.b" "z")
    add_f32_sve "fadd z\\r\\\\()().s, z\\r\\\\()().s, z31.s" "fsub z\\r\\\\()().s, z\\r\\\\()().s, z31.s";
    add_f64_sve "fadd z\\r\\\\()().d, z\\r\\\\()().d, z31.d" "fsub z\\r\\\\()().d, z\\r\\\\()().d, z31.d";
    add_i32_sve "add z\\r\\\\()().s, z\\r\\\\()().s, z30.s" "add z\\r\\\\()().s, z\\r\\\\()().s, z30.s";
    mul_f32_sve "fmul z\\r\\\\()().s, z\\r\\\\()().s, z30.s" "fmul z\\r\\\\()().s, z\\r\\\\()().s, z31.s";
    mul_f64_sve "fmul z\\r\\\\()().d, z\\r\\\\()().d, z30.d" "fmul z\\r\\\\()().d, z\\r\\\\()().d, z31.d";
    fma_f64_sve "fmla z\\r\\\\()().d, p0/m, z30.d, z31.d" "fmls z\\r\\\\()().d, p0/m, z30.d, z31.d";
);
// Some more for a curve.
chains!([1 2 4 8 12 24] looped ("" "s")
    fma_f32_scalar "fmadd s\\r, s30, s31, s\\r" "fmsub s\\r, s30, s31, s\\r";
);
chains!([1 2 4 8 12 24] looped ("" "q")
    fma_f32_neon "fmla.4s v\\r, v30, v31" "fmls.4s v\\r, v30, v31";
);
chains!([1 2 4 8 12 24] looped (".arch_extension sve\nptrue p0.b" "z")
    fma_f32_sve "fmla z\\r\\\\()().s, p0/m, z30.s, z31.s" "fmls z\\r\\\\()().s, p0/m, z30.s, z31.s";
);

/// Additions in the general registers of the list.
macro_rules! general {
    (() 1) => {
        general!("8" 1)
    };
    (() 8) => {
        general!("8,9,10,11,12,13,14,15" 8)
    };
    ($list:literal $count:literal) => {{
        unsafe fn run(state: &mut State, blocks: u64) {
            frame!(
                state blocks
                [
                    "ldr {c:w}, [{state}, #1536]",
                    each!($list "ldr w\\r, [{state}, #(64*\\r - 512)]"),
                ]
                [
                    concat!(".rept 240 / ", $count),
                    each!($list "add w\\r, w\\r, {c:w}"),
                    ".endr",
                ]
                [each!($list "str w\\r, [{state}, #(64*\\r - 512)]"),]
                c = out(reg) _,
                out("x8") _, out("x9") _, out("x10") _, out("x11") _,
                out("x12") _, out("x13") _, out("x14") _, out("x15") _,
            )
        }
        run
    }};
}

fn add_i32_scalar(chains: u64) -> Option<Loop> {
    counted!(chains general () [1 8])
}

/// Shuffles by an index in a register, which puts the last lane first.
macro_rules! shuffled {
    (() $count:tt) => {{
        unsafe fn run(state: &mut State, blocks: u64) {
            frame!(
                state blocks
                [
                    "movz {index}, #0x0d0c",
                    "movk {index}, #0x0f0e, lsl #16",
                    "movk {index}, #0x0908, lsl #32",
                    "movk {index}, #0x0b0a, lsl #48",
                    "fmov d31, {index}",
                    "movz {index}, #0x0504",
                    "movk {index}, #0x0706, lsl #16",
                    "movk {index}, #0x0100, lsl #32",
                    "movk {index}, #0x0302, lsl #48",
                    "mov v31.d[1], {index}",
                    each!($count "ldr q\\r, [{state}, #(64*\\r)]"),
                ]
                [
                    concat!(".rept 240 / ", $count),
                    each!($count "tbl.16b v\\r, {{ v\\r }}, v31"),
                    ".endr",
                ]
                [each!($count "str q\\r, [{state}, #(64*\\r)]"),]
                index = out(reg) _,
            )
        }
        run
    }};
}

fn shuffle_neon(chains: u64) -> Option<Loop> {
    counted!(chains shuffled () [1 12])
}

/// One instruction on the chains in the list, in SVE.
macro_rules! scalable {
    ([$($begin:literal)*] $each:literal [$($out:tt)*] $count:tt) => {{
        unsafe fn run(state: &mut State, blocks: u64) {
            frame!(
                state blocks
                [".arch_extension sve", "ptrue p0.b", $($begin,)* load!($count "z"),]
                [concat!(".rept 240 / ", $count), each!($count $each), ".endr",]
                [store!($count "z"),]
                t = out(reg) _, out("p0") _, $($out)*
            )
        }
        run
    }};
}

/// The index is that of the lane with its lowest two bits turned.
macro_rules! shuffled_sve {
    (() $count:tt) => {
        scalable!(["index z31.s, #0, #1" "eor z31.s, z31.s, #3"]
            "tbl z\\r\\\\()().s, {{ z\\r\\\\()().s }}, z31.s" [] $count)
    };
}

fn shuffle_sve(chains: u64) -> Option<Loop> {
    counted!(chains shuffled_sve () [1 12])
}

/// Each gather loads the indices of its next one.
macro_rules! gathered {
    (() $count:tt) => {
        scalable!(["add {table}, {state}, #1664"]
            "ld1w {{ z\\r\\\\()().s }}, p0/z, [{table}, z\\r\\\\()().s, uxtw #2]" [table = out(reg) _,]
            $count)
    };
}

fn gather_sve(chains: u64) -> Option<Loop> {
    counted!(chains gathered () [1 8])
}

/// Twelve chains of multiply-adds and twelve of subtractions, one for one.
macro_rules! both {
    ($name:ident $begin:literal $reg:literal $fma:literal $fms:literal $sub:literal) => {
        fn $name(chains: u64) -> Option<Loop> {
            unsafe fn run(state: &mut State, blocks: u64) {
                frame!(
                    state blocks
                    [
                        $begin,
                        load_constants!($reg),
                        load!(12 $reg),
                        load!("12,13,14,15,16,17,18,19,20,21,22,23" $reg),
                    ]
                    [
                        ".rept 5",
                        each!(12 $fma),
                        each!("12,13,14,15,16,17,18,19,20,21,22,23" $sub),
                        each!(12 $fms),
                        each!("12,13,14,15,16,17,18,19,20,21,22,23" $sub),
                        ".endr",
                    ]
                    [
                        store!(12 $reg),
                        store!("12,13,14,15,16,17,18,19,20,21,22,23" $reg),
                    ]
                    t = out(reg) _, out("p0") _,
                )
            }
            (chains == Op::OWN_CHAINS).then_some(run)
        }
    };
}

both!(both_f32_scalar "" "s" "fmadd s\\r, s30, s31, s\\r" "fmsub s\\r, s30, s31, s\\r"
    "fsub s\\r, s31, s\\r");
both!(both_f64_scalar "" "d" "fmadd d\\r, d30, d31, d\\r" "fmsub d\\r, d30, d31, d\\r"
    "fsub d\\r, d31, d\\r");
both!(both_f32_neon "" "q" "fmla.4s v\\r, v30, v31" "fmls.4s v\\r, v30, v31"
    "fsub.4s v\\r, v31, v\\r");
both!(both_f64_neon "" "q" "fmla.2d v\\r, v30, v31" "fmls.2d v\\r, v30, v31"
    "fsub.2d v\\r, v31, v\\r");
both!(both_f32_sve ".arch_extension sve\nptrue p0.b" "z" "fmla z\\r\\\\()().s, p0/m, z30.s, z31.s"
    "fmls z\\r\\\\()().s, p0/m, z30.s, z31.s" "fsub z\\r\\\\()().s, z31.s, z\\r\\\\()().s");
both!(both_f64_sve ".arch_extension sve\nptrue p0.b" "z" "fmla z\\r\\\\()().d, p0/m, z30.d, z31.d"
    "fmls z\\r\\\\()().d, p0/m, z30.d, z31.d" "fsub z\\r\\\\()().d, z31.d, z\\r\\\\()().d");

/// Loads at computed indices: one chain of them, or eight that do not wait for each other.
fn gather_scalar(chains: u64) -> Option<Loop> {
    unsafe fn one(state: &mut State, blocks: u64) {
        frame!(
            state blocks
            ["add {table}, {state}, #1664", "ldr w8, [{state}]",]
            [".rept 240", "ldr w8, [{table}, w8, uxtw #2]", ".endr",]
            ["str w8, [{state}]",]
            table = out(reg) _, out("x8") _,
        )
    }
    unsafe fn eight(state: &mut State, blocks: u64) {
        frame!(
            state blocks
            [
                "add {table}, {state}, #1664",
                each!("8,9,10,11,12,13,14,15" "ldr w\\r, [{state}, #(64*\\r - 512)]"),
            ]
            [
                ".rept 30",
                each!("8,9,10,11,12,13,14,15" "ldr {t:w}, [{table}, w\\r, uxtw #2]"),
                ".endr",
            ]
            // The last one alone says what was read; a chain says it of all.
            ["str {t:w}, [{state}, #448]",]
            table = out(reg) _, t = out(reg) _,
            out("x8") _, out("x9") _, out("x10") _, out("x11") _,
            out("x12") _, out("x13") _, out("x14") _, out("x15") _,
        )
    }
    match chains {
        1 => Some(one),
        8 => Some(eight),
        _ => None,
    }
}

/// FPCR.FZ: results below the normal numbers become zero, and so do such operands. Threads begin
/// with no bit of FPCR set.
const FLUSH: u64 = 1 << 24;

/// An instruction on four numbers over and over, 64 in a block, each time from the same operands;
/// returns the last result.
macro_rules! assisted {
    ($name:ident [$($each:literal)+]) => {
        unsafe fn $name(operands: &Operands, blocks: u64, mode: u64) -> [f32; 4] {
            let mut out = Operands::default();
            // SAFETY: FPCR is changed and put back within this block, where no compiled code can see
            // it; memory is read and written through the two pointers alone, which are to live
            // values.
            unsafe {
                asm!(
                    "mrs {before}, fpcr",
                    "msr fpcr, {mode}",
                    "ldr q29, [{operands}]",
                    "ldr q30, [{operands}, #16]",
                    "ldr q31, [{operands}, #32]",
                    ".p2align 6",
                    "2:",
                    ".rept 8",
                    ".irp r, 0, 1, 2, 3, 4, 5, 6, 7",
                    $($each,)+
                    ".endr",
                    ".endr",
                    "subs {n}, {n}, #1",
                    "b.ne 2b",
                    "str q7, [{out}]",
                    "msr fpcr, {before}",
                    before = out(reg) _,
                    mode = in(reg) mode,
                    operands = in(reg) std::ptr::from_ref(operands),
                    out = in(reg) &raw mut out,
                    n = inout(reg) blocks => _,
                    out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _,
                    out("v6") _, out("v7") _, out("v29") _, out("v30") _, out("v31") _,
                    options(nostack),
                );
            }
            out.0[0]
        }
    };
}

assisted!(add_assisted["fadd.4s v\\r, v29, v30"]);
assisted!(mul_assisted["fmul.4s v\\r, v29, v30"]);
assisted!(fma_assisted ["mov.16b v\\r, v31" "fmla.4s v\\r, v29, v30"]);

/// A loop of one of these instructions.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) struct Assist(unsafe fn(&Operands, u64, u64) -> [f32; 4]);

impl Assist {
    /// Every CPU has all of them.
    pub(in crate::kernel) fn detect(what: Assisted) -> Option<Assist> {
        Some(Assist(match what {
            Assisted::Add => add_assisted,
            Assisted::Mul => mul_assisted,
            Assisted::Fma => fma_assisted,
        }))
    }

    /// Runs `blocks` of 64 instructions on the operands, with or without flushing what is subnormal
    /// to zero, and returns the last result.
    pub(in crate::kernel) fn blocks(
        self,
        operands: &Operands,
        blocks: u64,
        flush: bool,
    ) -> [f32; 4] {
        // SAFETY: NEON is baseline.
        unsafe { self.0(operands, blocks, if flush { FLUSH } else { 0 }) }
    }
}
