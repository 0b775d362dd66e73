//! Vector work that draws power, to see what it does to the clock.
use crate::kernel::generic::loops::multiply_add;
use crate::kernel::vector::{Absent, Lack};

/// Each lane its own number below a half, so that x·l + l settles at l/(1 − l), which is normal and
/// finite, and bits toggle as they do in real work.
static LANES: [f32; 16] = [
    0.31, 0.47, 0.13, 0.29, 0.43, 0.07, 0.37, 0.19, 0.41, 0.23, 0.11, 0.17, 0.05, 0.35, 0.45, 0.25,
];

/// Proof that the CPU and the kernel let 256-bit FMA run.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) struct Avx(());

/// Proof that the CPU and the kernel let 512-bit vectors run.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) struct Avx512(());

/// A width beyond the baseline, proven possible.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) enum Width {
    Avx(Avx),
    Avx512(Avx512),
}

impl Width {
    /// Those of this CPU, narrow first.
    pub(in crate::kernel) fn detect() -> Vec<Width> {
        let both = [Avx::detect().map(Width::Avx), Avx512::detect().map(Width::Avx512)];
        both.into_iter().flatten().collect()
    }

    /// The name in metric ids.
    pub(in crate::kernel) fn name(self) -> &'static str {
        match self {
            Width::Avx(_) => "avx",
            Width::Avx512(_) => "avx512",
        }
    }

    /// `blocks` times 12 independent fused multiply-adds.
    pub(in crate::kernel) fn multiply_add(self, blocks: u64) {
        match self {
            Width::Avx(token) => avx(token, blocks),
            Width::Avx512(token) => avx512(token, blocks),
        }
    }
}

/// The widths that are not here.
pub(in crate::kernel) fn absent() -> Vec<Absent> {
    let absent =
        |width, feature, takes_fused| Absent { width, feature, takes_fused, lack: Lack::Feature };
    let avx = Avx::detect().is_none().then(|| absent("avx", "AVX2 and FMA", true));
    let avx512 = Avx512::detect().is_none().then(|| absent("avx512", "AVX-512", false));
    avx.into_iter().chain(avx512).collect()
}

impl Avx {
    pub(in crate::kernel) fn detect() -> Option<Avx> {
        // The macro also asks XGETBV whether the kernel saves the registers.
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Avx(()))
    }
}

impl Avx512 {
    pub(in crate::kernel) fn detect() -> Option<Avx512> {
        is_x86_feature_detected!("avx512f").then_some(Avx512(()))
    }
}

/// The loop in registers of one kind, which leaves their upper halves clean for SSE code.
macro_rules! wide {
    ($name:ident $proof:ty: $load:literal $copy:literal $fma:literal) => {
        multiply_add!($name $proof: [$load]
            "4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15" $copy
            "4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15" $fma
            [] ["vzeroupper"]
            [out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _, out("ymm4") _,
             out("ymm5") _, out("ymm6") _, out("ymm7") _, out("ymm8") _, out("ymm9") _,
             out("ymm10") _, out("ymm11") _, out("ymm12") _, out("ymm13") _, out("ymm14") _,
             out("ymm15") _,]);
    };
}

wide!(avx Avx: "vmovups ymm0, [{lanes}]" "vmovaps ymm\\r, ymm0" "vfmadd213ps ymm\\r, ymm0, ymm0");
wide!(avx512 Avx512: "vmovups zmm0, [{lanes}]" "vmovaps zmm\\r, zmm0"
    "vfmadd213ps zmm\\r, zmm0, zmm0");
