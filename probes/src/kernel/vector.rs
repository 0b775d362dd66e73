//! Vector work of a given width, proven possible by holding its token.

use super::arch::vector::{Avx, Avx512};

/// Multiply-adds per block; counts are rounded up to whole blocks.
const BLOCK: u64 = 12;

/// A vector width this CPU and kernel can run.
#[derive(Clone, Copy, Debug)]
pub struct Width {
    name: &'static str,
    token: Token,
}

#[derive(Clone, Copy, Debug)]
enum Token {
    Avx(Avx),
    Avx512(Avx512),
}

impl Width {
    /// The widths beyond the baseline that can run here, narrow first.
    pub fn detect() -> Vec<Width> {
        let avx = Avx::detect().map(|t| Width { name: "avx", token: Token::Avx(t) });
        let avx512 = Avx512::detect().map(|t| Width { name: "avx512", token: Token::Avx512(t) });
        avx.into_iter().chain(avx512).collect()
    }

    /// The name in metric ids.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// Runs independent fused multiply-adds over all registers.
    pub fn multiply_add(self, ops: u64) {
        let blocks = ops.div_ceil(BLOCK).max(1);
        match self.token {
            Token::Avx(t) => t.multiply_add(blocks),
            Token::Avx512(t) => t.multiply_add(blocks),
        }
    }
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
