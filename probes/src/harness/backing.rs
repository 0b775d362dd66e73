//! Which pages a buffer really has.

use std::io;

use crate::sys::memory::{Buffer, Pages};
use card::machine::human_bytes;

/// What the kernel really gave, if it is not what was asked for.
pub fn note(buffer: &Buffer) -> Option<String> {
    match buffer.pages() {
        Pages::Small => surplus(buffer.huge_bytes()),
        Pages::Huge => shortfall(buffer.huge_bytes(), buffer.len() as u64),
    }
}

fn shortfall(huge: io::Result<u64>, asked: u64) -> Option<String> {
    match huge {
        Ok(huge) if huge >= asked => None,
        Ok(huge) => Some(format!(
            "4 KiB pages: the kernel gave huge pages for {} of {}",
            human_bytes(huge),
            human_bytes(asked)
        )),
        Err(e) => Some(unknown(&e)),
    }
}

fn surplus(huge: io::Result<u64>) -> Option<String> {
    match huge {
        Ok(0) => None,
        Ok(huge) => Some(format!(
            "2 MiB pages: the kernel made huge pages of {} although small ones were asked for",
            human_bytes(huge)
        )),
        Err(e) => Some(unknown(&e)),
    }
}

fn unknown(error: &io::Error) -> String {
    format!("page size unknown: /proc/self/smaps: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_for_and_not_given_is_told() {
        let small = Buffer::new(4 << 20, Pages::Small).unwrap();
        assert_eq!(note(&small), None);
        assert_eq!(shortfall(Ok(4 << 20), 4 << 20), None);
        let told = shortfall(Ok(2 << 20), 4 << 20).unwrap();
        assert!(told.starts_with("4 KiB pages") && told.contains("2 MiB of 4 MiB"), "{told}");
        let hidden = shortfall(Err(io::ErrorKind::PermissionDenied.into()), 4 << 20).unwrap();
        assert!(hidden.starts_with("page size unknown"), "{hidden}");
        let told = surplus(Ok(2 << 20)).unwrap();
        assert!(told.starts_with("2 MiB pages") && told.contains("of 2 MiB"), "{told}");
        assert_eq!(surplus(Ok(0)), None);
    }
}
