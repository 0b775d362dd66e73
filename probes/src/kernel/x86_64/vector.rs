//! Vector work that draws power, to see what it does to the clock.
use core::arch::asm;

/// Proof that the CPU and the kernel let 256-bit FMA run.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) struct Avx(());

/// Proof that the CPU and the kernel let 512-bit vectors run.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) struct Avx512(());

impl Avx {
    pub(in crate::kernel) fn detect() -> Option<Avx> {
        // The macro also asks XGETBV whether the kernel saves the registers.
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Avx(()))
    }

    /// `blocks` times 12 independent fused multiply-adds of 256 bits.
    pub(in crate::kernel) fn multiply_add(self, blocks: u64) {
        // SAFETY: AVX2 and FMA were detected (the token); only clobbered registers change, and
        // vzeroupper leaves the upper halves clean for SSE code.
        unsafe {
            asm!(
                "vxorps ymm0, ymm0, ymm0",
                ".irp r, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
                "vxorps ymm\\r, ymm\\r, ymm\\r",
                ".endr",
                ".p2align 6",
                "2:",
                ".irp r, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
                "vfmadd231ps ymm\\r, ymm0, ymm0",
                ".endr",
                "dec {n}",
                "jnz 2b",
                "vzeroupper",
                n = inout(reg) blocks => _,
                out("ymm0") _, out("ymm4") _, out("ymm5") _, out("ymm6") _, out("ymm7") _,
                out("ymm8") _, out("ymm9") _, out("ymm10") _, out("ymm11") _, out("ymm12") _,
                out("ymm13") _, out("ymm14") _, out("ymm15") _,
                options(nomem, nostack),
            );
        }
    }
}

impl Avx512 {
    pub(in crate::kernel) fn detect() -> Option<Avx512> {
        is_x86_feature_detected!("avx512f").then_some(Avx512(()))
    }

    /// `blocks` times 12 independent fused multiply-adds of 512 bits.
    pub(in crate::kernel) fn multiply_add(self, blocks: u64) {
        // SAFETY: AVX-512F was detected (the token); otherwise as for 256 bits.
        unsafe {
            asm!(
                "vpxord zmm0, zmm0, zmm0",
                ".irp r, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
                "vpxord zmm\\r, zmm\\r, zmm\\r",
                ".endr",
                ".p2align 6",
                "2:",
                ".irp r, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
                "vfmadd231ps zmm\\r, zmm0, zmm0",
                ".endr",
                "dec {n}",
                "jnz 2b",
                "vzeroupper",
                n = inout(reg) blocks => _,
                out("ymm0") _, out("ymm4") _, out("ymm5") _, out("ymm6") _, out("ymm7") _,
                out("ymm8") _, out("ymm9") _, out("ymm10") _, out("ymm11") _, out("ymm12") _,
                out("ymm13") _, out("ymm14") _, out("ymm15") _,
                options(nomem, nostack),
            );
        }
    }
}
