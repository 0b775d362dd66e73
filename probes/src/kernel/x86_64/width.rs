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
