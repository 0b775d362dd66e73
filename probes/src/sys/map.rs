//! Mappings that come and go, and what their first use costs.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

use super::memory::Pages;

/// A private mapping.
#[derive(Debug)]
pub struct Mapping {
    at: NonNull<libc::c_void>,
    len: usize,
    /// Whether every page can be written to.
    writable: bool,
}

impl Mapping {
    /// Memory that nobody has touched yet.
    ///
    /// # Errors
    /// If there is no address space, or `len` is 0.
    pub fn anonymous(len: usize) -> io::Result<Mapping> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        Mapping::new(len, flags, -1)
    }

    /// The beginning of a file: what is written to it stays here. The file must not shrink.
    ///
    /// # Errors
    /// If the file is shorter, or cannot be mapped.
    pub fn of_file(file: &File, len: usize) -> io::Result<Mapping> {
        let short = || io::Error::other(format!("the file is smaller than {len} bytes"));
        (file.metadata()?.len() >= len as u64).then_some(()).ok_or_else(short)?;
        Mapping::new(len, libc::MAP_PRIVATE, file.as_raw_fd())
    }

    fn new(len: usize, flags: libc::c_int, file: libc::c_int) -> io::Result<Mapping> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a fresh private mapping at an address of the kernel's choice aliases nothing.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, file, 0) };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let at = NonNull::new(at).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Mapping { at, len, writable: true })
    }

    /// The kernel's ordinary pages in it.
    pub fn pages(&self) -> usize {
        self.len / Pages::Small.bytes()
    }

    /// The first byte of a page, which lies within the mapping.
    fn page(&self, number: usize) -> *mut u8 {
        self.at.as_ptr().cast::<u8>().wrapping_add(number * Pages::Small.bytes())
    }

    /// Reads a byte of each page.
    pub fn read_each_page(&self) {
        for page in 0..self.pages() {
            // SAFETY: the page lies within the mapping, which is readable, and any bits are a valid
            // byte.
            std::hint::black_box(unsafe { self.page(page).read_volatile() });
        }
    }

    /// Writes a byte to each page.
    ///
    /// # Panics
    /// If [`Mapping::protect_each`] could not give a page its permission back.
    pub fn write_each_page(&mut self) {
        assert!(self.writable, "a page of the mapping stayed read-only");
        for page in 0..self.pages() {
            // SAFETY: the page lies within the mapping, which is writable, as was checked, and
            // `&mut self` makes the access exclusive.
            unsafe { self.page(page).write_volatile(1) };
        }
    }

    /// Gives the pages back, so that each is as new: the address space stays.
    ///
    /// # Errors
    /// If the pages are locked.
    pub fn give_back(&mut self) -> io::Result<()> {
        // SAFETY: the range is our own mapping, and `&mut self` says that nobody looks at it.
        let done = unsafe { libc::madvise(self.at.as_ptr(), self.len, libc::MADV_DONTNEED) };
        done_or_error(done)
    }

    /// Takes the permission to write from the page in the middle and gives it back, so many times
    /// together, rounded up to pairs.
    ///
    /// # Errors
    /// If the kernel refuses: of a mapping that is cut up there may be too many parts.
    pub fn protect_each(&mut self, times: u64) -> io::Result<()> {
        for _ in 0..times.div_ceil(2) {
            self.protect(libc::PROT_READ)?;
            self.writable = false;
            self.protect(libc::PROT_READ | libc::PROT_WRITE)?;
            self.writable = true;
        }
        Ok(())
    }

    /// Sets the protection of the page in the middle.
    fn protect(&mut self, protection: libc::c_int) -> io::Result<()> {
        let page = self.page(self.pages() / 2).cast();
        // SAFETY: the page is our own, and `&mut self` says that nobody is writing to it.
        done_or_error(unsafe { libc::mprotect(page, Pages::Small.bytes(), protection) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nothing of it was handed out.
        unsafe { libc::munmap(self.at.as_ptr(), self.len) };
    }
}

fn done_or_error(done: libc::c_int) -> io::Result<()> {
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::thread::usage;

    #[test]
    fn every_first_touch_is_a_fault() {
        let mut map = Mapping::anonymous(64 * Pages::Small.bytes()).unwrap();
        for _ in 0..2 {
            let before = usage().faults;
            map.write_each_page();
            let first = usage().faults - before;
            map.write_each_page();
            // Where large folios are on, fewer.
            assert!((1..=64).contains(&first), "{first}");
            assert_eq!(usage().faults - before, first);
            map.give_back().unwrap();
        }
    }

    #[test]
    fn what_is_written_to_a_file_mapping_is_copied_first() {
        let program = File::open("/proc/self/exe").unwrap();
        let mut map = Mapping::of_file(&program, 16 * Pages::Small.bytes()).unwrap();
        map.read_each_page();
        let before = usage().faults;
        map.write_each_page();
        assert_eq!(usage().faults - before, 16);
        let mut first = [0; 1];
        std::os::unix::fs::FileExt::read_exact_at(&program, &mut first, 0).unwrap();
        assert_eq!(first, [0x7f], "the program itself is as it was");
    }

    #[test]
    fn a_file_that_is_too_short_is_refused() {
        let null = File::open("/dev/null").unwrap();
        assert!(Mapping::of_file(&null, 1).is_err());
    }

    #[test]
    fn a_page_can_be_written_to_after_any_number_of_changes() {
        let mut map = Mapping::anonymous(3 * Pages::Small.bytes()).unwrap();
        for times in [6, 1] {
            map.protect_each(times).unwrap();
            map.write_each_page();
        }
    }
}
