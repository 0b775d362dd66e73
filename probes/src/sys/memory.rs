//! Buffers with a page size that was asked for and then verified.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU32;

/// Bytes of a cache line on x86_64 and on most aarch64 cores: how far apart things are laid that must
/// not share one. What it really is, the probe cache-line measures.
pub const LINE: usize = 64;

/// Words of 32 bits in a line.
pub const WORDS_IN_LINE: usize = LINE / 4;

/// Bits of a node mask: what kernels are built for at most.
const MOST_NODES: usize = 1024;

/// Buffers begin at multiples of this at least: their page tables begin with a line of entries,
/// whatever the kernel's page.
const ALIGNED: usize = 2 << 20;

/// Memory that a huge page may take beyond the end of a buffer. Those of kernels with pages of
/// 64 KiB have 512 MiB: more than a small buffer is worth.
pub const MOST_ADDED: usize = 32 << 20;

/// Bytes of the largest page of x86_64, and of aarch64 where small ones have 4 KiB.
const GIGANTIC: usize = 1 << 30;

/// Which pages a buffer should be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// Huge pages by `madvise(MADV_HUGEPAGE)` before the first touch: of 2 MiB where small ones have
    /// 4 KiB, of 32 MiB beside 16 KiB, of 512 MiB beside 64 KiB.
    Huge,
    /// The kernel's ordinary pages, by `madvise(MADV_NOHUGEPAGE)`.
    Small,
    /// Pages of 1 GiB out of those that are reserved, by `mmap(MAP_HUGE_1GB)`: these or an error.
    Gigantic,
}

impl Pages {
    /// Bytes of such a page here, as the kernel tells.
    pub fn bytes(self) -> usize {
        let sizes = PageSizes::here();
        match self {
            Pages::Huge => sizes.huge,
            Pages::Small => sizes.small,
            Pages::Gigantic => GIGANTIC,
        }
    }

    /// The same as it is written in names: "4k", "2m".
    pub fn name(self) -> String {
        name_of(self.bytes())
    }

    /// Lines in such a page.
    pub fn lines(self) -> usize {
        self.bytes() / LINE
    }
}

fn name_of(bytes: usize) -> String {
    match bytes {
        GIGANTIC.. => format!("{}g", bytes >> 30),
        0x10_0000.. => format!("{}m", bytes >> 20),
        _ => format!("{}k", bytes >> 10),
    }
}

/// Bytes of the kernel's pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PageSizes {
    small: usize,
    huge: usize,
}

impl PageSizes {
    fn here() -> PageSizes {
        static HERE: OnceLock<PageSizes> = OnceLock::new();
        *HERE.get_or_init(|| {
            // SAFETY: sysconf only tells.
            let small = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
            let file = "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size";
            let huge = std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok());
            // Every kernel tells its page; an answer of none would be -1.
            PageSizes::of(usize::try_from(small).unwrap_or(4 << 10), huge)
        })
    }

    /// What is told of huge pages, or else what a page full of entries of eight bytes maps.
    fn of(small: usize, huge: Option<usize>) -> PageSizes {
        PageSizes { small, huge: huge.unwrap_or(small / 8 * small) }
    }

    /// Bytes of a buffer for `len`, whole pages of it; what it is aligned to; and the bytes after
    /// that start that belong to it, which a last huge page needs. `None` if that is more than there
    /// can be.
    fn extent(self, len: usize, pages: Pages) -> Option<[usize; 3]> {
        let len = len.checked_next_multiple_of(self.small)?;
        let whole = len.checked_next_multiple_of(self.huge)?;
        let is_worth_it = whole - len <= MOST_ADDED;
        Some(match pages {
            Pages::Gigantic => [len, GIGANTIC, len.checked_next_multiple_of(GIGANTIC)?],
            Pages::Huge if is_worth_it => [len, self.huge, whole],
            Pages::Huge if len >= self.huge => [len, self.huge, len],
            _ => [len, ALIGNED, len],
        })
    }
}

