//! Memory, pages and huge pages.

use serde::{Deserialize, Serialize};

use super::Fact;
use super::files::{Files, Found, field};
use super::limits::MemoryBound;

const MEMINFO: &str = "/proc/meminfo";
const POOLS: &str = "/sys/kernel/mm/hugepages";

/// A pool of reserved huge pages of one size.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HugePool {
    /// Size of a page.
    pub page_bytes: u64,
    /// Pages in the pool.
    pub total: Fact<u64>,
    /// Pages that nobody uses.
    pub free: Fact<u64>,
}

/// Memory of the machine, as the kernel tells it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// Installed memory that the kernel manages, bytes.
    pub total_bytes: Fact<u64>,
    /// What can be had without swapping.
    pub available_bytes: Fact<u64>,
    /// Swap space; 0 is none.
    pub swap_bytes: Fact<u64>,
    /// The ordinary page.
    pub page_bytes: Fact<u64>,
    /// The page that transparent huge pages are made of.
    pub huge_page_bytes: Fact<u64>,
    /// Transparent huge pages: "always", "madvise", "never".
    pub transparent_huge_pages: Fact<String>,
    /// How hard the kernel tries to make one at a fault: "always", "defer", "madvise", …
    pub transparent_huge_page_defrag: Fact<String>,
    /// Reserved huge pages by size.
    pub huge_pools: Fact<Vec<HugePool>>,
    /// Whether the kernel moves pages towards the CPUs that use them.
    pub numa_balancing: Fact<bool>,
}

impl Memory {
    pub(super) fn detect(files: &Files) -> Self {
        let info = files.text(MEMINFO);
        let thp = "/sys/kernel/mm/transparent_hugepage";
        Self {
            total_bytes: meminfo(&info, "MemTotal").into(),
            available_bytes: meminfo(&info, "MemAvailable").into(),
            swap_bytes: meminfo(&info, "SwapTotal").into(),
            page_bytes: page_bytes(files).into(),
            huge_page_bytes: files.number(&format!("{thp}/hpage_pmd_size")).into(),
            transparent_huge_pages: files.choice(&format!("{thp}/enabled")).into(),
            transparent_huge_page_defrag: files.choice(&format!("{thp}/defrag")).into(),
            huge_pools: huge_pools(files).into(),
            numa_balancing: files
                .number::<u8>("/proc/sys/kernel/numa_balancing")
                .map(|mode| mode != 0)
                .into(),
        }
    }
}

impl Memory {
    /// Bytes of an ordinary page and of a huge one, of which a page full of entries of eight bytes
    /// tells; where nothing is told, those of almost all machines.
    pub fn page_sizes(&self) -> [u64; 2] {
        let small = self.page_bytes.known().copied().unwrap_or(4 << 10);
        [small, self.huge_page_bytes.known().copied().unwrap_or(small / 8 * small)]
    }
}

/// "MemTotal:       24684084 kB" in bytes.
fn meminfo(info: &Found<String>, key: &str) -> Found<u64> {
    let text = info.as_ref().map_err(Clone::clone)?;
    let kib = field(text, key).and_then(|value| value.strip_suffix("kB")?.trim().parse().ok());
    kib.map(|kib: u64| kib << 10).ok_or_else(|| format!("{MEMINFO} has no {key}"))
}

/// What may still be reserved where the kernel promises no more memory than there is.
pub(super) fn commit_bound(files: &Files) -> Option<MemoryBound> {
    const NO_OVERCOMMIT: u8 = 2;
    (files.number("/proc/sys/vm/overcommit_memory") == Ok(NO_OVERCOMMIT)).then_some(())?;
    let info = files.text(MEMINFO);
    let limit_bytes = meminfo(&info, "CommitLimit").ok()?;
    let committed = meminfo(&info, "Committed_AS").ok()?;
    Some(MemoryBound {
        source: "CommitLimit (vm.overcommit_memory is 2)".into(),
        limit_bytes,
        available_bytes: limit_bytes.saturating_sub(committed),
    })
}

