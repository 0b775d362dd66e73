//! Which working sets lie in which level of the memory hierarchy: by what other probes have
//! measured, and by the machine's claims only where nothing is measured yet.

use super::bench::Bench;
use card::declare::Level;
use card::machine::{Machine, human_bytes};

/// The metrics that levels are told by, for [`crate::probe::Probe::uses`].
pub const USES: &[&str] = &[L1, L2, L3];
const L1: &str = "cache.l1d_bytes";
const L2: &str = "cache.l2_bytes";
const L3: &str = "cache.l3_effective_bytes";

/// The smallest first-level data cache in use.
const LEAST_L1: u64 = 32 << 10;

/// Where the machine claims no cache at all, as some hypervisors do.
const UNKNOWN_LAST_CACHE: u64 = 64 << 20;

/// How often the last cache fits into a working set that counts as main memory.
pub const BEYOND: u64 = 4;

/// The same where memory does not allow that much; below it, caches serve too much of the working
/// set.
pub const LEAST_BEYOND: u64 = 2;

/// Beyond this no cache of a socket reaches, and preparing it takes too long.
pub const LARGEST: u64 = 2 << 30;

/// Claimed bytes of the cache nearest to memory, or a guess that is safe for what has to lie beyond.
pub fn last_cache(machine: &Machine) -> u64 {
    machine.last_cache_bytes().filter(|&bytes| bytes > 0).unwrap_or(UNKNOWN_LAST_CACHE)
}

/// What the last caches of these CPUs hold together, each as claimed of its own CPUs.
pub fn last_caches(machine: &Machine, cpus: &[usize]) -> u64 {
    let own = last_cache(machine);
    let groups = machine.l3_groups().iter();
    let ours = groups.filter_map(|group| group.iter().find(|cpu| cpus.contains(cpu)));
    let all: u64 = ours.map(|&cpu| machine.last_cache_of(cpu).unwrap_or(own)).sum();
    all.max(own)
}

/// Sizes of the caches, as far as they are known.
#[derive(Clone, Debug, PartialEq)]
pub struct Levels {
    l1: u64,
    l2: Option<u64>,
    l3: Option<u64>,
    dram: Option<u64>,
    /// What bounds buffers, in words.
    limit: String,
    /// What the reader must know of the sizes: claimed, not measured.
    pub note: Option<String>,
}

/// What lies well within the smaller of both lies within the cache, whichever is right. Beside a busy SMT
/// sibling an L2 of 1.25 MiB was measured as 2.6, and "L2" was read from L3: 10 bytes a cycle, not 29.
fn smaller(measured: Option<u64>, claimed: Option<u64>) -> Option<u64> {
    measured.into_iter().chain(claimed).filter(|&bytes| bytes > 0).min()
}

impl Levels {
    /// The sizes that this round goes by.
    pub fn of(bench: &Bench<'_>) -> Levels {
        let measured = |id| bench.known(id).map(|bytes: f64| bytes as u64);
        let claimed = |level| bench.machine.claimed_cache(level, true).map(|c| c.bytes);
        let last = claimed(3).or(claimed(2)).filter(|&bytes| bytes > 0);
        let largest = last.max(measured(L3)).max(measured(L2)).unwrap_or(UNKNOWN_LAST_CACHE);
        let memory = bench.machine.buffer_limit().min(LARGEST);
        let unmeasured = measured(L1).is_none() || measured(L2).is_none();
        Levels {
            l1: smaller(measured(L1), claimed(1)).unwrap_or(LEAST_L1).max(1 << 10),
            l2: smaller(measured(L2), claimed(2)),
            l3: smaller(measured(L3), claimed(3)),
            dram: Some((BEYOND * largest).min(memory))
                .filter(|&bytes| bytes >= LEAST_BEYOND * largest),
            limit: format!("{}, {}", human_bytes(memory), bench.machine.buffer_limit_reason()),
            note: unmeasured.then(|| "levels by claimed cache sizes".into()),
        }
    }

    /// The level that a working set lies in, or `None` for sizes in between.
    pub fn level_of(&self, bytes: u64) -> Option<Level> {
        let below = |size: Option<u64>| size.is_some_and(|size| bytes <= size / 4 * 3);
        let beyond = |size: Option<u64>| size.is_none_or(|size| bytes >= size / 2 * 3);
        if bytes <= self.l1 / 4 * 3 {
            Some(Level::L1)
        } else if beyond(Some(self.l1)) && below(self.l2) {
            Some(Level::L2)
        } else if beyond(self.l2.max(Some(self.l1))) && below(self.l3) {
            Some(Level::L3)
        } else {
            self.dram.filter(|&dram| bytes >= dram).map(|_| Level::Dram)
        }
    }

