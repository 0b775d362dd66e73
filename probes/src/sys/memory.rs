//! Buffers with a page size that was asked for and then verified.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;

/// Bytes of a huge page on x86_64 and on aarch64 with 4 KiB granules.
pub const HUGE_PAGE: usize = 2 << 20;

/// Bytes of a small page on x86_64 and on most aarch64 kernels.
pub const SMALL_PAGE: usize = 4 << 10;

/// Bytes of a cache line on x86_64 and on most aarch64 cores: how far apart things are laid that must
/// not share one. What it really is, the probe cache-line measures.
pub const LINE: usize = 64;

/// Lines in a small page.
pub const LINES_IN_PAGE: usize = SMALL_PAGE / LINE;

/// Words of 32 bits in a line.
pub const WORDS_IN_LINE: usize = LINE / 4;

/// Bits of a node mask: what kernels are built for at most.
const MOST_NODES: usize = 1024;

/// Which pages a buffer should be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// 2 MiB pages by `madvise(MADV_HUGEPAGE)` before the first touch.
    Huge,
    /// 4 KiB pages by `madvise(MADV_NOHUGEPAGE)`.
    Small,
}

/// Anonymous private memory, 2 MiB aligned, zeroed and present from the start.
#[derive(Debug)]
pub struct Buffer {
    map: NonNull<libc::c_void>,
    map_len: usize,
    offset: usize,
    len: usize,
    pages: Pages,
}

// SAFETY: a Buffer owns its mapping alone, like a Vec; nothing in it is tied to a thread.
unsafe impl Send for Buffer {}

impl Buffer {
    /// Maps `len` bytes and writes to every page, so that no later access faults.
    ///
    /// # Errors
    /// If there is no such address space, or `len` is more than there can be.
    pub fn new(len: usize, pages: Pages) -> io::Result<Buffer> {
        let mut buffer = Buffer::untouched(len, pages)?;
        buffer.touch();
        Ok(buffer)
    }

    /// The same, but the pages are first written to in random order, so that neighbours in the
    /// buffer are none in physical memory: hardware that folds neighbours into one TLB entry finds
    /// nothing to fold.
    ///
    /// # Errors
    /// As for [`Buffer::new`].
    pub fn scattered(len: usize, rng: &mut fastrand::Rng) -> io::Result<Buffer> {
        let mut buffer = Buffer::untouched(len, Pages::Small)?;
        let mut pages: Vec<usize> = (0..buffer.len() / SMALL_PAGE).collect();
        rng.shuffle(&mut pages);
        pages.into_iter().for_each(|page| buffer.touch_page(page));
        Ok(buffer)
    }

    /// The same with memory of a NUMA node, as long as that has any left: a strict binding would
    /// have the kernel kill processes instead. [`Buffer::bytes_by_node`] tells what came of it.
    ///
    /// # Errors
    /// As for [`Buffer::new`], and if there is no such node or the kernel knows none.
    pub fn on_node(len: usize, pages: Pages, node: usize) -> io::Result<Buffer> {
        let mut buffer = Buffer::untouched(len, pages)?;
        buffer.prefer(node)?;
        buffer.touch();
        Ok(buffer)
    }

    /// Address space: a page becomes memory when it is first written to, which must be before it is
    /// read. Untouched pages are all the same page of zeros.
    ///
    /// # Errors
    /// As for [`Buffer::new`].
    pub fn untouched(len: usize, pages: Pages) -> io::Result<Buffer> {
        let len = len.checked_next_multiple_of(SMALL_PAGE).ok_or(io::ErrorKind::InvalidInput)?;
        // One huge page more than asked for, so that an aligned start can be cut out.
        let map_len = len
            .checked_next_multiple_of(HUGE_PAGE)
            .and_then(|n| n.checked_add(HUGE_PAGE))
            .and_then(NonZeroUsize::new)
            .ok_or(io::ErrorKind::InvalidInput)?
            .get();
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice aliases nothing.
        let map = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                map_len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if map == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let map = NonNull::new(map).ok_or(io::ErrorKind::OutOfMemory)?;
        let offset = map.as_ptr().addr().next_multiple_of(HUGE_PAGE) - map.as_ptr().addr();
        let buffer = Buffer { map, map_len, offset, len, pages };
        buffer.advise();
        Ok(buffer)
    }

