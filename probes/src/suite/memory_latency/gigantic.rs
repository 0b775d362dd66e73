//! Main memory in pages of 1 GiB, of which a few entries of the TLB reach all: where some are reserved.

use std::time::Duration;

use super::sweep::{LEAST_SAMPLING, sample};
use super::{beyond_caches, random};
use crate::harness::backing;
use crate::harness::bench::Bench;
use crate::kernel::chase::{Order, Ring};
use crate::sys::memory::Pages;
use card::machine::{Machine, human_bytes};
use card::record::Skip;

/// What rests on them.
pub(super) const METRICS: &str = "memory.latency.dram_1g_*";

/// Part of the slice for them: laying the ring takes what it takes.
const SHARE: f64 = 1.0 / 16.0;

/// The largest working set of the sweep, or as much of it as there are such pages.
pub(super) fn measure(bench: &mut Bench<'_>, largest: u64) -> anyhow::Result<()> {
    let unmet = |reason: String, remedy: &str| {
        Skip::new("pages of 1 GiB beyond the last-level cache", reason, remedy).of([METRICS])
    };
    let page = Pages::Gigantic.bytes() as u64;
    let free = match free(bench.machine, page) {
        Ok(free) => free,
        Err(reason) => return bench.skip(unmet(reason, "a kernel and a CPU that have them")),
    };
    let wanted = largest.div_ceil(page);
    let remedy = format!(
        "as root: echo {wanted} > /sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages, best \
         soon after the start"
    );
    let size = largest.min(free * page);
    if size == 0 || !beyond_caches(bench, size) {
        let reason = match free {
            0 => "none is reserved and free".to_owned(),
            _ => format!("{} of them are free", human_bytes(size)),
        };
        return bench.skip(unmet(reason, &remedy));
    }
    let mut ring = match Ring::with_capacity(usize::try_from(size)?, Pages::Gigantic) {
        Ok(ring) => ring,
        Err(e) => return bench.skip(unmet(format!("{} refused: {e}", human_bytes(size)), &remedy)),
    };
    let backing = backing::of(ring.buffer());
    let share: Duration = bench.share(SHARE).max(LEAST_SAMPLING);
    sample(bench, &mut ring, &random(Pages::Gigantic), Order::Random, (size, share), &backing)
}

/// Pages of that size that nobody uses.
fn free(machine: &Machine, page: u64) -> Result<u64, String> {
    let pools = machine.memory.huge_pools.as_result()?;
    let pool = pools.iter().find(|pool| pool.page_bytes == page);
    let pool = pool.ok_or_else(|| "the kernel offers none of that size".to_owned())?;
    Ok(*pool.free.as_result()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use card::machine::{Fact, HugePool};

    #[test]
    fn free_pages_are_those_of_the_right_size() {
        let mut machine = Machine::default();
        assert_eq!(free(&machine, 1 << 30), Err("not recorded".into()));
        let pool = |page_bytes, free| HugePool {
            page_bytes,
            total: Fact::Known(9),
            free: Fact::Known(free),
        };
        machine.memory.huge_pools = Fact::Known(vec![pool(2 << 20, 7)]);
        assert_eq!(free(&machine, 1 << 30), Err("the kernel offers none of that size".into()));
        machine.memory.huge_pools = Fact::Known(vec![pool(2 << 20, 7), pool(1 << 30, 3)]);
        assert_eq!(free(&machine, 1 << 30), Ok(3));
    }
}
