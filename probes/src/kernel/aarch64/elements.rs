//! Arithmetic on arrays of 32-bit floating-point numbers, and a search among bytes, at each width.
//!
//! The frame is that of the bandwidth loops: 512 bytes of each array per taken branch. Sums have
//! eight accumulators; the naive loops have one, or go byte by byte, as a compiler writes them that
//! may not change the order of additions. Fused multiply-adds are baseline.
use super::bandwidth::{frame, point, scalable};
use super::sve::Sve;
use crate::kernel::bandwidth::Lanes;
use crate::kernel::elements::Kernel;
use crate::kernel::generic::bandwidth::{Stream, Walk, framed, one, pair};

/// How a loop goes.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) enum Way {
    Naive,
    Scalar,
    Neon,
    Sve(Sve),
}

impl Way {
    /// Those of this CPU: naive, scalar, then wider and wider.
    pub(in crate::kernel) fn detect() -> Vec<Way> {
        let always = [Way::Naive, Way::Scalar, Way::Neon];
        always.into_iter().chain(Sve::detect().map(Way::Sve)).collect()
    }

    /// The name in parameters and ids.
    pub(in crate::kernel) fn name(self) -> &'static str {
        match self {
            Way::Naive => "naive",
            Way::Scalar => "scalar",
            Way::Neon => "neon",
            Way::Sve(_) => "sve",
        }
    }

    /// Numbers in each of the eight accumulators of a sum, or in the naive loop's one.
    pub(in crate::kernel) fn accumulators(self) -> usize {
        match self {
            Way::Naive => 1,
            Way::Scalar => 8,
            Way::Neon => 8 * 4,
            Way::Sve(sve) => 8 * sve.bytes() / 4,
        }
    }

    /// The loop of a kernel, if there is one.
    pub(in crate::kernel) fn stream(self, kernel: Kernel) -> Option<Stream> {
        type Streams = (Option<Stream>, Stream, Stream, [Stream; 3]);
        let (naive, scalar, neon, sve): Streams = match kernel {
            Kernel::Sum => (Some(sum_naive), sum_scalar, sum_neon, SUM_SVE),
            Kernel::Dot => (Some(dot_naive), dot_scalar, dot_neon, DOT_SVE),
            // There is nothing to accumulate: the naive loop is the scalar one.
            Kernel::Saxpy => (None, saxpy_scalar, saxpy_neon, SAXPY_SVE),
            Kernel::Search => (Some(search_naive), search_scalar, search_neon, SEARCH_SVE),
        };
        match self {
            Way::Naive => naive,
            Way::Scalar => Some(scalar),
            Way::Neon => Some(neon),
            Way::Sve(length) => Some(length.of(sve)),
        }
    }
}

one!(sum_naive "0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448, 480"
    ["movi d0, #0"]
    ["ldr s16, [{at}, #(\\h + 4*\\i)]" "fadd s0, s0, s16"]
    ["str s0, [{lanes}]"]);
one!(sum_scalar "0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448, 480"
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "movi d\\i, #0" ".endr"]
    ["ldr s16, [{at}, #(\\h + 4*\\i)]" "fadd s\\i, s\\i, s16"]
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "str s\\i, [{lanes}, #(4*\\i)]" ".endr"]);
one!(sum_neon "0, 128, 256, 384"
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "movi.2d v\\i, #0" ".endr"]
    ["ldr q16, [{at}, #(\\h + 16*\\i)]" "fadd.4s v\\i, v\\i, v16"]
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "str q\\i, [{lanes}, #(16*\\i)]" ".endr"]);
scalable!(one SUM_SVE
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "movi.2d v\\i, #0" ".endr"]
    ["ldr z16, [{at}, #(\\h + \\i), mul vl]" "fadd z\\i\\\\()().s, z\\i\\\\()().s, z16.s"]
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "str z\\i, [{lanes}, #\\i, mul vl]" ".endr"]);

pair!(dot_naive "0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448, 480"
    ["movi d0, #0"]
    ["ldr s16, [{at}, #(\\h + 4*\\i)]" "ldr s17, [{and}, #(\\h + 4*\\i)]"
     "fmadd s0, s16, s17, s0"]
    ["str s0, [{lanes}]"]);
pair!(dot_scalar "0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448, 480"
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "movi d\\i, #0" ".endr"]
    ["ldr s16, [{at}, #(\\h + 4*\\i)]" "ldr s17, [{and}, #(\\h + 4*\\i)]"
     "fmadd s\\i, s16, s17, s\\i"]
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "str s\\i, [{lanes}, #(4*\\i)]" ".endr"]);
pair!(dot_neon "0, 128, 256, 384"
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "movi.2d v\\i, #0" ".endr"]
    ["ldr q16, [{at}, #(\\h + 16*\\i)]" "ldr q17, [{and}, #(\\h + 16*\\i)]"
     "fmla.4s v\\i, v16, v17"]
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "str q\\i, [{lanes}, #(16*\\i)]" ".endr"]);
scalable!(pair DOT_SVE
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "movi.2d v\\i, #0" ".endr" "ptrue p0.b"]
    ["ldr z16, [{at}, #(\\h + \\i), mul vl]" "ldr z17, [{and}, #(\\h + \\i), mul vl]"
     "fmla z\\i\\\\()().s, p0/m, z16.s, z17.s"]
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "str z\\i, [{lanes}, #\\i, mul vl]" ".endr"]);

