//! Vector work of a given width, proven possible by holding its token.

use super::{arch, whole_blocks};

/// Multiply-adds per block; counts are rounded up to whole blocks.
const BLOCK: u64 = 12;

/// A vector width this CPU and kernel can run.
#[derive(Clone, Copy, Debug)]
pub struct Width(arch::vector::Width);

impl Width {
    /// Those whose load may move the clock, narrow first: beyond the baseline on x86, all on Arm.
    pub fn detect() -> Vec<Width> {
        arch::vector::Width::detect().into_iter().map(Width).collect()
    }

    /// The name in metric ids.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// Runs independent fused multiply-adds over all registers.
    pub fn multiply_add(self, ops: u64) {
        self.0.multiply_add(whole_blocks(ops, BLOCK).get());
    }
}

/// A width that metrics are declared for, and that nothing is measured of.
#[derive(Clone, Copy, Debug)]
pub struct Absent {
    /// The name in metric ids.
    pub width: &'static str,
    /// What it needs.
    pub feature: &'static str,
    /// Whether there are no fused multiply-adds of any width without it.
    pub takes_fused: bool,
    /// Why it is not here.
    pub lack: Lack,
}

/// Why a width is not here.
#[derive(Clone, Copy, Debug)]
pub enum Lack {
    /// The processor, the hypervisor or the kernel does not offer the feature.
    Feature,
    /// The vectors have another length than those that there are kernels for.
    Length {
        /// Their bytes.
        offered: usize,
        /// The lengths that there are kernels for, in bytes.
        usable: &'static [usize],
    },
}

/// All of them.
pub fn absent() -> Vec<Absent> {
    arch::vector::absent()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_detected_runs() {
        for width in Width::detect() {
            width.multiply_add(10_000);
        }
    }
}
