//! A file that no one sees and nothing is left of: it has no name, so that it is gone when its
//! process is, whatever ends that. It bypasses the page cache.

use card::record::Skip;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use crate::sys::file::{self, FileSystem};
use card::machine::human_bytes;

/// How names begin that a file has for a moment, where it cannot do without.
const PREFIX: &str = ".probecard-scratch-";

/// A file with such a name is left over if it is older than this: it is named for microseconds.
const STALE: Duration = Duration::from_secs(60);

/// Of a file system, the share that stays free.
const KEPT_FREE: f64 = 0.1;

/// All sizes are multiples of this.
pub const STEP: u64 = 1 << 20;

/// A file without a name.
#[derive(Debug)]
pub struct Scratch {
    file: File,
    system: FileSystem,
}

impl Scratch {
    /// Makes one in a directory that is on a disk.
    ///
    /// # Errors
    ///
    /// What the probe needs instead: a directory that is writable and on a disk.
    pub fn make(dir: &Path) -> Result<Scratch, Skip> {
        let opened = File::open(dir).and_then(|dir| file::file_system(&dir));
        let system = opened.map_err(|e| unmet(dir, &e.to_string()))?;
        if let Some(what) = system.no_disk() {
            return Err(unmet(dir, &format!("it is on {what}")));
        }
        remove_stale(dir);
        let file = nameless(dir).map_err(|e| unmet(dir, &refusal(&e)))?;
        Ok(Scratch { file, system })
    }

    /// How large it may become: no more than `wanted`, and so that a tenth of the file system stays
    /// free.
    ///
    /// # Errors
    ///
    /// That there is too little room.
    pub fn room(&self, dir: &Path, wanted: u64) -> Result<u64, Skip> {
        let FileSystem { bytes, available, .. } = self.system;
        let kept = (bytes as f64 * KEPT_FREE) as u64;
        let room = available.saturating_sub(kept).min(file::largest_file()).min(wanted);
        if room >= STEP {
            return Ok(room / STEP * STEP);
        }
        let reason = if file::largest_file() < STEP {
            "a file may not have 1 MiB here (ulimit -f)".to_owned()
        } else {
            format!(
                "{} of {} are free, and a tenth stays free",
                human_bytes(available),
                human_bytes(bytes)
            )
        };
        Err(no_room(dir, &reason))
    }

    /// The file system that it is on.
    pub fn system(&self) -> &FileSystem {
        &self.system
    }

    /// The file. Offsets, lengths and memory must be multiples of the disk's blocks; 4 KiB are.
    pub fn file(&self) -> &File {
        &self.file
    }
}

fn unmet(dir: &Path, reason: &str) -> Skip {
    Skip::new(
        "a directory on a disk",
        format!("{}: {reason}", dir.display()),
        "name a writable directory on a disk with --scratch DIR",
    )
}

fn no_room(dir: &Path, reason: &str) -> Skip {
    Skip { remedy: "free space there, or name another --scratch DIR".into(), ..unmet(dir, reason) }
}

/// What is unmet when the file could not be written because there was less room than said: a quota,
/// or someone else who filled the disk.
pub fn full(dir: &Path, error: &io::Error) -> Option<Skip> {
    let full = matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
    full.then(|| no_room(dir, &error.to_string()))
}

/// What a directory says that takes no such file.
fn refusal(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EINVAL) => "its file system cannot bypass the page cache (O_DIRECT)".to_owned(),
        _ => error.to_string(),
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

fn nameless(dir: &Path) -> io::Result<File> {
    let made = options().custom_flags(libc::O_TMPFILE | libc::O_DIRECT).open(dir);
    match made {
        Err(e) if matches!(e.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR)) => {
            unlinked(dir)
        }
        made => made,
    }
}

/// Where files need a name, it is taken away at once.
fn unlinked(dir: &Path) -> io::Result<File> {
    let path = dir.join(format!("{PREFIX}{}-{:016x}", std::process::id(), fastrand::u64(..)));
    let made = options().create_new(true).custom_flags(libc::O_DIRECT).open(&path);
    // A file system that refuses to bypass the cache makes the file before it says so.
    let gone = fs::remove_file(&path);
    let file = made?;
    gone?;
    Ok(file)
}

/// Removes what a process left that was killed between the two.
fn remove_stale(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let age = || entry.metadata().ok()?.modified().ok()?.elapsed().ok();
        if ours && age().is_some_and(|age| age > STALE) {
            // Someone else's file stays; a name in the way does no harm.
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::sys::memory::{Buffer, Pages};

    fn names(dir: &Path) -> usize {
        fs::read_dir(dir).unwrap().count()
    }

    /// Tests run where they are built, which is on a disk more often than /tmp is.
    fn on_disk() -> tempfile::TempDir {
        tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap()
    }

    #[test]
    fn a_file_has_no_name_and_holds_what_is_written() {
        let dir = on_disk();
        let mut block = Buffer::new(4096, Pages::Small).unwrap();
        for make in [nameless, unlinked] {
            // Overlays, where tests may run, have no files without the page cache.
            let Ok(file) = make(dir.path()) else { continue };
            assert_eq!(names(dir.path()), 0);
            block.bytes_mut().fill(7);
            file.write_all_at(block.bytes(), 4096).unwrap();
            block.bytes_mut().fill(0);
            file.read_exact_at(block.bytes_mut(), 4096).unwrap();
            assert!(block.bytes().iter().all(|&b| b == 7));
        }
    }

    #[test]
    fn what_a_killed_run_left_is_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let [old, new, other] = [".probecard-scratch-1-a", ".probecard-scratch-2-b", "mine"]
            .map(|name| dir.path().join(name));
        for path in [&old, &new, &other] {
            let file = File::create(path).unwrap();
            if path != &new {
                file.set_modified(std::time::SystemTime::now() - 2 * STALE).unwrap();
            }
        }
        remove_stale(dir.path());
        assert_eq!([old, new, other].map(|path| path.exists()), [false, true, true]);
    }

    #[test]
    fn what_is_no_disk_is_refused_with_a_remedy() {
        for (dir, says) in [
            ("/dev/shm", "tmpfs"),
            ("/proc", ""),
            ("/nonexistent/dir", "No such file"),
            ("/dev/null", ""),
        ] {
            let refused = Scratch::make(Path::new(dir)).unwrap_err();
            assert!(refused.reason.contains(says) && refused.reason.contains(dir), "{refused:?}");
            assert!(refused.remedy.contains("--scratch"));
        }
    }

    #[test]
    fn a_full_disk_and_a_quota_are_no_room_and_a_broken_disk_is_not() {
        let says = |number| full(Path::new("/x"), &io::Error::from_raw_os_error(number));
        for number in [libc::ENOSPC, libc::EDQUOT] {
            let unmet = says(number).unwrap();
            assert!(unmet.reason.starts_with("/x: ") && unmet.remedy.contains("free space"));
        }
        assert_eq!(says(libc::EIO), None);
    }

    #[test]
    fn a_tenth_stays_free() {
        let with = |available: u64| Scratch {
            file: tempfile::tempfile().unwrap(),
            system: FileSystem { magic: 1, bytes: 1000 * STEP, available },
        };
        let room = |available: u64| with(available).room(Path::new("/x"), 64 * STEP);
        assert_eq!(room(900 * STEP).unwrap(), 64 * STEP);
        assert_eq!(room(110 * STEP + 5).unwrap(), 10 * STEP);
        for available in [0, 100 * STEP, 101 * STEP - 1] {
            let full = room(available).unwrap_err();
            assert!(full.reason.contains("are free") && full.remedy.contains("free space"));
        }
    }
}