pair!(saxpy_scalar "0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448, 480"
    ["ldr s31, [{lanes}]"]
    ["ldr s16, [{at}, #(\\h + 4*\\i)]" "ldr s\\i, [{and}, #(\\h + 4*\\i)]"
     "fmadd s\\i, s16, s31, s\\i" "str s\\i, [{and}, #(\\h + 4*\\i)]"]
    []);
pair!(saxpy_neon "0, 128, 256, 384"
    ["ldr q31, [{lanes}]"]
    ["ldr q16, [{at}, #(\\h + 16*\\i)]" "ldr q\\i, [{and}, #(\\h + 16*\\i)]"
     "fmla.4s v\\i, v16, v31" "str q\\i, [{and}, #(\\h + 16*\\i)]"]
    []);
scalable!(pair SAXPY_SVE
    ["ldr z31, [{lanes}]" "ptrue p0.b"]
    ["ldr z16, [{at}, #(\\h + \\i), mul vl]" "ldr z\\i, [{and}, #(\\h + \\i), mul vl]"
     "fmla z\\i\\\\()().s, p0/m, z16.s, z31.s" "str z\\i, [{and}, #(\\h + \\i), mul vl]"]
    []);

/// A search for the byte in the lanes, which stops before the block that has it. The first word of
/// the lanes says afterwards whether there was one.
macro_rules! search {
    ($name:ident $parts:literal [$($before:literal)*] [$($each:literal)*] [$($back:literal)*]
     [$($operands:tt)*]) => {
        frame!($name walk lanes $parts "0" [$($before)*] [] [$($each)*]
            ["mov {t}, xzr" "b 4f" "3:" $($back)* "mov {t}, #1" "4:" "str {t}, [{lanes}]"]
            [lanes = in(reg) lanes.0.as_mut_ptr(), t = out(reg) _, $($operands)*]);
    };
}

search!(search_naive "0"
    ["ldrb {c:w}, [{lanes}]"]
    ["add {t}, {at}, #512" "5:" "ldrb {u:w}, [{at}]" "cmp {u:w}, {c:w}" "b.eq 3f"
     "add {at}, {at}, #1" "cmp {at}, {t}" "b.ne 5b" "sub {at}, {at}, #512"]
    ["sub {at}, {at}, {base}" "and {at}, {at}, #0xfffffffffffffe00" "add {at}, {at}, {base}"]
    [c = out(reg) _, u = out(reg) _,]);
// Eight bytes at once: a byte of x − 01…01 whose top bit is set where that of x is not was zero, or
// had one before it.
search!(search_scalar "0, 64, 128, 192, 256, 320, 384, 448"
    ["ldr {c}, [{lanes}]" "mov {one}, #0x0101010101010101" "mov {top}, #0x8080808080808080"
     "mov {seen}, xzr"]
    [".irp w, 0, 8, 16, 24, 32, 40, 48, 56" "ldr {t}, [{at}, #(\\h + \\w)]" "eor {t}, {t}, {c}"
     "sub {u}, {t}, {one}" "bic {u}, {u}, {t}" "orr {seen}, {seen}, {u}" ".endr"
     "tst {seen}, {top}" "b.ne 3f"]
    []
    [c = out(reg) _, one = out(reg) _, top = out(reg) _, seen = out(reg) _, u = out(reg) _,]);
search!(search_neon "0, 64, 128, 192, 256, 320, 384, 448"
    ["ldr q31, [{lanes}]"]
    [".irp r, 0, 1, 2, 3" "ldr q\\r, [{at}, #(\\h + 16*\\r)]"
     "cmeq.16b v\\r, v\\r, v31" ".endr"
     "orr v0.16b, v0.16b, v1.16b" "orr v2.16b, v2.16b, v3.16b" "orr v0.16b, v0.16b, v2.16b"
     "umaxp v0.4s, v0.4s, v0.4s" "fmov {t}, d0" "cbnz {t}, 3f"]
    []
    []);

/// The same for a length of SVE's vectors, four of which are looked at together.
macro_rules! search_scalable {
    ($name:ident $parts:literal) => {
        search!($name $parts
            ["ldr z31, [{lanes}]" "ptrue p7.b"]
            ["ldr z0, [{at}, #(\\h), mul vl]" "cmpeq p0.b, p7/z, z0.b, z31.b"
             "ldr z1, [{at}, #(\\h + 1), mul vl]" "cmpeq p1.b, p7/z, z1.b, z31.b"
             "ldr z2, [{at}, #(\\h + 2), mul vl]" "cmpeq p2.b, p7/z, z2.b, z31.b"
             "ldr z3, [{at}, #(\\h + 3), mul vl]" "cmpeq p3.b, p7/z, z3.b, z31.b"
             "orr p0.b, p7/z, p0.b, p1.b" "orr p2.b, p7/z, p2.b, p3.b"
             "orrs p0.b, p7/z, p0.b, p2.b" "b.ne 3f"]
            []
            [out("p1") _, out("p2") _, out("p3") _, out("p7") _,]);
    };
}

search_scalable!(search_short "0, 4, 8, 12, 16, 20, 24, 28");
search_scalable!(search_middle "0, 4, 8, 12");
search_scalable!(search_long "0, 4");
const SEARCH_SVE: [Stream; 3] = [search_short, search_middle, search_long];
