//! What to say where a width of vectors is not here.

use crate::kernel::vector::{Absent, Lack};
use card::record::Skip;

/// Needed is the feature; why it is not here, and what would help.
pub fn lacking(absent: Absent) -> Skip {
    let (reason, remedy) = match absent.lack {
        Lack::Feature => (
            "the processor, the hypervisor or the kernel does not offer it".to_owned(),
            "none on this processor; in a guest, pass the host's CPU through".to_owned(),
        ),
        Lack::Length { offered, usable } => {
            let bits: Vec<String> = usable.iter().map(|bytes| (8 * bytes).to_string()).collect();
            let longest_first: Vec<String> = usable.iter().rev().map(usize::to_string).collect();
            (
                format!(
                    "there are kernels for vectors of {} bits, and these have {}",
                    bits.join(" or "),
                    8 * offered
                ),
                format!("sysctl abi.sve_default_vector_length={}", longest_first.join(", or ")),
            )
        }
    };
    Skip::new(absent.feature, reason, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_what_lacks_and_what_would_help() {
        let lacks = |lack| Absent { width: "sve", feature: "SVE", takes_fused: false, lack };
        let row = lacking(lacks(Lack::Feature));
        assert_eq!(row.need, "SVE");
        assert!(row.reason.ends_with("does not offer it"), "{}", row.reason);
        let row = lacking(lacks(Lack::Length { offered: 256, usable: &[16, 32] }));
        assert_eq!(
            row.reason,
            "there are kernels for vectors of 128 or 256 bits, and these have 2048"
        );
        assert_eq!(row.remedy, "sysctl abi.sve_default_vector_length=32, or 16");
    }
}