    /// One working set for each level that there is room for: well inside the cache and well
    /// beyond the one before.
    pub fn working_sets(&self) -> Vec<(Level, u64)> {
        let l3_from = self.l2.unwrap_or(self.l1) / 2 * 3;
        let l3 = self.l3.map(|l3| l3 / 4 * 3).filter(|&to| to >= l3_from);
        let sizes = [
            (Level::L1, Some(self.l1 / 4 * 3)),
            (Level::L2, self.l2.map(|l2| l2 / 8 * 5)),
            (Level::L3, l3.map(|to| ((l3_from as f64 * to as f64).sqrt()) as u64)),
            (Level::Dram, self.dram),
        ];
        let known = sizes.into_iter().filter_map(|(level, bytes)| Some((level, bytes? & !4095)));
        known.filter(|&(_, bytes)| bytes > 0).collect()
    }

    /// Why there is no working set for a level, for the reader.
    pub fn why_not(&self, level: Level) -> String {
        match level {
            Level::L3 => format!(
                "the share of L3 that is left here ({}) is too small to be told from L2",
                self.l3.map_or("unknown".into(), human_bytes)
            ),
            Level::Dram => {
                format!("twice the last-level cache is more than buffers may take ({})", self.limit)
            }
            _ => "no such cache is known here".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use card::machine::{CoreKind, Fact};

    const ZEN4: Levels = Levels {
        l1: 32 << 10,
        l2: Some(1 << 20),
        l3: Some(32 << 20),
        dram: Some(128 << 20),
        limit: String::new(),
        note: None,
    };

    #[test]
    fn each_working_set_lies_in_its_level() {
        let sets = ZEN4.working_sets();
        assert_eq!(sets.len(), 4);
        for (level, bytes) in sets {
            assert_eq!(ZEN4.level_of(bytes), Some(level), "{bytes}");
        }
        assert_eq!(ZEN4.level_of(40 << 10), None);
        assert_eq!(ZEN4.level_of(32 << 20), None);
    }

    #[test]
    fn a_working_set_goes_by_the_smaller_of_measured_and_claimed() {
        assert_eq!(smaller(Some(2_686_976), Some(1_310_720)), Some(1_310_720));
        assert_eq!(smaller(Some(512 << 10), Some(1 << 20)), Some(512 << 10));
        assert_eq!(smaller(None, Some(1 << 20)), Some(1 << 20));
        assert_eq!(smaller(Some(1 << 20), Some(0)), Some(1 << 20));
        assert_eq!(smaller(None, None), None);
    }

    #[test]
    fn a_share_of_l3_as_small_as_l2_is_no_level() {
        let small = Levels { l3: Some(3 << 19), ..ZEN4 };
        let levels: Vec<Level> = small.working_sets().into_iter().map(|w| w.0).collect();
        assert_eq!(levels, [Level::L1, Level::L2, Level::Dram]);
    }

    #[test]
    fn without_l2_and_l3_there_are_l1_and_memory() {
        let bare = Levels { l2: None, l3: None, ..ZEN4 };
        let levels: Vec<Level> = bare.working_sets().into_iter().map(|w| w.0).collect();
        assert_eq!(levels, [Level::L1, Level::Dram]);
    }

    #[test]
    fn caches_of_two_sizes_are_added_up() {
        let mut machine = Machine::default();
        let l3 = |mib: u64| format!(r#"[{{"level":3,"kind":"unified","bytes":{}}}]"#, mib << 20);
        let kind = |cpus: &[usize], mib| {
            let caches = Fact::Known(serde_json::from_str(&l3(mib)).unwrap());
            CoreKind { cpus: cpus.to_vec(), caches, ..CoreKind::default() }
        };
        machine.caches = Fact::Known(serde_json::from_str(&l3(32)).unwrap());
        machine.topology.l3_groups = Fact::Known(vec![vec![0, 1], vec![2, 3]]);
        assert_eq!(last_caches(&machine, &[0, 1, 2, 3]), 64 << 20);
        machine.cpu.kinds = Fact::Known(vec![kind(&[0, 1], 32), kind(&[2, 3], 96)]);
        assert_eq!(last_caches(&machine, &[0, 1, 2, 3]), 128 << 20);
        assert_eq!(last_caches(&machine, &[0, 1]), 32 << 20);
    }

    #[test]
    fn a_last_cache_of_no_bytes_is_an_unknown_one() {
        let mut machine = Machine::default();
        assert_eq!(last_cache(&machine), UNKNOWN_LAST_CACHE);
        for (bytes, expected) in [(0, UNKNOWN_LAST_CACHE), (1 << 20, 1 << 20)] {
            let l3 = format!(r#"[{{ "level": 3, "kind": "unified", "bytes": {bytes} }}]"#);
            machine.caches = Fact::Known(serde_json::from_str(&l3).unwrap());
            assert_eq!(last_cache(&machine), expected);
        }
    }
}
