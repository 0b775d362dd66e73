//! Files of results: written whole or not at all, and a failure with its cause and its remedy.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Writes a file under another name beside it first, so that a failure leaves no half of it and what
/// was there before stays.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    fs::write(&part, bytes).and_then(|()| fs::rename(&part, path)).map_err(|error| {
        // It may not even have come into being.
        let _ = fs::remove_file(&part);
        unwritable(path, error)
    })
}

/// The error of a file that could not be written.
pub(crate) fn unwritable(path: &Path, error: io::Error) -> anyhow::Error {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let of_the_place = [StorageFull, QuotaExceeded, PermissionDenied, ReadOnlyFilesystem];
    let elsewhere =
        if of_the_place.contains(&error.kind()) { " or choose another --out" } else { "" };
    let remedy = remedy(&error).map(|r| format!("; {r}{elsewhere}")).unwrap_or_default();
    anyhow::Error::new(error).context(format!("cannot write {}{remedy}", path.display()))
}

/// What helps against an error of writing.
pub(crate) fn remedy(error: &io::Error) -> Option<&'static str> {
    use io::ErrorKind::{
        AlreadyExists, FileTooLarge, OutOfMemory, PermissionDenied, QuotaExceeded,
        ReadOnlyFilesystem, StorageFull,
    };
    Some(match error.kind() {
        StorageFull | QuotaExceeded => "free space there",
        PermissionDenied | ReadOnlyFilesystem => "let this user write there",
        AlreadyExists => "add --force to overwrite it",
        FileTooLarge => "raise the limit on a file's size (ulimit -f)",
        OutOfMemory => "free memory, or raise the limit on it",
        _ => return None,
    })
}

/// Whether that is still the name of an open file, and not of another one, or of none.
pub(crate) fn is_named(path: &Path, file: &fs::File) -> bool {
    let same = |named: fs::Metadata, open: fs::Metadata| {
        (named.dev(), named.ino()) == (open.dev(), open.ino())
    };
    fs::metadata(path).is_ok_and(|named| file.metadata().is_ok_and(|open| same(named, open)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_or_stays_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        write(&path, b"first").unwrap();
        write(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        // What cannot be replaced: a directory. Nothing half is left beside it.
        let blocked = dir.path().join("directory");
        fs::create_dir(&blocked).unwrap();
        let error = format!("{:#}", write(&blocked, b"third").unwrap_err());
        assert!(error.contains(&*blocked.to_string_lossy()), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn the_remedy_is_that_of_the_error() {
        let text =
            |code| format!("{:#}", unwritable(Path::new("f"), io::Error::from_raw_os_error(code)));
        assert!(text(libc::ENOSPC).contains("free space"));
        assert!(text(libc::EACCES).contains("--out"));
        let memory = text(libc::ENOMEM);
        assert!(memory.contains("free memory") && !memory.contains("space"), "{memory}");
        assert!(!text(libc::EIO).contains(';'));
    }

    #[test]
    fn a_file_keeps_its_name_until_another_one_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("file"), dir.path().join("link"));
        let file = fs::File::create(&path).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(is_named(&path, &file) && is_named(&link, &file));
        fs::rename(&path, dir.path().join("moved")).unwrap();
        assert!(!is_named(&path, &file));
        fs::write(&path, "another").unwrap();
        assert!(!is_named(&path, &file) && !is_named(&link, &file));
    }
}
