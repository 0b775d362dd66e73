//! Arithmetic on arrays of 32-bit floating-point numbers, and a search among bytes, at each width.
//!
//! The frame is that of the bandwidth loops: 512 bytes of each array per taken branch. Sums have
//! eight accumulators; the naive loops have one, or go byte by byte, as a compiler writes them that
//! may not change the order of additions. Baseline code has no fused multiply-add.
use super::bandwidth::{frame, point};
use super::vector::{Avx, Avx512};
use crate::kernel::bandwidth::Lanes;
use crate::kernel::elements::Kernel;
use crate::kernel::generic::bandwidth::{Stream, Walk, framed, one, pair};

/// Proof that the CPU and the kernel let 512-bit vectors of bytes be compared.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) struct Bytes512(());

impl Bytes512 {
    pub(in crate::kernel) fn detect() -> Option<Bytes512> {
        is_x86_feature_detected!("avx512bw").then_some(Bytes512(()))
    }
}

/// How a loop goes, proven possible.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) enum Way {
    Naive,
    Scalar,
    Sse,
    Avx(#[allow(dead_code, reason = "a proof, not a value")] Avx),
    Avx512(#[allow(dead_code, reason = "a proof, not a value")] Avx512, Option<Bytes512>),
}

impl Way {
    /// Those of this CPU: naive, scalar, then wider and wider.
    pub(in crate::kernel) fn detect() -> Vec<Way> {
        Way::proven(Avx::detect(), Avx512::detect())
    }

    fn proven(avx: Option<Avx>, avx512: Option<Avx512>) -> Vec<Way> {
        let wide = [avx.map(Way::Avx), avx512.map(|token| Way::Avx512(token, Bytes512::detect()))];
        let all = [Way::Naive, Way::Scalar, Way::Sse].into_iter();
        all.chain(wide.into_iter().flatten()).collect()
    }

    /// The name in parameters and ids.
    pub(in crate::kernel) fn name(self) -> &'static str {
        match self {
            Way::Naive => "naive",
            Way::Scalar => "scalar",
            Way::Sse => "sse",
            Way::Avx(_) => "avx",
            Way::Avx512(..) => "avx512",
        }
    }

    /// Numbers in each of the eight accumulators of a sum, or in the naive loop's one.
    pub(in crate::kernel) fn accumulators(self) -> usize {
        match self {
            Way::Naive => 1,
            Way::Scalar => 8,
            Way::Sse => 8 * 4,
            Way::Avx(_) => 8 * 8,
            Way::Avx512(..) => 8 * 16,
        }
    }

    /// The loop of a kernel, if there is one.
    pub(in crate::kernel) fn stream(self, kernel: Kernel) -> Option<Stream> {
        let [naive, scalar, sse, avx, avx512]: [Option<Stream>; 5] = match kernel {
            Kernel::Sum => {
                [Some(sum_naive), Some(sum_scalar), Some(sum_sse), Some(sum_avx), Some(sum_avx512)]
            }
            Kernel::Dot => {
                [Some(dot_naive), Some(dot_scalar), Some(dot_sse), Some(dot_avx), Some(dot_avx512)]
            }
            // There is nothing to accumulate: the naive loop is the scalar one.
            Kernel::Saxpy => {
                [None, Some(saxpy_scalar), Some(saxpy_sse), Some(saxpy_avx), Some(saxpy_avx512)]
            }
            Kernel::Search => [
                Some(search_naive),
                Some(search_scalar),
                Some(search_sse),
                Some(search_avx),
                Some(search_avx512),
            ],
        };
        match self {
            Way::Naive => naive,
            Way::Scalar => scalar,
            Way::Sse => sse,
            Way::Avx(_) => avx,
            Way::Avx512(_, None) if kernel == Kernel::Search => None,
            Way::Avx512(..) => avx512,
        }
    }
}

one!(sum_naive "0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448, 480"
    ["xorps xmm0, xmm0"]
    ["addss xmm0, [{at} + \\h + 4*\\i]"]
    ["movss [{lanes}], xmm0"]);
