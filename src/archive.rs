//! Collected files of a machine as one file that can be sent: a compressed tar archive.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::Context;
use card::machine::{Collection, Entry};

/// Small files in plenty, in no time.
const COMPRESSION: i32 = 19;

/// More than the files of any machine take; what unpacks to more is something else.
const LARGEST: u64 = 256 << 20;

/// Something that may not be read has none of these.
const READABLE: u32 = 0o444;

/// The archive of a collection, with paths below the folder that it is unpacked in.
///
/// # Errors
/// If a path cannot be one of an archive.
pub(crate) fn pack(files: &Collection) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(zstd::Encoder::new(Vec::new(), COMPRESSION)?);
    for (path, entry) in files.entries() {
        let mut header = tar::Header::new_gnu();
        let (kind, mode, bytes): (_, _, &[u8]) = match entry {
            Entry::File(bytes) => (tar::EntryType::Regular, 0o644, bytes),
            Entry::Folder => (tar::EntryType::Directory, 0o755, &[]),
            Entry::Denied => (tar::EntryType::Regular, 0, &[]),
        };
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(bytes.len() as u64);
        // Of 0, tar says that it cannot be true.
        header.set_mtime(1);
        archive.append_data(&mut header, path.trim_start_matches('/'), bytes)?;
    }
    archive.into_inner()?.finish()
}

/// Reads such an archive.
///
/// # Errors
/// If it cannot be read, or is none.
pub(crate) fn unpack(path: &Path) -> anyhow::Result<Collection> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    entries(&file).with_context(|| {
        format!(
            "{} is no archive of `probecard doctor --gather`, or a damaged one; give that, or the \
             directory that it was unpacked in",
            path.display()
        )
    })
}

fn entries(file: &File) -> io::Result<Collection> {
    let mut files = Collection::default();
    let mut archive = tar::Archive::new(zstd::Decoder::new(file)?.take(LARGEST));
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let path = format!("/{}", path.trim_start_matches("./").trim_matches('/'));
        let kind = entry.header().entry_type();
        let what = if kind.is_dir() {
            Entry::Folder
        } else if !kind.is_file() {
            continue;
        } else if entry.header().mode()? & READABLE == 0 {
            Entry::Denied
        } else {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            Entry::File(bytes)
        };
        files.put(&path, what);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collection_survives_packing_and_unpacking() {
        let mut files = Collection::default();
        let long = format!("/sys/fs/cgroup/{}/memory.max", "a-long-name/".repeat(30));
        files.put(&long, Entry::File(b"max\n".to_vec()));
        files.put("/proc/self/auxv", Entry::File(vec![6, 0, 255, 0]));
        files.put("/sys/bus/event_source/devices/cpu", Entry::Folder);
        files.put("/sys/kernel/secret", Entry::Denied);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.tar.zst");
        std::fs::write(&path, pack(&files).unwrap()).unwrap();
        assert_eq!(unpack(&path).unwrap(), files);
    }

    #[test]
    fn what_is_no_archive_is_refused_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.tar.zst");
        for bytes in [b"not one".to_vec(), zstd::encode_all(&[7; 2000][..], 1).unwrap()] {
            std::fs::write(&path, bytes).unwrap();
            let error = format!("{:#}", unpack(&path).unwrap_err());
            assert!(error.contains("m.tar.zst is no archive"), "{error}");
        }
        let error = format!("{:#}", unpack(&dir.path().join("absent")).unwrap_err());
        assert!(error.contains("absent") && error.contains("No such file"), "{error}");
    }
}
