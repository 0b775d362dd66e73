//! Sizes in words.

const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// "64 B", "32 KiB", "1 MiB", "1.5 MiB", "24.0 GiB".
///
/// Caches and pages are whole numbers and shown so; memory never is, and one digit is enough.
pub fn human_bytes(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let size = |index: usize| 1u64 << (10 * (index + 1));
    let value = |index: usize| bytes as f64 / size(index) as f64;
    // 1023.96 would be printed as 1024.0, which is 1 of the next unit.
    let index = (0..UNITS.len()).find(|&index| value(index) < 1023.95).unwrap_or(UNITS.len() - 1);
    let unit = UNITS[index];
    if index < 2 && bytes.is_multiple_of(size(index)) {
        return format!("{} {unit}", bytes / size(index));
    }
    format!("{:.1} {unit}", value(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_for_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (64, "64 B"),
            (32 << 10, "32 KiB"),
            (1 << 20, "1 MiB"),
            (3 << 19, "1.5 MiB"),
            (32 << 20, "32 MiB"),
            ((1 << 30) - 1, "1.0 GiB"),
            (1 << 30, "1.0 GiB"),
            (24 << 30, "24.0 GiB"),
            (1536 << 30, "1.5 TiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(human_bytes(bytes), text);
        }
    }
}