one!(sum_scalar "0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448, 480"
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "xorps xmm\\i, xmm\\i" ".endr"]
    ["addss xmm\\i, [{at} + \\h + 4*\\i]"]
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "movss [{lanes} + 4*\\i], xmm\\i" ".endr"]);
one!(sum_sse "0, 128, 256, 384"
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "xorps xmm\\i, xmm\\i" ".endr"]
    ["addps xmm\\i, [{at} + \\h + 16*\\i]"]
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "movaps [{lanes} + 16*\\i], xmm\\i" ".endr"]);
one!(sum_avx "0, 256"
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "vxorps ymm\\i, ymm\\i, ymm\\i" ".endr"]
    ["vaddps ymm\\i, ymm\\i, [{at} + \\h + 32*\\i]"]
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "vmovaps [{lanes} + 32*\\i], ymm\\i" ".endr" "vzeroupper"]);
one!(sum_avx512 "0"
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "vpxorq zmm\\i, zmm\\i, zmm\\i" ".endr"]
    ["vaddps zmm\\i, zmm\\i, [{at} + \\h + 64*\\i]"]
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "vmovaps [{lanes} + 64*\\i], zmm\\i" ".endr" "vzeroupper"]);

pair!(dot_naive "0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448, 480"
    ["xorps xmm0, xmm0"]
    ["movss xmm15, [{at} + \\h + 4*\\i]" "mulss xmm15, [{and} + \\h + 4*\\i]" "addss xmm0, xmm15"]
    ["movss [{lanes}], xmm0"]);
pair!(dot_scalar "0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448, 480"
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "xorps xmm\\i, xmm\\i" ".endr"]
    ["movss xmm15, [{at} + \\h + 4*\\i]" "mulss xmm15, [{and} + \\h + 4*\\i]"
     "addss xmm\\i, xmm15"]
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "movss [{lanes} + 4*\\i], xmm\\i" ".endr"]);
pair!(dot_sse "0, 128, 256, 384"
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "xorps xmm\\i, xmm\\i" ".endr"]
    ["movaps xmm15, [{at} + \\h + 16*\\i]" "mulps xmm15, [{and} + \\h + 16*\\i]"
     "addps xmm\\i, xmm15"]
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "movaps [{lanes} + 16*\\i], xmm\\i" ".endr"]);
pair!(dot_avx "0, 256"
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "vxorps ymm\\i, ymm\\i, ymm\\i" ".endr"]
    ["vmovaps ymm15, [{at} + \\h + 32*\\i]" "vfmadd231ps ymm\\i, ymm15, [{and} + \\h + 32*\\i]"]
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "vmovaps [{lanes} + 32*\\i], ymm\\i" ".endr" "vzeroupper"]);
pair!(dot_avx512 "0"
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "vpxorq zmm\\i, zmm\\i, zmm\\i" ".endr"]
    ["vmovaps zmm15, [{at} + \\h + 64*\\i]" "vfmadd231ps zmm\\i, zmm15, [{and} + \\h + 64*\\i]"]
    [".irp i, 0, 1, 2, 3, 4, 5, 6, 7" "vmovaps [{lanes} + 64*\\i], zmm\\i" ".endr" "vzeroupper"]);

pair!(saxpy_scalar "0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448, 480"
    ["movss xmm15, [{lanes}]"]
    ["movss xmm\\i, [{at} + \\h + 4*\\i]" "mulss xmm\\i, xmm15"
     "addss xmm\\i, [{and} + \\h + 4*\\i]" "movss [{and} + \\h + 4*\\i], xmm\\i"]
    []);
pair!(saxpy_sse "0, 128, 256, 384"
    ["movaps xmm15, [{lanes}]"]
    ["movaps xmm\\i, [{at} + \\h + 16*\\i]" "mulps xmm\\i, xmm15"
     "addps xmm\\i, [{and} + \\h + 16*\\i]" "movaps [{and} + \\h + 16*\\i], xmm\\i"]
    []);
pair!(saxpy_avx "0, 256"
    ["vmovaps ymm15, [{lanes}]"]
    ["vmovaps ymm\\i, [{at} + \\h + 32*\\i]" "vfmadd213ps ymm\\i, ymm15, [{and} + \\h + 32*\\i]"
     "vmovaps [{and} + \\h + 32*\\i], ymm\\i"]
    ["vzeroupper"]);
pair!(saxpy_avx512 "0"
    ["vmovaps zmm15, [{lanes}]"]
    ["vmovaps zmm\\i, [{at} + \\h + 64*\\i]" "vfmadd213ps zmm\\i, zmm15, [{and} + \\h + 64*\\i]"
     "vmovaps [{and} + \\h + 64*\\i], zmm\\i"]
    ["vzeroupper"]);

