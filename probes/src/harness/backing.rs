//! Which pages a buffer really has.

use std::io;

use crate::machine::human_bytes;
use crate::sys::memory::{Buffer, Pages};

/// What the kernel really gave, if it is not what was asked for.
pub fn note(buffer: &Buffer) -> Option<String> {
    match buffer.pages() {
        Pages::Small => None,
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
        Err(e) => Some(format!("page size unknown: /proc/self/smaps: {e}")),
    }
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
    }
}
