//! The widths of registers.

use crate::kernel::width::{self, Length};

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
