//! Files that no one else can see, what the kernel says of the file system below an open file, and
//! how large a file may be.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use perf_event::Counter;

use super::process::limit;

/// Another handle of the open file that a counter is.
///
/// # Errors
/// If this process may open no more files.
pub fn of_counter(counter: &Counter) -> io::Result<File> {
    // SAFETY: the descriptor is the counter's own, which lives and keeps it open for as long as this
    // looks at it.
    let file = unsafe { BorrowedFd::borrow_raw(counter.as_raw_fd()) };
    file.try_clone_to_owned().map(File::from)
}

/// Reads as many whole words as there are, in one call.
///
/// # Errors
/// If the file cannot be read.
pub fn read_words(file: &File, words: &mut [u64]) -> io::Result<usize> {
    let (start, bytes) = (words.as_mut_ptr().cast(), size_of_val(words));
    // SAFETY: the kernel writes at most so many bytes to the words, which any bytes are valid for.
    let read = unsafe { libc::read(file.as_raw_fd(), start, bytes) };
    usize::try_from(read).map(|bytes| bytes / 8).map_err(|_| io::Error::last_os_error())
}

/// A file system by what it says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSystem {
    /// The kind's number (`f_type`).
    pub magic: i64,
    /// What is used and what an ordinary user may still take, bytes: of that `df` gives shares.
    pub bytes: u64,
    /// What an ordinary user may still take, bytes.
    pub available: u64,
}

impl FileSystem {
    /// Why files here are in memory or behind another file system, whatever their directory.
    pub fn no_disk(&self) -> Option<&'static str> {
        match self.magic {
            0x0102_1994 => Some("tmpfs, which is memory"),
            0x8584_58f6 => Some("ramfs, which is memory"),
            0x794c_7630 => Some("an overlay, which hides what it stands on"),
            _ => None,
        }
    }

    /// Why the time of making a file without a name durable would say nothing here.
    pub fn no_durability(&self) -> Option<&'static str> {
        (self.magic == 0x9123_683e)
            .then_some("btrfs writes nothing at an fsync of a file without a name")
    }

    /// Who may read a file from memory though it was opened to bypass the page cache.
    pub fn may_cache(&self) -> Option<&'static str> {
        (self.magic == 0x2fc1_2fc1)
            .then_some("ZFS before 2.3 takes O_DIRECT and ignores it, so that its cache may answer")
    }
}

/// The file system that a file is on.
///
/// # Errors
/// If the kernel does not tell.
pub fn file_system(file: &File) -> io::Result<FileSystem> {
    let mut raw = MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: the pointer is to a whole statfs.
    let done = unsafe { libc::fstatfs(file.as_raw_fd(), raw.as_mut_ptr()) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded and filled it; all-zero bytes were valid before that.
    let raw = unsafe { raw.assume_init() };
    let block = raw.f_bsize as u64;
    let used = raw.f_blocks.saturating_sub(raw.f_bfree);
    Ok(FileSystem {
        // The kernel's numbers are 32 bits wide, and some of them look negative.
        magic: i64::from(raw.f_type as u32),
        bytes: (used + raw.f_bavail) * block,
        available: raw.f_bavail * block,
    })
}

/// Waits until a pipe, a socket or a terminal that is non-blocking takes something again.
///
/// # Errors
/// If a filter of system calls refuses.
pub fn wait_until_writable(file: BorrowedFd<'_>) -> io::Result<()> {
    let mut asked = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: the pointer is to one whole pollfd.
    if unsafe { libc::poll(&raw mut asked, 1, -1) } >= 0 {
        return Ok(());
    }
    // After a signal it can be tried again at once.
    let error = io::Error::last_os_error();
    if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) }
}

/// The largest file that this process may write (`ulimit -f`): one byte more is an error.
pub fn largest_file() -> u64 {
    limit(libc::RLIMIT_FSIZE)
}

/// What a file in memory holds: since Linux 6.3 the kernel wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A program that will be started.
    Program,
    /// Anything else.
    Data,
}

/// A file in memory without a name: it ends with the process, whatever ends that.
///
/// # Errors
/// If this process may open no more files, a filter of system calls refuses, or a program is refused
/// by `vm.memfd_noexec` ([`libc::EACCES`]).
pub fn memfd(content: Content) -> io::Result<File> {
    let kind = match content {
        Content::Program => libc::MFD_EXEC,
        Content::Data => libc::MFD_NOEXEC_SEAL,
    };
    let make = |flags: libc::c_uint| {
        // SAFETY: the name is a valid C string; the call touches no other memory of ours.
        let descriptor = unsafe { libc::memfd_create(c"probecard".as_ptr(), flags) };
        if descriptor < 0 { Err(io::Error::last_os_error()) } else { Ok(descriptor) }
    };
    // An older kernel knows neither kind.
    let descriptor = make(libc::MFD_CLOEXEC | kind).or_else(|e| match e.raw_os_error() {
        Some(libc::EINVAL) => make(libc::MFD_CLOEXEC),
        _ => Err(e),
    })?;
    // SAFETY: the descriptor is open and nobody else has it.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(descriptor) }))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, Write};

    use super::*;

    #[test]
    fn memory_is_no_disk_and_the_file_of_a_disk_has_room() {
        let here = file_system(&tempfile::tempfile().unwrap()).unwrap();
        assert!(here.available <= here.bytes && here.magic > 0);
        if let Ok(shared) = File::open("/dev/shm") {
            let memory = file_system(&shared).unwrap();
            assert!(memory.no_disk().is_some_and(|why| why.contains("tmpfs")));
        }
        assert!(largest_file() > 0);
    }

    #[test]
    fn what_a_file_system_does_not_do_is_known() {
        let [ext4, btrfs, zfs] = [0xef53, 0x9123_683e, 0x2fc1_2fc1].map(|magic| FileSystem {
            magic,
            bytes: 1,
            available: 1,
        });
        assert!(btrfs.no_durability().is_some_and(|why| why.contains("btrfs")));
        assert_eq!([ext4, zfs].map(|s| s.no_durability()), [None; 2]);
        assert!(zfs.may_cache().is_some_and(|why| why.contains("ZFS")));
        assert_eq!([ext4, btrfs].map(|s| s.may_cache()), [None; 2]);
        assert_eq!([ext4, btrfs, zfs].map(|s| s.no_disk()), [None; 3]);
    }

    #[test]
    fn what_is_written_can_be_read() {
        let mut file = memfd(Content::Data).unwrap();
        file.write_all(b"words").unwrap();
        file.rewind().unwrap();
        let mut read = String::new();
        file.read_to_string(&mut read).unwrap();
        assert_eq!(read, "words");
        let other = memfd(Content::Program).unwrap();
        assert_ne!(file.metadata().unwrap().len(), other.metadata().unwrap().len());
    }
}