/// Anonymous private memory, zeroed and present from the start. It begins at a multiple of 2 MiB,
/// and at a huge page if it has any.
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
        let mut pages: Vec<usize> = (0..buffer.len() / Pages::Small.bytes()).collect();
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
        let [len, aligned, extent] =
            PageSizes::here().extent(len, pages).ok_or(io::ErrorKind::InvalidInput)?;
        // So much more than asked for that an aligned start can be cut out; reserved pages are aligned
        // as they are.
        let more = if pages == Pages::Gigantic { 0 } else { aligned };
        let map_len = extent.checked_add(more).ok_or(io::ErrorKind::InvalidInput)?;
        let kind = match pages {
            Pages::Gigantic => libc::MAP_HUGETLB | libc::MAP_HUGE_1GB,
            Pages::Huge | Pages::Small => libc::MAP_NORESERVE,
        };
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice aliases nothing.
        let map = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                map_len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | kind,
                -1,
                0,
            )
        };
        if map == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let map = NonNull::new(map).ok_or(io::ErrorKind::OutOfMemory)?;
        let offset = map.as_ptr().addr().next_multiple_of(aligned) - map.as_ptr().addr();
        let buffer = Buffer { map, map_len, offset, len, pages };
        buffer.advise()?;
        Ok(buffer)
    }

    /// Advice on pages may be refused (old kernel, THP `never`); [`Buffer::huge_bytes`] tells what came
    /// of it. Reserved pages are taken now: one that cannot be had later, for a limit or a binding to
    /// other nodes, would be a signal.
    fn advise(&self) -> io::Result<()> {
        let advice = match self.pages {
            Pages::Huge => libc::MADV_HUGEPAGE,
            Pages::Small => libc::MADV_NOHUGEPAGE,
            Pages::Gigantic => libc::MADV_POPULATE_WRITE,
        };
        // SAFETY: the range is our own mapping, and this advice changes no contents.
        let done = unsafe { libc::madvise(self.map.as_ptr(), self.map_len, advice) };
        if done == 0 || self.pages != Pages::Gigantic {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
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
        self.give_back_part(0..self.len)
    }

    /// The same with the pages of a part.
    ///
    /// # Errors
    /// If they are locked, or the part does not begin with a page.
    ///
    /// # Panics
    /// If the buffer is shorter.
    pub fn give_back_part(&mut self, bytes: Range<usize>) -> io::Result<()> {
        let part = self.range(bytes.start, bytes.len());
        // SAFETY: the range is our own, and `&mut self` says that nobody looks at it.
        let done = unsafe { libc::madvise(part.cast(), bytes.len(), libc::MADV_DONTNEED) };
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
        let pages = bytes.start / Pages::Small.bytes()..bytes.end / Pages::Small.bytes();
        pages.for_each(|page| self.touch_page(page));
    }

    fn touch_page(&mut self, page: usize) {
        let byte = &mut self.bytes_mut()[page * Pages::Small.bytes()];
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
        // SAFETY: `offset` is below the alignment, which the mapping is longer than.
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
        // SAFETY: base is 2 MiB aligned, len whole pages, and any bits are a valid u64.
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
        Ok(bytes_by_node_of(&maps, self.base().addr(), Pages::Small.bytes()))
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

/// Huge pages of the mapping that holds `address`, transparent ones and reserved ones.
fn huge_bytes_of(smaps: &str, address: usize) -> u64 {
    let (mut inside, mut bytes) = (false, 0);
    for line in smaps.lines() {
        if let Some((start, end)) = mapping_range(line) {
            inside = (start..end).contains(&address);
        } else if inside
            && let Some((name, value)) = line.split_once(':')
            && ["AnonHugePages", "Private_Hugetlb"].contains(&name)
        {
            let kib = value.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap_or(0);
            bytes += kib << 10;
        }
    }
    bytes
}

/// The pages by node of the mapping that holds `address`. A line names only where its mapping
/// begins: it is the last one that begins no later. Its pages are of `page` bytes unless it says so.
fn bytes_by_node_of(numa_maps: &str, address: usize, page: usize) -> BTreeMap<usize, u64> {
    let begin = |line: &str| usize::from_str_radix(line.split(' ').next()?, 16).ok();
    let mapping = numa_maps
        .lines()
        .filter_map(|line| Some((begin(line).filter(|&b| b <= address)?, line)))
        .max_by_key(|&(begin, _)| begin);
    let fields = || mapping.map_or("", |m| m.1).split(' ').filter_map(|f| f.split_once('='));
    let size = fields().find(|f| f.0 == "kernelpagesize_kB").and_then(|f| f.1.parse().ok());
    let kib = size.unwrap_or(page as u64 >> 10);
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
            assert_eq!(buffer.base().addr() % ALIGNED, 0);
            assert!(buffer.bytes().iter().all(|&b| b == 0));
            buffer.words_mut().fill(7);
            assert_eq!(buffer.bytes()[8], 7);
        }
    }

    /// The kernels that there are, and what they call their pages.
    #[test]
    fn page_sizes_are_the_kernels_own() {
        for (small, huge, names) in [
            (4 << 10, 2 << 20, ["4k", "2m"]),
            (16 << 10, 32 << 20, ["16k", "32m"]),
            (64 << 10, 512 << 20, ["64k", "512m"]),
        ] {
            let sizes = PageSizes { small, huge };
            assert_eq!(PageSizes::of(small, Some(huge)), sizes);
            assert_eq!(PageSizes::of(small, None), sizes, "without huge pages nothing is told");
            assert_eq!([name_of(small), name_of(huge)], names);
        }
        let auxv = std::fs::read("/proc/self/auxv").unwrap();
        let words: Vec<usize> = auxv
            .chunks_exact(size_of::<usize>())
            .map(|word| usize::from_ne_bytes(word.try_into().unwrap()))
            .collect();
        let told = words.chunks(2).find(|pair| pair[0] == libc::AT_PAGESZ as usize).unwrap()[1];
        assert_eq!(Pages::Small.bytes(), told);
        assert_eq!(Pages::Small.lines() * LINE, told);
    }

    #[test]
    fn buffers_are_whole_pages_and_huge_ones_where_they_are_worth_it() {
        const K: usize = 1 << 10;
        const M: usize = 1 << 20;
        let [x86, apple, server] = [4 * K, 16 * K, 64 * K].map(|small| PageSizes::of(small, None));
        for (sizes, len, pages, extent) in [
            (x86, 1, Pages::Small, [4 * K, 2 * M, 4 * K]),
            (x86, 5 * K, Pages::Huge, [8 * K, 2 * M, 2 * M]),
            (x86, 3 * M, Pages::Huge, [3 * M, 2 * M, 4 * M]),
            (apple, 1, Pages::Small, [16 * K, 2 * M, 16 * K]),
            (apple, 1, Pages::Huge, [16 * K, 32 * M, 32 * M]),
            (apple, 40 * M, Pages::Huge, [40 * M, 32 * M, 64 * M]),
            (server, 1, Pages::Small, [64 * K, 2 * M, 64 * K]),
            // Not half a GiB for it.
            (server, 24 * K, Pages::Huge, [64 * K, 2 * M, 64 * K]),
            (server, 600 * M, Pages::Huge, [600 * M, 512 * M, 600 * M]),
            (server, 500 * M, Pages::Huge, [500 * M, 512 * M, 512 * M]),
            (server, 1024 * M, Pages::Huge, [1024 * M, 512 * M, 1024 * M]),
        ] {
            assert_eq!(sizes.extent(len, pages), Some(extent), "{sizes:?} {len} {pages:?}");
        }
        assert_eq!(server.extent(usize::MAX - 64 * K, Pages::Small), None);
    }

    /// Of which most machines have none.
    #[test]
    fn pages_of_a_gib_are_such_or_refused() {
        assert_eq!(name_of(GIGANTIC), "1g");
        match Buffer::new(1, Pages::Gigantic) {
            Ok(buffer) => {
                assert_eq!(buffer.base().addr() % GIGANTIC, 0);
                assert_eq!(buffer.huge_bytes().unwrap(), GIGANTIC as u64);
            }
            Err(e) => assert!(e.raw_os_error().is_some(), "{e}"),
        }
    }

    #[test]
    fn a_range_is_inside_the_buffer() {
        let buffer = Buffer::new(2 * Pages::Small.bytes(), Pages::Small).unwrap();
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
        let page = Pages::Small.bytes();
        let shared = SharedWords::new(3 * page, Pages::Small).unwrap();
        let words = shared.words();
        assert_eq!((words.len(), words.as_ptr().addr() % page), (3 * page / 4, 0));
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
    fn of_a_part_that_is_given_back_the_rest_stays() {
        let mut buffer = Buffer::new(1 << 20, Pages::Small).unwrap();
        buffer.bytes_mut().fill(9);
        buffer.give_back_part(256 << 10..512 << 10).unwrap();
        let part = |at: usize| buffer.bytes()[at << 18..(at + 1) << 18].iter();
        assert!(part(1).all(|&byte| byte == 0));
        assert!([0, 2, 3].into_iter().flat_map(part).all(|&byte| byte == 9));
    }

    #[test]
    fn what_was_given_back_is_as_new() {
        let mut buffer = Buffer::new(1 << 20, Pages::Small).unwrap();
        buffer.bytes_mut().fill(9);
        buffer.give_back().unwrap();
        let before = crate::sys::thread::usage().faults;
        buffer.words_mut().iter_mut().for_each(|word| *word += 1);
        let pages = ((1 << 20) / Pages::Small.bytes()) as u64;
        assert!(crate::sys::thread::usage().faults >= before + pages);
        assert_eq!(buffer.bytes().iter().map(|&b| u64::from(b)).sum::<u64>(), 1 << 17);
    }

    #[test]
    fn an_impossible_length_is_an_error() {
        for len in [1 << 50, usize::MAX - Pages::Huge.bytes(), usize::MAX] {
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
        let reserved = "40000000-80000000 rw-p 00000000 00:10 7 /anon_hugepage (deleted)\n\
                        AnonHugePages:         0 kB\nPrivate_Hugetlb: 1048576 kB\n";
        assert_eq!(huge_bytes_of(reserved, 0x4000_0000), 1 << 30);
    }

    #[test]
    fn numa_maps_are_read_for_the_right_mapping() {
        let maps = "1000 default anon=1 dirty=1 N0=1 kernelpagesize_kB=4\n\
                    200000 prefer:1 anon=512 dirty=512 N1=510 N0=2 kernelpagesize_kB=4\n\
                    900000 default file=/bin/a mapped=2 N0=2 kernelpagesize_kB=4\n";
        let of = |maps, address| bytes_by_node_of(maps, address, 16384);
        assert_eq!(of(maps, 0x1000), BTreeMap::from([(0, 4096)]));
        let both = BTreeMap::from([(0, 8192), (1, 510 << 12)]);
        assert_eq!(of(maps, 0x20_0000), both);
        assert_eq!(of(maps, 0x3f_ffff), both);
        assert_eq!(of(maps, 0xfff), BTreeMap::new());
        assert_eq!(of("", 0xfff), BTreeMap::new());
        // Old kernels do not name the size.
        assert_eq!(of("1000 default anon=2 N0=2", 0x1000), BTreeMap::from([(0, 2 * 16384)]));
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
