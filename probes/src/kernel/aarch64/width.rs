//! The widths of registers.

use super::sve::Sve;
use crate::kernel::width::{self, Length};

/// A width, proven possible. NEON has 128 bits and is in every aarch64 CPU that runs Linux.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) enum Width {
    Scalar,
    Neon,
    Sve(Sve),
}

impl Width {
    /// Those of this CPU, narrow first.
    pub(in crate::kernel) fn detect() -> Vec<Width> {
        [Width::Scalar, Width::Neon].into_iter().chain(Sve::detect().map(Width::Sve)).collect()
    }

    /// The name in parameters.
    pub(in crate::kernel) fn name(self) -> &'static str {
        match self {
            Width::Scalar => "scalar",
            Width::Neon => "neon",
            Width::Sve(_) => "sve",
        }
    }

    /// Bytes of a vector; none of a single number.
    pub(in crate::kernel) fn bytes(self) -> Option<usize> {
        match self {
            Width::Scalar => None,
            Width::Neon => Some(16),
            Width::Sve(sve) => Some(sve.bytes()),
        }
    }

    /// Registers of that width.
    pub(in crate::kernel) fn registers(self) -> usize {
        32
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
        name: "neon",
        title: "128-bit",
        length: Length::Bytes(16),
        moves_clock: true,
        gathers: false,
        unfused: false,
    },
    width::Width {
        name: "sve",
        title: "scalable",
        length: Length::Scalable,
        moves_clock: true,
        gathers: true,
        unfused: false,
    },
];
