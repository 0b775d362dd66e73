//! Which pages a buffer really has.

use crate::sys::memory::{Buffer, Pages};
use card::record::Backing;

/// What the kernel really gave.
pub fn of(buffer: &Buffer) -> Backing {
    let asked = buffer.len() as u64;
    match (buffer.pages(), buffer.huge_bytes()) {
        (_, Err(e)) => Backing::Untold { reason: format!("/proc/self/smaps: {e}") },
        (Pages::Huge | Pages::Gigantic, Ok(huge)) if huge < asked => {
            Backing::TooFewHuge { huge, asked }
        }
        (Pages::Small, Ok(huge)) if huge > 0 => Backing::SurplusHuge { huge },
        _ => Backing::AsAsked,
    }
}

/// The same in words, if it is not what was asked for.
pub fn note(buffer: &Buffer) -> Option<String> {
    of(buffer).note()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_for_and_not_given_is_told() {
        let small = Buffer::new(4 << 20, Pages::Small).unwrap();
        assert_eq!(of(&small), Backing::AsAsked);
        let said = |backing: Backing| backing.note().unwrap_or_default();
        let told = said(Backing::TooFewHuge { huge: 2 << 20, asked: 4 << 20 });
        assert!(told.starts_with("small pages") && told.contains("2 MiB of 4 MiB"), "{told}");
        let told = said(Backing::SurplusHuge { huge: 2 << 20 });
        assert!(told.starts_with("huge pages") && told.contains("made 2 MiB"), "{told}");
        assert_eq!(said(Backing::AsAsked), "");
    }
}
