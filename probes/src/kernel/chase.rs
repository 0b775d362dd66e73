//! Pointer chases: each load's address is the value of the load before it, so loads cannot
//! overlap, and the time per load is the load-to-use latency.

use std::io;

use super::arch;
use crate::sys::memory::{Buffer, Pages};

/// Loads per unrolled block; counts are rounded up to whole blocks.
pub const BLOCK: u64 = 64;

/// In which order the nodes of a ring follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Anywhere in the working set.
    Random,
    /// All nodes of a group of this many bytes at random, then the next group: each group stays
    /// within the reach of a first-level TLB.
    Grouped(usize),
    /// Ascending addresses: prefetchers know the way.
    Sequential,
}

/// A ring of nodes in a buffer, one walk through which visits every node once.
#[derive(Debug)]
pub struct Ring {
    buffer: Buffer,
    at: *const u8,
    nodes: usize,
}

// SAFETY: the pointer is into the buffer, which the ring owns and sends along.
unsafe impl Send for Ring {}

impl Ring {
    /// An empty ring with room for working sets of up to `capacity` bytes.
    pub fn with_capacity(capacity: usize, pages: Pages) -> io::Result<Ring> {
        let buffer = Buffer::new(capacity, pages)?;
        let at = buffer.base().cast_const();
        let mut ring = Ring { buffer, at, nodes: 1 };
        ring.link(&[0]);
        Ok(ring)
    }

    /// Lays a ring over the first `working_set` bytes, a node every `stride`.
    pub fn lay(
        &mut self,
        working_set: usize,
        stride: usize,
        order: Order,
        rng: &mut fastrand::Rng,
    ) {
        let nodes = (working_set.min(self.buffer.len()) / stride).max(1);
        let mut offsets: Vec<u32> = (0..nodes).map(|i| offset_u32(i * stride)).collect();
        match order {
            Order::Random => rng.shuffle(&mut offsets),
            Order::Sequential => {}
            Order::Grouped(bytes) => shuffle_groups(&mut offsets, (bytes / stride).max(1), rng),
        }
        self.link(&offsets);
    }

    /// Links the nodes at these distinct byte offsets, in this order, and closes the ring.
    /// Offsets need not be aligned: that is how loads across a line border are measured.
    pub fn link(&mut self, offsets: &[u32]) {
        let base = self.buffer.base().addr();
        let bytes = self.buffer.bytes_mut();
        let next = offsets.iter().skip(1).chain(offsets.first());
        for (&here, &there) in offsets.iter().zip(next) {
            let target = (base + there as usize).to_ne_bytes();
            bytes[here as usize..here as usize + target.len()].copy_from_slice(&target);
        }
        self.at = self.buffer.base().wrapping_add(offsets.first().map_or(0, |&o| o as usize));
        self.nodes = offsets.len();
    }

    /// Nodes in the ring.
    pub fn nodes(&self) -> u64 {
        self.nodes as u64
    }

    /// Follows the ring for at least `loads` loads (whole blocks) from where the last walk ended.
    #[inline]
    pub fn walk(&mut self, loads: u64) {
        // SAFETY: `link` wrote into every node the address of a node of this ring, the buffer is
        // not written to otherwise while the ring stands, and `at` is one of its nodes.
        self.at = unsafe { arch::chase::walk(self.at, loads.div_ceil(BLOCK).max(1)) };
    }

    /// Loads nodes in random, non-cyclic order: replacement state left by other data goes away,
    /// which a cyclic walk alone may never achieve.
    pub fn touch_at_random(&mut self, times: u64, rng: &mut fastrand::Rng, stride: usize) {
        let nodes = self.nodes;
        for _ in 0..times * self.nodes() {
            let at = rng.usize(..nodes) * stride;
            std::hint::black_box(self.buffer.bytes()[at]);
        }
    }

    /// Whether one walk through all nodes ends where it began and not before.
    pub fn is_one_cycle(&self) -> bool {
        let base = self.buffer.base().addr();
        let start = self.at.addr();
        let mut at = start;
        for step in 1..=self.nodes {
            let offset = at - base;
            let mut word = [0; 8];
            word.copy_from_slice(&self.buffer.bytes()[offset..offset + 8]);
            at = usize::from_ne_bytes(word);
            if (at == start) != (step == self.nodes) {
                return false;
            }
        }
        true
    }

    /// The memory under the ring.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// Gives the memory back for other use.
    pub fn into_buffer(self) -> Buffer {
        self.buffer
    }
}

/// Offsets are kept in 32 bits to halve the memory a large ring needs while it is laid.
fn offset_u32(offset: usize) -> u32 {
    u32::try_from(offset).expect("a working set is below 4 GiB")
}

/// Shuffles inside groups and shuffles the groups.
fn shuffle_groups(offsets: &mut Vec<u32>, group: usize, rng: &mut fastrand::Rng) {
    let mut groups: Vec<Vec<u32>> = offsets.chunks(group).map(<[u32]>::to_vec).collect();
    groups.iter_mut().for_each(|g| rng.shuffle(g));
    rng.shuffle(&mut groups);
    *offsets = groups.concat();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_is_one_cycle_over_all_nodes() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut ring = Ring::with_capacity(1 << 20, Pages::Small).unwrap();
        for order in [Order::Random, Order::Grouped(64 << 10), Order::Sequential] {
            for working_set in [64, 4096, 100 << 10, 1 << 20] {
                ring.lay(working_set, 64, order, &mut rng);
                assert_eq!(ring.nodes(), working_set as u64 / 64);
                assert!(ring.is_one_cycle(), "{order:?} {working_set}");
            }
        }
    }

    #[test]
    fn whole_laps_end_where_they_began() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut ring = Ring::with_capacity(64 << 10, Pages::Small).unwrap();
        ring.lay(64 << 10, 64, Order::Random, &mut rng);
        let start = ring.at;
        ring.walk(ring.nodes());
        assert_eq!(ring.at, start);
        ring.walk(ring.nodes() / 2);
        assert_ne!(ring.at, start);
    }

    #[test]
    fn a_ring_of_several_cycles_is_noticed() {
        let mut ring = Ring::with_capacity(4096, Pages::Small).unwrap();
        ring.link(&[0, 64]);
        ring.link(&[128, 192]);
        ring.nodes = 4;
        assert!(!ring.is_one_cycle());
    }

    #[test]
    fn groups_stay_together() {
        let mut rng = fastrand::Rng::with_seed(3);
        let mut offsets: Vec<u32> = (0..64).collect();
        shuffle_groups(&mut offsets, 16, &mut rng);
        for group in offsets.chunks(16) {
            assert!(group.iter().all(|o| o / 16 == group[0] / 16));
        }
        assert_ne!(offsets, (0..64).collect::<Vec<u32>>());
    }

    #[test]
    fn unaligned_nodes_work() {
        let mut ring = Ring::with_capacity(4096, Pages::Small).unwrap();
        ring.link(&[61]);
        ring.walk(1000);
        assert_eq!(ring.at.addr() - ring.buffer.base().addr(), 61);
    }
}
