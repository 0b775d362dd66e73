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
        Ok(Ring::over(Buffer::new(capacity, pages)?))
    }

    /// An empty ring in this memory.
    pub fn over(buffer: Buffer) -> Ring {
        let at = buffer.base().cast_const();
        let mut ring = Ring { buffer, at, nodes: 1 };
        ring.link(&[0]);
        ring
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
        self.nodes = nodes;
        self.at = self.buffer.base();
        match order {
            Order::Random => self.lay_random(nodes, stride, rng),
            Order::Grouped(bytes) => self.lay_grouped(nodes, stride, bytes / stride, rng),
            Order::Sequential => {
                (0..nodes).for_each(|i| self.set_next(i * stride, (i + 1) % nodes * stride));
            }
        }
    }

    /// Sattolo's shuffle of the successors, in place: one cycle over all nodes, and no memory
    /// besides them.
    fn lay_random(&mut self, nodes: usize, stride: usize, rng: &mut fastrand::Rng) {
        (0..nodes).for_each(|i| self.set_next(i * stride, i * stride));
        for i in (1..nodes).rev() {
            let j = rng.usize(..i);
            let (a, b) = (self.next(i * stride), self.next(j * stride));
            self.set_next(i * stride, b);
            self.set_next(j * stride, a);
        }
    }

    /// Nodes shuffled within groups, the groups in random order.
    fn lay_grouped(&mut self, nodes: usize, stride: usize, size: usize, rng: &mut fastrand::Rng) {
        let size = size.max(1);
        let mut groups: Vec<usize> = (0..nodes.div_ceil(size)).collect();
        rng.shuffle(&mut groups);
        let mut first = None;
        let mut last = 0;
        for group in groups {
            let mut within: Vec<usize> = (group * size..nodes.min((group + 1) * size)).collect();
            rng.shuffle(&mut within);
            for at in within.into_iter().map(|i| i * stride) {
                match first {
                    None => first = Some(at),
                    Some(_) => self.set_next(last, at),
                }
                last = at;
            }
        }
        self.set_next(last, first.unwrap_or(last));
    }

    /// Byte offset of the node after the one at `offset`.
    fn next(&self, offset: usize) -> usize {
        let mut word = [0; 8];
        word.copy_from_slice(&self.buffer.bytes()[offset..offset + 8]);
        usize::from_ne_bytes(word) - self.buffer.base().addr()
    }

    fn set_next(&mut self, offset: usize, next: usize) {
        let target = (self.buffer.base().addr() + next).to_ne_bytes();
        self.buffer.bytes_mut()[offset..offset + target.len()].copy_from_slice(&target);
    }

    /// Links the nodes at these distinct byte offsets, in this order, and closes the ring.
    /// Offsets need not be aligned: that is how loads across a line border are measured.
    pub fn link(&mut self, offsets: &[usize]) {
        let next = offsets.iter().skip(1).chain(offsets.first());
        offsets.iter().zip(next).for_each(|(&here, &there)| self.set_next(here, there));
        self.at = self.buffer.base().wrapping_add(offsets.first().copied().unwrap_or(0));
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

    /// Loads the bytes at these offsets. In random, non-cyclic order this makes replacement state
    /// left by other data go away, which a cyclic walk alone may never achieve.
    pub fn touch(&self, offsets: impl Iterator<Item = usize>) {
        offsets.for_each(|at| {
            std::hint::black_box(self.buffer.bytes()[at]);
        });
    }

    /// Whether one walk through all nodes ends where it began and not before.
    pub fn is_one_cycle(&self) -> bool {
        let start = self.position();
        let mut at = start;
        (1..=self.nodes).all(|step| {
            at = self.next(at);
            (at == start) == (step == self.nodes)
        })
    }

    /// Lets the next walk begin at the node at this offset: of another ring in the same memory.
    pub fn go_to(&mut self, offset: usize) {
        assert!(self.next(offset) < self.buffer.len(), "there is a node");
        self.at = self.buffer.base().wrapping_add(offset);
    }

    /// Byte offset of the node that the next walk begins at.
    pub fn position(&self) -> usize {
        self.at.addr() - self.buffer.base().addr()
    }

    /// The memory under the ring.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }
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
        let start = ring.position();
        ring.walk(ring.nodes());
        assert_eq!(ring.position(), start);
        ring.walk(ring.nodes() / 2);
        assert_ne!(ring.position(), start);
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
        let mut ring = Ring::with_capacity(64 << 10, Pages::Small).unwrap();
        ring.lay(64 << 10, 64, Order::Grouped(4 << 10), &mut rng);
        let mut at = ring.position();
        let changes = (0..ring.nodes())
            .filter(|_| {
                let before = at >> 12;
                at = ring.next(at);
                at >> 12 != before
            })
            .count();
        assert_eq!(changes, 16, "each of the 16 groups is entered once");
    }

    #[test]
    fn unaligned_nodes_work() {
        let mut ring = Ring::with_capacity(4096, Pages::Small).unwrap();
        ring.link(&[61]);
        ring.walk(1000);
        assert_eq!(ring.position(), 61);
    }
}
