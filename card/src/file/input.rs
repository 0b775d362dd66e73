//! The bytes of a file that may come from anywhere: no more of them than a card can have, and those
//! that were written.

use std::collections::HashSet;
use std::io::Read;
use std::path::Path;

use ruzstd::decoding::StreamingDecoder;

use super::{Card, CardError, unreadable};
use crate::format::human_bytes;

/// Of a card, unpacked. A standard run on two CPUs leaves 2 MiB, a thorough one five times that.
pub(super) const MOST_BYTES: u64 = 64 << 20;

/// Of a line. The longest is the header with all declarations, some 200 KiB.
const MOST_OF_LINE: usize = 4 << 20;

/// Readers look at every line for all that is declared or recorded under a name. A large card takes a
/// thousandth of this, and this some seconds.
const MOST_WORK: usize = 1 << 30;

/// All of a file, which may have so many bytes.
pub(super) fn read(path: &Path, file: impl Read, most: u64) -> Result<Vec<u8>, CardError> {
    let mut bytes = Vec::new();
    // An endless one, such as /dev/zero, would take all memory.
    file.take(most + 1).read_to_end(&mut bytes).map_err(|source| unreadable(path, source))?;
    within(most, path, &bytes)?;
    Ok(bytes)
}

/// What these Zstandard frames hold, so many bytes at most, held against their checksums where they
/// have any.
pub(super) fn unpack(path: &Path, packed: &[u8], most: u64) -> Result<Vec<u8>, CardError> {
    let damaged = |reason: String| CardError::Damaged { path: path.to_owned(), reason };
    let (mut rest, mut bytes) = (packed, Vec::new());
    while !rest.is_empty() {
        let mut frame = StreamingDecoder::new(&mut rest).map_err(|e| damaged(e.to_string()))?;
        let room = most + 1 - bytes.len() as u64;
        let unpacked = Read::take(&mut frame, room).read_to_end(&mut bytes);
        unpacked.map_err(|e| damaged(e.to_string()))?;
        within(most, path, &bytes)?;
        let frame = frame.into_frame_decoder();
        let written = frame.get_checksum_from_data();
        if written.is_some() && written != frame.get_calculated_checksum() {
            return Err(damaged("its content does not fit its checksum".into()));
        }
    }
    Ok(bytes)
}

fn within(most: u64, path: &Path, bytes: &[u8]) -> Result<(), CardError> {
    let fits = bytes.len() as u64 <= most;
    let what = || format!("more than {}", human_bytes(most));
    fits.then_some(()).ok_or_else(|| CardError::TooLarge { path: path.to_owned(), what: what() })
}

/// Why a line is none of a card.
pub(super) fn check_line(line: &[u8]) -> Result<(), String> {
    let fits = line.len() <= MOST_OF_LINE;
    let most = human_bytes(MOST_OF_LINE as u64);
    fits.then_some(()).ok_or_else(|| format!("longer than {most}, as no line of a card is"))
}

/// What a card holds too much of for its readers.
pub(super) fn check_work(card: &Card) -> Result<(), String> {
    let declared = &card.header.declarations;
    let declared: usize =
        declared.iter().map(|d| d.quantities.len() + d.metrics.len() + d.proofs.len()).sum();
    let recorded: HashSet<(&str, &str)> =
        card.points.iter().map(|p| (p.probe.as_str(), p.quantity.as_str())).collect();
    let names = declared + card.header.declarations.len() + recorded.len();
    let lines = card.points.len() + card.skips.len() + card.fails.len() + card.rounds.len();
    let fits = names.saturating_mul(lines) <= MOST_WORK;
    fits.then_some(()).ok_or_else(|| format!("{lines} lines of {names} quantities and metrics"))
}

#[cfg(test)]
mod tests {
    use std::io::repeat;

    use super::*;
    use crate::declare::Unit;
    use crate::fixture::{self, point};

    fn path() -> &'static Path {
        Path::new("x.card.jsonl.zst")
    }

    /// A frame that unpacks to so many times 128 KiB of zeros, four bytes for each.
    fn bomb(blocks: usize) -> Vec<u8> {
        const REPEAT: u32 = 1 << 1;
        const WINDOW: u8 = 11 << 3;
        let header = [0x28, 0xb5, 0x2f, 0xfd, 0, WINDOW];
        let block = |i: usize| {
            let [low, middle, high, _] =
                ((128 << 10 << 3) | REPEAT | u32::from(i + 1 == blocks)).to_le_bytes();
            [low, middle, high, 0]
        };
        header.into_iter().chain((0..blocks).flat_map(block)).collect()
    }

    #[test]
    fn there_is_an_end_to_what_is_read_and_unpacked() {
        let most = 1 << 20;
        assert_eq!(unpack(path(), &bomb(8), most).unwrap().len(), 1 << 20);
        for error in [
            unpack(path(), &bomb(9), most).unwrap_err(),
            // 4 GiB of it.
            unpack(path(), &bomb(32_768), most).unwrap_err(),
            // Many small frames.
            unpack(path(), &bomb(1).repeat(9), most).unwrap_err(),
            read(path(), repeat(0), most).unwrap_err(),
        ] {
            let error = error.to_string();
            assert!(error.contains("x.card.jsonl.zst") && error.contains("1 MiB"), "{error}");
        }
        assert_eq!(read(path(), &b"abc"[..], 3).unwrap(), b"abc");
    }

    #[test]
    fn what_would_keep_readers_busy_for_minutes_is_no_card() {
        let mut card = fixture::blank("test");
        let named = |i: usize| point("p", &i.to_string(), 0, Unit::Ns, Vec::new());
        card.points = (0..1000).map(named).collect();
        assert_eq!(check_work(&card), Ok(()));
        card.points = (0..40_000).map(named).collect();
        assert!(check_work(&card).unwrap_err().contains("40000 lines of 40000 quantities"));
    }

    #[test]
    fn a_line_that_is_too_long_is_none() {
        assert_eq!(check_line(&[b' '; 4 << 20]), Ok(()));
        assert!(check_line(&[b' '; (4 << 20) + 1]).unwrap_err().contains("4 MiB"));
    }
}
