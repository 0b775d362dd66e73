//! Scalable vectors: their length is the processor's, and the kernel of the system may shorten it.
use core::arch::asm;
use std::arch::is_aarch64_feature_detected;

/// The lengths that there are kernels for, in bytes.
pub(super) const LENGTHS: [usize; 3] = [16, 32, 64];

/// A length of vectors that this CPU has, as its place among [`LENGTHS`], proven by holding it.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) struct Sve(usize);

impl Sve {
    pub(in crate::kernel) fn detect() -> Option<Sve> {
        let bytes = offered()?;
        LENGTHS.iter().position(|&length| length == bytes).map(Sve)
    }

    /// Bytes of a vector.
    pub(super) fn bytes(self) -> usize {
        LENGTHS[self.0]
    }

    /// What belongs to this length, of what there is for each.
    pub(super) fn of<T: Copy>(self, each: [T; 3]) -> T {
        each[self.0]
    }
}

/// Bytes of a vector, whether there are kernels for them or not.
pub(super) fn offered() -> Option<usize> {
    is_aarch64_feature_detected!("sve").then(|| {
        let bytes;
        // SAFETY: SVE was detected; a register is written, and nothing else.
        unsafe {
            asm!(
                ".arch_extension sve",
                "cntb {bytes}",
                bytes = out(reg) bytes,
                options(nomem, nostack, preserves_flags),
            );
        }
        bytes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_of_a_length_that_the_architecture_allows() {
        match offered() {
            Some(bytes) => assert!(bytes % 16 == 0 && (16..=256).contains(&bytes), "{bytes}"),
            None => assert!(Sve::detect().is_none()),
        }
    }
}