    /// Advice may be refused (old kernel, THP `never`); [`Buffer::huge_bytes`] tells what came of it.
    fn advise(&self) {
        let advice = match self.pages {
            Pages::Huge => libc::MADV_HUGEPAGE,
            Pages::Small => libc::MADV_NOHUGEPAGE,
        };
        // SAFETY: the range is our own mapping, and this advice changes no contents.
        unsafe { libc::madvise(self.map.as_ptr(), self.map_len, advice) };
    }

    /// Sets the policy of the mapping, before the first touch.
    fn prefer(&self, node: usize) -> io::Result<()> {
        let mut nodes = [0_u64; MOST_NODES / 64];
        let word = nodes.get_mut(node / 64).ok_or(io::ErrorKind::InvalidInput)?;
        *word = 1 << (node % 64);
        // SAFETY: the range is our own mapping, the mask as long as is said; no contents change.
        let done = unsafe {
            libc::syscall(
                libc::SYS_mbind,
                self.map.as_ptr(),
                self.map_len,
                libc::MPOL_PREFERRED,
                nodes.as_ptr(),
                // The kernel reads one bit less than it is told.
                MOST_NODES + 1,
                0,
            )
        };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Gives all pages back to the kernel: each is as untouched as in the beginning.
    ///
    /// # Errors
    /// If the pages are locked.
    pub fn give_back(&mut self) -> io::Result<()> {
        // SAFETY: the range is our own, and `&mut self` says that nobody looks at it.
        let done = unsafe { libc::madvise(self.base().cast(), self.len, libc::MADV_DONTNEED) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Writes one byte a page: memory that was never written is the shared zero page.
    fn touch(&mut self) {
        self.touch_part(0..self.len);
    }

    /// The same with the pages of a part of an untouched buffer.
    ///
    /// # Panics
    /// If the buffer is shorter.
    pub fn touch_part(&mut self, bytes: Range<usize>) {
        let pages = bytes.start / SMALL_PAGE..bytes.end / SMALL_PAGE;
        pages.for_each(|page| self.touch_page(page));
    }

    fn touch_page(&mut self, page: usize) {
        let byte = &mut self.bytes_mut()[page * SMALL_PAGE];
        *byte = 0;
        std::hint::black_box(byte);
    }

    /// Usable bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pages that were asked for.
    pub fn pages(&self) -> Pages {
        self.pages
    }

    /// First usable byte; aligned to 2 MiB.
    pub fn base(&self) -> *mut u8 {
        // SAFETY: `offset` is below HUGE_PAGE, which the mapping is longer than.
        unsafe { self.map.as_ptr().cast::<u8>().add(self.offset) }
    }

    /// The first of `len` bytes from `offset` on, for those who follow the address themselves.
    ///
    /// # Panics
    /// If not all of them are inside the buffer.
    #[inline]
    pub fn range(&self, offset: usize, len: usize) -> *mut u8 {
        assert!(
            offset.checked_add(len).is_some_and(|end| end <= self.len),
            "{len} bytes at {offset} are not inside the buffer of {} bytes",
            self.len
        );
        self.base().wrapping_add(offset)
    }

    /// The contents.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: base..base+len lies in the mapping, is initialised (zero) and lives as long as self.
        unsafe { std::slice::from_raw_parts(self.base(), self.len) }
    }

    /// The contents, to write.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.base(), self.len) }
    }

    /// The contents as 64-bit words, to write.
    pub fn words_mut(&mut self) -> &mut [u64] {
        // SAFETY: base is 2 MiB aligned, len a multiple of 4096, and any bits are a valid u64.
        unsafe { std::slice::from_raw_parts_mut(self.base().cast::<u64>(), self.len / 8) }
    }

    /// Bytes that the kernel really backs with huge pages, from smaps.
    ///
    /// # Errors
    /// If /proc/self/smaps cannot be read.
    pub fn huge_bytes(&self) -> io::Result<u64> {
        let smaps = std::fs::read_to_string("/proc/self/smaps")?;
        Ok(huge_bytes_of(&smaps, self.base().addr()))
    }

    /// Where the kernel really put it, from numa_maps: bytes by node.
    ///
    /// # Errors
    /// If /proc/self/numa_maps cannot be read: there is none where the kernel knows no nodes.
    pub fn bytes_by_node(&self) -> io::Result<BTreeMap<usize, u64>> {
        let maps = std::fs::read_to_string("/proc/self/numa_maps")?;
        Ok(bytes_by_node_of(&maps, self.base().addr()))
    }
}

/// Memory at which several threads work at once, in words of four bytes, all 0 in the beginning. Its
/// pages belong to the node of the thread that makes it.
#[derive(Debug)]
pub struct SharedWords(Buffer);

// SAFETY: the buffer is owned and never handed out; all access is through atomics.
unsafe impl Sync for SharedWords {}

impl SharedWords {
    /// Maps room for at least so many bytes.
    ///
    /// # Errors
    /// As for [`Buffer::new`].
    pub fn new(len: usize, pages: Pages) -> io::Result<SharedWords> {
        Buffer::new(len, pages).map(SharedWords)
    }

