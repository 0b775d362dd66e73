//! The widths of registers.

use super::vector::{Avx, Avx512};
use crate::kernel::width::{self, Length};

/// A width, proven possible; where it is the baseline, with the proof of fused multiply-adds, which
/// came with AVX2.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) enum Width {
    Scalar(Option<Avx>),
    Sse(Option<Avx>),
    Avx(#[allow(dead_code, reason = "a proof, not a value")] Avx),
    Avx512(#[allow(dead_code, reason = "a proof, not a value")] Avx512),
}

impl Width {
    /// Those of this CPU, narrow first.
    pub(in crate::kernel) fn detect() -> Vec<Width> {
        Width::proven(Avx::detect(), Avx512::detect())
    }

    /// Those that there is proof of.
    pub(super) fn proven(avx: Option<Avx>, avx512: Option<Avx512>) -> Vec<Width> {
        let wide = [avx.map(Width::Avx), avx512.map(Width::Avx512)];
        let all = [Width::Scalar(avx), Width::Sse(avx)].into_iter();
        all.chain(wide.into_iter().flatten()).collect()
    }

    /// The name in parameters.
    pub(in crate::kernel) fn name(self) -> &'static str {
        match self {
            Width::Scalar(_) => "scalar",
            Width::Sse(_) => "sse",
            Width::Avx(_) => "avx",
            Width::Avx512(_) => "avx512",
        }
    }

    /// Bytes of a vector; none of a single number.
    pub(in crate::kernel) fn bytes(self) -> Option<usize> {
        match self {
            Width::Scalar(_) => None,
            Width::Sse(_) => Some(16),
            Width::Avx(_) => Some(32),
            Width::Avx512(_) => Some(64),
        }
    }

    /// Registers of that width.
    pub(in crate::kernel) fn registers(self) -> usize {
        if matches!(self, Width::Avx512(_)) { 32 } else { 16 }
    }
}

/// All of them, whether they are here or not.
pub(in crate::kernel) const DECLARED: &[width::Width] = &[
    width::Width {
        name: "scalar",
        title: "scalar",
        length: Length::Number,
        moves_clock: false,
        gathers: true,
        unfused: false,
    },
    width::Width {
        name: "sse",
        title: "128-bit",
        length: Length::Bytes(16),
        moves_clock: false,
        gathers: false,
        unfused: true,
    },
    width::Width {
        name: "avx",
        title: "256-bit",
        length: Length::Bytes(32),
        moves_clock: true,
        gathers: true,
        unfused: false,
    },
    width::Width {
        name: "avx512",
        title: "512-bit",
        length: Length::Bytes(64),
        moves_clock: true,
        gathers: true,
        unfused: false,
    },
];