/// A search for the byte in the lanes, which stops before the block that has it. The first word of
/// the lanes says afterwards whether there was one.
macro_rules! search {
    ($name:ident $parts:literal [$($before:literal)*] [$($each:literal)*] [$($back:literal)*]
     [$($after:literal)*] [$($operands:tt)*]) => {
        frame!($name walk lanes $parts "0" [$($before)*] [] [$($each)*]
            ["xor {t:e}, {t:e}" "jmp 4f" "3:" $($back)* "mov {t:e}, 1" "4:" "mov [{lanes}], {t}"
             $($after)*]
            [lanes = in(reg) lanes.0.as_mut_ptr(), t = out(reg) _, $($operands)*]);
    };
}

search!(search_naive "0"
    ["movzx {c:e}, byte ptr [{lanes}]"]
    ["lea {t}, [{at} + 512]" "5:" "cmp byte ptr [{at}], {c:l}" "je 3f" "inc {at}" "cmp {at}, {t}"
     "jne 5b" "sub {at}, 512"]
    ["sub {at}, {base}" "and {at}, -512" "add {at}, {base}"]
    []
    [c = out(reg) _,]);
// Eight bytes at once: a byte of x − 01…01 whose top bit is set where that of x is not was zero, or
// had one before it.
search!(search_scalar "0, 64, 128, 192, 256, 320, 384, 448"
    ["mov {c}, [{lanes}]" "mov {one}, -0x0101010101010101" "mov {top}, 0x8080808080808080"
     "xor {seen:e}, {seen:e}"]
    [".irp w, 0, 8, 16, 24, 32, 40, 48, 56" "mov {t}, [{at} + \\h + \\w]" "xor {t}, {c}"
     "lea {u}, [{t} + {one}]" "not {t}" "and {u}, {t}" "or {seen}, {u}" ".endr"
     "test {seen}, {top}" "jnz 3f"]
    []
    []
    [c = out(reg) _, one = out(reg) _, top = out(reg) _, seen = out(reg) _, u = out(reg) _,]);
search!(search_sse "0, 64, 128, 192, 256, 320, 384, 448"
    ["movaps xmm15, [{lanes}]"]
    [".irp r, 0, 1, 2, 3" "movdqa xmm\\r, [{at} + \\h + 16*\\r]" "pcmpeqb xmm\\r, xmm15" ".endr"
     "por xmm0, xmm1" "por xmm2, xmm3" "por xmm0, xmm2" "pmovmskb {t:e}, xmm0" "test {t:e}, {t:e}"
     "jnz 3f"]
    []
    []
    []);
search!(search_avx "0, 128, 256, 384"
    ["vmovdqa ymm15, [{lanes}]"]
    [".irp r, 0, 1, 2, 3" "vpcmpeqb ymm\\r, ymm15, [{at} + \\h + 32*\\r]" ".endr"
     "vpor ymm0, ymm0, ymm1" "vpor ymm2, ymm2, ymm3" "vpor ymm0, ymm0, ymm2"
     "vpmovmskb {t:e}, ymm0" "test {t:e}, {t:e}" "jnz 3f"]
    []
    ["vzeroupper"]
    []);
// The smallest byte of x ⊕ needle over four vectors is zero where one of them has it.
search!(search_avx512 "0, 256"
    ["vmovdqa64 zmm15, [{lanes}]"]
    [".irp r, 0, 1, 2, 3" "vpxorq zmm\\r, zmm15, [{at} + \\h + 64*\\r]" ".endr"
     "vpminub zmm0, zmm0, zmm1" "vpminub zmm2, zmm2, zmm3" "vpminub zmm0, zmm0, zmm2"
     "vptestnmb k1, zmm0, zmm0" "kortestq k1, k1" "jnz 3f"]
    []
    ["vzeroupper"]
    [out("k1") _,]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_proof_there_is_nothing_wider_than_the_baseline() {
        let names: Vec<&str> = Way::proven(None, None).into_iter().map(Way::name).collect();
        assert_eq!(names, ["naive", "scalar", "sse"]);
        let can = |way: Way, kernel| way.stream(kernel).is_some();
        assert!(Way::proven(None, None).iter().all(|way| can(*way, Kernel::Search)));
        // 512 bits without instructions on bytes, as the first of them had.
        if let Some(token) = Avx512::detect() {
            let way = Way::Avx512(token, None);
            assert!(!can(way, Kernel::Search) && can(way, Kernel::Sum));
        }
    }
}