    /// The words. The first one begins a page.
    pub fn words(&self) -> &[AtomicU32] {
        let (base, count) = (self.0.base().cast::<AtomicU32>(), self.0.len() / 4);
        // SAFETY: base is 2 MiB aligned, base..base+len is initialised and lives as long as self,
        // and nobody has it but through this function.
        unsafe { std::slice::from_raw_parts(base, count) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no reference into it can outlive self.
        unsafe { libc::munmap(self.map.as_ptr(), self.map_len) };
    }
}

/// `AnonHugePages` of the mapping that holds `address`.
fn huge_bytes_of(smaps: &str, address: usize) -> u64 {
    let mut inside = false;
    for line in smaps.lines() {
        if let Some((start, end)) = mapping_range(line) {
            inside = (start..end).contains(&address);
        } else if inside && let Some(rest) = line.strip_prefix("AnonHugePages:") {
            let kib = rest.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap_or(0);
            return kib << 10;
        }
    }
    0
}

/// The pages by node of the mapping that holds `address`. A line names only where its mapping
/// begins: it is the last one that begins no later.
fn bytes_by_node_of(numa_maps: &str, address: usize) -> BTreeMap<usize, u64> {
    let begin = |line: &str| usize::from_str_radix(line.split(' ').next()?, 16).ok();
    let mapping = numa_maps
        .lines()
        .filter_map(|line| Some((begin(line).filter(|&b| b <= address)?, line)))
        .max_by_key(|&(begin, _)| begin);
    let fields = || mapping.map_or("", |m| m.1).split(' ').filter_map(|f| f.split_once('='));
    let size = fields().find(|f| f.0 == "kernelpagesize_kB").and_then(|f| f.1.parse().ok());
    let kib: u64 = size.unwrap_or(4);
    let on_node = |(name, pages): (&str, &str)| {
        let node = name.strip_prefix('N')?.parse().ok()?;
        Some((node, pages.parse::<u64>().ok()? * (kib << 10)))
    };
    fields().filter_map(on_node).collect()
}

/// The address range of the first line of a smaps entry.
fn mapping_range(line: &str) -> Option<(usize, usize)> {
    let (start, end) = line.split_ascii_whitespace().next()?.split_once('-')?;
    Some((usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_aligned_zeroed_and_writable() {
        for pages in [Pages::Huge, Pages::Small] {
            let mut buffer = Buffer::new(3 << 20, pages).unwrap();
            assert_eq!(buffer.base().addr() % HUGE_PAGE, 0);
            assert!(buffer.bytes().iter().all(|&b| b == 0));
            buffer.words_mut().fill(7);
            assert_eq!(buffer.bytes()[8], 7);
        }
    }

    #[test]
    fn a_range_is_inside_the_buffer() {
        let buffer = Buffer::new(2 * SMALL_PAGE, Pages::Small).unwrap();
        let all = buffer.len();
        for (offset, len) in [(0, 0), (0, all), (1, all - 1), (all - 1, 1), (all, 0)] {
            assert_eq!(buffer.range(offset, len).addr(), buffer.base().addr() + offset);
        }
        for (offset, len) in
            [(0, all + 1), (1, all), (all, 1), (1, usize::MAX), (usize::MAX, 1), (usize::MAX, all)]
        {
            let range = || buffer.range(offset, len).addr();
            assert!(std::panic::catch_unwind(range).is_err(), "{len} bytes at {offset}");
        }
    }

    #[test]
    fn shared_words_are_all_of_the_buffer_and_zero() {
        let shared = SharedWords::new(3 * SMALL_PAGE, Pages::Small).unwrap();
        let words = shared.words();
        assert_eq!((words.len(), words.as_ptr().addr() % SMALL_PAGE), (3 * SMALL_PAGE / 4, 0));
        let add = |word: &AtomicU32| word.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        std::thread::scope(|scope| {
            let sum = || words.iter().map(add).sum::<u32>();
            let other = scope.spawn(sum);
            let both = sum() + other.join().unwrap();
            assert!(both as usize <= words.len(), "each word was 0 once");
        });
    }

    #[test]
    fn small_pages_stay_small() {
        let buffer = Buffer::new(8 << 20, Pages::Small).unwrap();
        assert_eq!(buffer.huge_bytes().unwrap(), 0);
    }

    #[test]
    fn what_was_given_back_is_as_new() {
        let mut buffer = Buffer::new(1 << 20, Pages::Small).unwrap();
        buffer.bytes_mut().fill(9);
        buffer.give_back().unwrap();
        let before = crate::sys::thread::usage().faults;
        buffer.words_mut().iter_mut().for_each(|word| *word += 1);
        assert!(crate::sys::thread::usage().faults >= before + 256);
        assert_eq!(buffer.bytes().iter().map(|&b| u64::from(b)).sum::<u64>(), 1 << 17);
    }

    #[test]
    fn an_impossible_length_is_an_error() {
        for len in [1 << 50, usize::MAX - HUGE_PAGE, usize::MAX] {
            assert!(Buffer::new(len, Pages::Small).is_err(), "{len}");
        }
    }

    #[test]
    fn smaps_are_read_for_the_right_mapping() {
        let smaps = "1000-2000 rw-p 00000000 00:00 0 \nSize: 4 kB\nAnonHugePages:      0 kB\n\
                     200000-600000 rw-p 00000000 00:00 0 \nAnonHugePages:   4096 kB\n";
        assert_eq!(huge_bytes_of(smaps, 0x200000), 4 << 20);
        assert_eq!(huge_bytes_of(smaps, 0x1000), 0);
        assert_eq!(huge_bytes_of(smaps, 0x900000), 0);
    }

    #[test]
    fn numa_maps_are_read_for_the_right_mapping() {
        let maps = "1000 default anon=1 dirty=1 N0=1 kernelpagesize_kB=4\n\
                    200000 prefer:1 anon=512 dirty=512 N1=510 N0=2 kernelpagesize_kB=4\n\
                    900000 default file=/bin/a mapped=2 N0=2 kernelpagesize_kB=4\n";
        assert_eq!(bytes_by_node_of(maps, 0x1000), BTreeMap::from([(0, 4096)]));
        let both = BTreeMap::from([(0, 8192), (1, 510 << 12)]);
        assert_eq!(bytes_by_node_of(maps, 0x20_0000), both);
        assert_eq!(bytes_by_node_of(maps, 0x3f_ffff), both);
        assert_eq!(bytes_by_node_of(maps, 0xfff), BTreeMap::new());
        assert_eq!(bytes_by_node_of("", 0xfff), BTreeMap::new());
    }

    #[test]
    fn memory_of_a_node_is_there_or_refused() {
        match Buffer::on_node(4 << 20, Pages::Small, 0) {
            Ok(buffer) => {
                if let Ok(nodes) = buffer.bytes_by_node() {
                    assert!(nodes.values().sum::<u64>() >= 4 << 20, "{nodes:?}");
                }
            }
            // A kernel without NUMA, or a filter.
            Err(e) => assert!([libc::ENOSYS, libc::EPERM].contains(&e.raw_os_error().unwrap())),
        }
        assert!(Buffer::on_node(4096, Pages::Small, 1023).is_err(), "there is no such node");
        assert!(Buffer::on_node(4096, Pages::Small, 1 << 20).is_err());
    }
}
