//! The widths of registers that an architecture can have: what there are metrics of.

use super::arch;

/// How long a register is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// As long as one number.
    Number,
    /// A vector of so many bytes.
    Bytes(usize),
    /// A vector whose length is the processor's choice, and the system's.
    Scalable,
}

/// A width of registers, whether this CPU has it or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Width {
    /// The name in parameters and ids.
    pub name: &'static str,
    /// What it is called in a text: "256-bit".
    pub title: &'static str,
    /// The length of a register.
    pub length: Length,
    /// Whether its load may move the clock.
    pub moves_clock: bool,
    /// Whether it has loads at computed indices.
    pub gathers: bool,
    /// Whether baseline code multiplies and adds at this width by two instructions.
    pub unfused: bool,
}

impl Width {
    /// All that this architecture can have, narrow first.
    pub const fn declared() -> &'static [Width] {
        arch::width::DECLARED
    }

    /// Whether it is one of vectors.
    pub const fn is_vector(self) -> bool {
        !matches!(self.length, Length::Number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{bandwidth, elements, simd, vector};

    fn names(which: impl Fn(&&Width) -> bool) -> Vec<&'static str> {
        Width::declared().iter().filter(which).map(|width| width.name).collect()
    }

    #[test]
    fn what_is_detected_is_declared() {
        let all = names(|_| true);
        for width in simd::Width::detect() {
            let declared = Width::declared().iter().find(|w| w.name == width.name()).unwrap();
            let numbers = width.lanes(simd::Type::F32);
            match declared.length {
                Length::Number => assert_eq!(numbers, 1),
                Length::Bytes(bytes) => assert_eq!(4 * numbers, bytes, "{}", declared.name),
                Length::Scalable => assert!(numbers >= 4),
            }
        }
        assert!(bandwidth::Width::detect().iter().all(|width| all.contains(&width.name())));
        let variants = elements::Variant::detect();
        assert!(variants.iter().all(|v| v.name() == "naive" || all.contains(&v.name())));
        let loads = names(|width| width.moves_clock);
        assert!(vector::Width::detect().iter().all(|width| loads.contains(&width.name())));
        assert!(vector::absent().iter().all(|absent| all.contains(&absent.width)));
    }

    #[test]
    fn gathers_are_where_they_are_declared() {
        for width in simd::Width::detect() {
            let chains = simd::Chains::new(width, simd::Op::Gather, simd::Type::I32, 1);
            let declared = names(|declared| declared.gathers).contains(&width.name());
            assert_eq!(chains.is_some(), declared, "{}", width.name());
        }
    }
}
