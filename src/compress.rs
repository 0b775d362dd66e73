//! The compressed copy of a card.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// A tenth smaller than the middle levels, in half a second and 40 MB; beyond, both grow fast.
const COMPRESSION: i32 = 16;

/// Writes a compressed copy beside the card: `x.card.jsonl` → `x.card.jsonl.zst`.
pub(crate) fn compress(path: &Path) -> io::Result<PathBuf> {
    // Not by way of text: a path may be no UTF-8.
    let mut target = path.as_os_str().to_owned();
    target.push(".zst");
    let target = PathBuf::from(target);
    std::fs::write(&target, zstd::encode_all(File::open(path)?, COMPRESSION)?)?;
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compressed_copy_lies_beside_a_card_whose_path_is_no_text() {
        use std::os::unix::ffi::OsStrExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(std::ffi::OsStr::from_bytes(b"a\xff.card.jsonl"));
        // Some file systems take text alone.
        let Ok(()) = std::fs::write(&path, "words") else { return };
        let copy = compress(&path).unwrap();
        assert_eq!(copy.as_os_str().as_bytes(), [path.as_os_str().as_bytes(), b".zst"].concat());
        assert_eq!(zstd::decode_all(File::open(copy).unwrap()).unwrap(), b"words");
    }
}
