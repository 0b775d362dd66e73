//! Vector work that draws power, to see what it does to the clock.
use core::arch::asm;

use super::super::vector::Absent;

/// Each lane its own number, so that bits toggle as they do in real work.
static LANES: [f32; 4] = [0.31, 0.47, 0.13, 0.29];

/// A width that there are kernels for. NEON has 128 bits and is in every aarch64 CPU that runs
/// Linux; SVE has none here yet.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) enum Width {
    Neon,
}

impl Width {
    /// Those of this CPU.
    pub(in crate::kernel) fn detect() -> Vec<Width> {
        vec![Width::Neon]
    }

    /// The name in metric ids.
    pub(in crate::kernel) fn name(self) -> &'static str {
        match self {
            Width::Neon => "neon",
        }
    }

    /// `blocks` times 12 independent fused multiply-adds of 128 bits, whose sign changes from block
    /// to block: NEON's add to their target, and sums of one sign would grow.
    pub(in crate::kernel) fn multiply_add(self, blocks: u64) {
        // SAFETY: NEON is baseline; LANES holds the 16 bytes read, and only clobbered registers
        // change.
        unsafe {
            asm!(
                "ldr q0, [{lanes}]",
                "mov v1.16b, v0.16b",
                ".irp r, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23",
                "mov.16b v\\r, v0",
                ".endr",
                ".p2align 6",
                "2:",
                ".irp r, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23",
                "fmla.4s v\\r, v0, v1",
                ".endr",
                "fneg v1.4s, v1.4s",
                "subs {n}, {n}, #1",
                "b.ne 2b",
                lanes = in(reg) LANES.as_ptr(),
                n = inout(reg) blocks => _,
                out("v0") _, out("v1") _, out("v4") _, out("v5") _, out("v6") _, out("v7") _,
                out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _,
                out("v21") _, out("v22") _, out("v23") _,
                options(readonly, nostack),
            );
        }
    }
}

/// SVE, where the CPU has it, because there are no kernels for it yet.
pub(in crate::kernel) fn absent() -> Vec<Absent> {
    let sve = std::arch::is_aarch64_feature_detected!("sve").then_some(Absent {
        width: "sve",
        what: "SVE",
        takes_fused: false,
        reason: "the processor offers it, and this version has no kernels for it",
        remedy: "a later version; NEON is measured",
    });
    sve.into_iter().collect()
}
