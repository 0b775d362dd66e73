//! Vector work that draws power, to see what it does to the clock.
use super::sve::{self, Sve};
use crate::kernel::generic::loops::multiply_add;
use crate::kernel::vector::{Absent, Lack};

/// Each lane its own number, so that bits toggle as they do in real work; as many as the longest
/// vector that there are kernels for.
static LANES: [f32; 16] = [
    0.31, 0.47, 0.13, 0.29, 0.53, 0.71, 0.17, 0.83, 0.37, 0.11, 0.59, 0.67, 0.23, 0.41, 0.19, 0.61,
];

/// A width that there are kernels for. NEON has 128 bits and is in every aarch64 CPU that runs Linux.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) enum Width {
    Neon,
    Sve(Sve),
}

impl Width {
    /// Those of this CPU.
    pub(in crate::kernel) fn detect() -> Vec<Width> {
        std::iter::once(Width::Neon).chain(Sve::detect().map(Width::Sve)).collect()
    }

    /// The name in metric ids.
    pub(in crate::kernel) fn name(self) -> &'static str {
        match self {
            Width::Neon => "neon",
            Width::Sve(_) => "sve",
        }
    }

    /// `blocks` times 12 independent fused multiply-adds, whose sign changes from block to block:
    /// Arm's vector ones add to their target, and sums of one sign would grow.
    pub(in crate::kernel) fn multiply_add(self, blocks: u64) {
        match self {
            Width::Neon => neon((), blocks),
            Width::Sve(sve) => scalable(sve, blocks),
        }
    }
}

/// The loop, with the change of sign at its end.
macro_rules! signed {
    ($name:ident $proof:ty: [$($begin:literal)+] $copy:literal $fma:literal $negate:literal
     [$($out:tt)*]) => {
        multiply_add!($name $proof: [$($begin)+]
            "1, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23" $copy
            "4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23" $fma
            [$negate] []
            [out("v0") _, out("v1") _, out("v4") _, out("v5") _, out("v6") _, out("v7") _,
             out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _, out("v21") _,
             out("v22") _, out("v23") _, $($out)*]);
    };
}

signed!(neon (): ["ldr q0, [{lanes}]"] "mov.16b v\\r, v0" "fmla.4s v\\r, v0, v1"
    "fneg v1.4s, v1.4s" []);
signed!(scalable Sve: [".arch_extension sve" "ptrue p0.b" "ldr z0, [{lanes}]"]
    "mov z\\r\\().d, z0.d" "fmla z\\r\\().s, p0/m, z0.s, z1.s" "fneg z1.s, p0/m, z1.s"
    [out("p0") _,]);

/// SVE, where the CPU does not offer it, or of a length without kernels.
pub(in crate::kernel) fn absent() -> Vec<Absent> {
    if Sve::detect().is_some() {
        return Vec::new();
    }
    let lack = sve::offered()
        .map_or(Lack::Feature, |offered| Lack::Length { offered, usable: &sve::LENGTHS });
    vec![Absent { width: "sve", feature: "SVE", takes_fused: false, lack }]
}