/// From the auxiliary vector, pairs of machine words: the one source of the page size that needs
/// no system call of ours.
fn page_bytes(files: &Files) -> Found<u64> {
    const AT_PAGESZ: usize = 6;
    let path = "/proc/self/auxv";
    let bytes = files.bytes(path)?;
    let words: Vec<usize> = bytes
        .chunks_exact(size_of::<usize>())
        .filter_map(|chunk| chunk.try_into().ok().map(usize::from_ne_bytes))
        .collect();
    let pairs = words.chunks_exact(2);
    let found = pairs.into_iter().find(|pair| pair[0] == AT_PAGESZ).map(|pair| pair[1] as u64);
    found.ok_or_else(|| format!("{path} does not say the page size"))
}

fn huge_pools(files: &Files) -> Found<Vec<HugePool>> {
    let names = files.names(POOLS)?;
    let sizes = names.iter().filter_map(|name| {
        let kib: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
        Some((name, kib << 10))
    });
    let mut pools: Vec<HugePool> = sizes
        .map(|(name, page_bytes)| HugePool {
            page_bytes,
            total: files.number(&format!("{POOLS}/{name}/nr_hugepages")).into(),
            free: files.number(&format!("{POOLS}/{name}/free_hugepages")).into(),
        })
        .collect();
    pools.sort_by_key(|pool| pool.page_bytes);
    Ok(pools)
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::*;

    #[test]
    fn what_the_files_say() {
        let words: Vec<u8> =
            [33usize, 7, 6, 16384, 0, 0].iter().flat_map(|word| word.to_ne_bytes()).collect();
        let thp = "/sys/kernel/mm/transparent_hugepage";
        let memory = Tree::new()
            .file(MEMINFO, "MemTotal:  1024 kB\nMemAvailable:  512 kB\nSwapTotal: 0 kB\n")
            .file("/proc/self/auxv", words)
            .file(&format!("{thp}/enabled"), "always [madvise] never\n")
            .file(&format!("{thp}/hpage_pmd_size"), "33554432\n")
            .file(&format!("{POOLS}/hugepages-1048576kB/nr_hugepages"), "0\n")
            .file(&format!("{POOLS}/hugepages-2048kB/nr_hugepages"), "64\n")
            .file(&format!("{POOLS}/hugepages-2048kB/free_hugepages"), "60\n")
            .machine()
            .memory;
        assert_eq!(memory.total_bytes, Fact::Known(1 << 20));
        assert_eq!(memory.available_bytes, Fact::Known(512 << 10));
        assert_eq!(memory.page_bytes, Fact::Known(16384));
        assert_eq!(memory.huge_page_bytes, Fact::Known(32 << 20));
        assert_eq!(memory.page_sizes(), [16 << 10, 32 << 20]);
        assert_eq!(memory.transparent_huge_pages, Fact::Known("madvise".into()));
        let pools = memory.huge_pools.known().expect("listed");
        assert_eq!((pools[0].page_bytes, &pools[0].free), (2 << 20, &Fact::Known(60)));
        assert_eq!(pools[1].page_bytes, 1 << 30);
        assert!(pools[1].free.known().is_none());
    }

    #[test]
    fn what_they_do_not_say() {
        let memory = Tree::new().file(MEMINFO, "MemTotal:  1024 kB\n").machine().memory;
        assert_eq!(memory.available_bytes.reason(), Some("/proc/meminfo has no MemAvailable"));
        assert_eq!(memory.huge_pools.reason(), Some("/sys does not exist"));
        assert_eq!(memory.page_bytes.reason(), Some("/proc/self does not exist"));
        assert_eq!(memory.page_sizes(), [4 << 10, 2 << 20]);
        let told = Memory { page_bytes: Fact::Known(64 << 10), ..memory };
        assert_eq!(told.page_sizes(), [64 << 10, 512 << 20]);
    }
}
