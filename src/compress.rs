//! The compressed copy of a card.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

/// A tenth smaller than the middle levels, in half a second and 40 MB; beyond, both grow fast.
const COMPRESSION: i32 = 16;

/// The compressed copy of a card's file.
pub(crate) fn compress(mut file: &File) -> io::Result<Vec<u8>> {
    file.rewind()?;
    pack(file)
}

/// Compresses all that there is to read.
pub(crate) fn pack(mut from: impl Read) -> io::Result<Vec<u8>> {
    let mut packed = zstd::Encoder::new(Vec::new(), COMPRESSION)?;
    // A flipped bit would be read as another result.
    packed.include_checksum(true)?;
    io::copy(&mut from, &mut packed)?;
    packed.finish()
}

/// Where it lies: `x.card.jsonl` → `x.card.jsonl.zst`.
pub(crate) fn name(path: &Path) -> PathBuf {
    // Not by way of text: a path may be no UTF-8.
    let mut target = path.as_os_str().to_owned();
    target.push(".zst");
    PathBuf::from(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compressed_copy_lies_beside_a_card_whose_path_is_no_text() {
        use std::os::unix::ffi::OsStrExt;
        let path = Path::new(std::ffi::OsStr::from_bytes(b"d/a\xff.card.jsonl"));
        assert_eq!(name(path).as_os_str().as_bytes(), b"d/a\xff.card.jsonl.zst");
    }

    #[test]
    fn a_compressed_card_is_read_like_any_other_and_a_flipped_bit_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.card.jsonl");
        let header = card::file::Line::Header(Box::new(card::fixture::empty().card.header));
        std::fs::write(&path, serde_json::to_string(&header).unwrap() + "\n").unwrap();
        let small = name(&path);
        let packed = compress(&File::open(&path).unwrap()).unwrap();
        std::fs::write(&small, &packed).unwrap();
        let read = card::file::Card::read;
        let whole = read(&path).unwrap();
        assert_eq!(read(&small).unwrap(), whole);
        let mut found = 0;
        let bits = (0..8 * packed.len()).step_by(packed.len() / 20);
        for bit in bits.clone() {
            let mut flipped = packed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&small, flipped).unwrap();
            match read(&small) {
                Ok(same) => assert_eq!(same, whole, "bit {bit}"),
                Err(error) => found += usize::from(error.to_string().contains("is damaged")),
            }
        }
        assert!(found > 150 && found * 20 > 19 * bits.len(), "{found} of {}", bits.len());
    }
}
