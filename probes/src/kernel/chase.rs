//! Pointer chases: each load's address is the value of the load before it, so loads cannot
//! overlap, and the time per load is the load-to-use latency.

use std::io;

use super::scattering::Scattering;
use super::{arch, whole_blocks};
use crate::sys::memory::{Buffer, Pages};

/// Loads per unrolled block; counts are rounded up to whole blocks.
pub const BLOCK: u64 = 64;

/// Bytes of a node: the address of the next one.
const NODE: usize = size_of::<*const u8>();

/// Rings of up to so many nodes are shuffled.
const SHUFFLED: usize = 1 << 16;

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
    ///
    /// # Errors
    /// If there is no memory.
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
    ///
    /// # Panics
    /// If nodes so close to each other overlap.
    pub fn lay(
        &mut self,
        working_set: usize,
        stride: usize,
        order: Order,
        rng: &mut fastrand::Rng,
    ) {
        assert!(stride >= NODE, "nodes every {stride} bytes overlap");
        let nodes = (working_set.min(self.buffer.len()) / stride).max(1);
        self.nodes = nodes;
        self.at = self.buffer.base();
        match order {
            Order::Random if nodes <= SHUFFLED => self.lay_random(nodes, stride, rng),
            Order::Random => self.lay_scattered(nodes, stride, rng),
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

    /// Nodes in the order of a scattering, written from the first to the last: a store for each that
    /// lies beside the one before it. A shuffle in place takes three to four times as long beyond the
    /// caches, where each store waits for its line, and for the page walk.
    fn lay_scattered(&mut self, nodes: usize, stride: usize, rng: &mut fastrand::Rng) {
        let order = Scattering::new(nodes as u64, rng);
        for node in 0..nodes {
            let next = order.after(node as u64) as usize;
            self.set_next(node * stride, next * stride);
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
        self.address_in(offset) - self.address_of(0)
    }

    fn set_next(&mut self, offset: usize, next: usize) {
        let target = self.address_of(next).to_ne_bytes();
        self.buffer.bytes_mut()[offset..offset + NODE].copy_from_slice(&target);
    }

    /// What the node at `offset` holds.
    fn address_in(&self, offset: usize) -> usize {
        let mut word = [0; NODE];
        word.copy_from_slice(&self.buffer.bytes()[offset..offset + NODE]);
        usize::from_ne_bytes(word)
    }

    fn address_of(&self, offset: usize) -> usize {
        self.buffer.base().addr() + offset
    }

    /// Links the nodes at these byte offsets, in this order, and closes the ring. Offsets need not
    /// be aligned: that is how loads across a line border are measured.
    ///
    /// # Panics
    /// If there are none, or if nodes overlap or leave the buffer.
    pub fn link(&mut self, offsets: &[usize]) {
        self.link_each(&[offsets]);
    }

    /// The same with several rings beside each other; the first one is to be walked.
    fn link_each(&mut self, rings: &[&[usize]]) {
        assert!(rings.iter().all(|ring| !ring.is_empty()), "a ring has nodes");
        rings.iter().copied().flatten().for_each(|&offset| _ = self.buffer.range(offset, NODE));
        let all = || rings.iter().copied().flat_map(successors);
        all().for_each(|(node, next)| self.set_next(node, next));
        // A node that another one overlaps no longer holds what was written into it.
        if all().any(|(node, next)| self.address_in(node) != self.address_of(next)) {
            self.link_each(&[&[0]]);
            panic!("nodes overlap");
        }
        self.at = self.buffer.range(rings[0][0], NODE);
        self.nodes = rings[0].len();
    }

    /// Nodes in the ring.
    pub fn nodes(&self) -> u64 {
        self.nodes as u64
    }

    /// Follows the ring for at least `loads` loads (whole blocks) from where the last walk ended.
    #[inline]
    pub fn walk(&mut self, loads: u64) {
        // SAFETY: every node of this ring holds the address of a node of it: `lay` leaves them no way
        // to overlap, and `link` looked. Nothing else writes to the buffer while the ring stands, and
        // `at` is one of its nodes.
        self.at = unsafe { arch::chase::walk(self.at, whole_blocks(loads, BLOCK).get()) };
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

    /// Byte offset of the node that the next walk begins at.
    pub fn position(&self) -> usize {
        self.at.addr() - self.buffer.base().addr()
    }

    /// The memory under the ring.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }
}

/// Each node of a ring with the one after it.
fn successors(ring: &[usize]) -> impl Iterator<Item = (usize, usize)> {
    ring.iter().copied().zip(ring.iter().copied().cycle().skip(1))
}

/// Rings in one memory, which have no node in common and are walked in turn.
#[derive(Debug)]
pub struct Rings {
    /// The one that is walked.
    ring: Ring,
    /// Where the next walk of each begins.
    starts: Vec<*const u8>,
}

impl Rings {
    /// Links the nodes of each ring, in this order.
    ///
    /// # Panics
    /// If a ring has none, or if nodes overlap, also of different rings, or leave the buffer.
    pub fn link(buffer: Buffer, rings: &[&[usize]]) -> Rings {
        let mut ring = Ring::over(buffer);
        ring.link_each(rings);
        let start = |nodes: &&[usize]| ring.buffer.range(nodes[0], NODE).cast_const();
        Rings { starts: rings.iter().map(start).collect(), ring }
    }

    /// Follows one of the rings for at least `loads` loads (whole blocks) from where its last walk
    /// ended.
    ///
    /// # Panics
    /// If there is no such ring.
    #[inline]
    pub fn walk(&mut self, which: usize, loads: u64) {
        // All rings stand: they share no byte.
        self.ring.at = self.starts[which];
        self.ring.walk(loads);
        self.starts[which] = self.ring.at;
    }

    /// The memory under the rings.
    pub fn buffer(&self) -> &Buffer {
        &self.ring.buffer
    }

    /// The memory without the rings.
    pub fn into_buffer(self) -> Buffer {
        self.ring.buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Ring {
        Ring::with_capacity(4096, Pages::Small).unwrap()
    }

    #[test]
    fn every_order_is_one_cycle_over_all_nodes() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut ring = Ring::with_capacity(10 << 20, Pages::Small).unwrap();
        for order in [Order::Random, Order::Grouped(64 << 10), Order::Sequential] {
            for working_set in [64, 4096, 100 << 10, 1 << 20, 4 << 20, (4 << 20) + 64, 10 << 20] {
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
        let mut ring = small();
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
    fn nodes_side_by_side_are_a_ring() {
        let mut ring = small();
        ring.lay(4096, NODE, Order::Random, &mut fastrand::Rng::with_seed(2));
        assert!(ring.is_one_cycle());
        ring.link(&[4096 - NODE, 5, 13, 4096 - 2 * NODE]);
        assert!(ring.is_one_cycle());
        ring.walk(1000);
    }

    #[test]
    #[should_panic = "overlap"]
    fn nodes_that_overlap_are_not_laid() {
        small().lay(4096, NODE - 1, Order::Sequential, &mut fastrand::Rng::with_seed(2));
    }

    #[test]
    #[should_panic = "overlap"]
    fn nodes_that_overlap_are_not_linked() {
        small().link(&[64, 0, 4]);
    }

    #[test]
    fn a_ring_that_was_refused_leaves_one_that_can_be_walked() {
        let mut ring = small();
        ring.link(&[512, 64]);
        for bad in [&[64, 512, 516][..], &[64, 4095], &[]] {
            let link = std::panic::AssertUnwindSafe(|| ring.link(bad));
            assert!(std::panic::catch_unwind(link).is_err(), "{bad:?}");
            ring.walk(1000);
            assert!(ring.is_one_cycle());
        }
    }

    #[test]
    #[should_panic = "not inside the buffer"]
    fn nodes_beyond_the_buffer_are_not_linked() {
        small().link(&[usize::MAX - 3, 0]);
    }

    #[test]
    #[should_panic = "a ring has nodes"]
    fn no_nodes_are_no_ring() {
        let mut ring = small();
        // Nothing of the first node is left.
        ring.link(&[4]);
        ring.link(&[]);
    }

    #[test]
    fn rings_in_one_memory_are_walked_each_from_where_it_was_left() {
        let buffer = Buffer::new(4096, Pages::Small).unwrap();
        let many: Vec<usize> = (0..65).map(|i| 1024 + 16 * i).collect();
        let nodes: [&[usize]; 2] = [&[8, 200, 64], &many];
        let mut rings = Rings::link(buffer, &nodes);
        let base = rings.buffer().base().addr();
        for step in 1..=3 {
            for (ring, nodes) in nodes.iter().enumerate() {
                rings.walk(ring, BLOCK);
                let place = step * BLOCK as usize % nodes.len();
                assert_eq!(rings.starts[ring].addr() - base, nodes[place]);
            }
        }
    }

    #[test]
    #[should_panic = "overlap"]
    fn rings_in_one_memory_share_no_byte() {
        let buffer = Buffer::new(4096, Pages::Small).unwrap();
        Rings::link(buffer, &[&[0, 64], &[128, 68]]);
    }

    #[test]
    fn unaligned_nodes_work() {
        let mut ring = small();
        ring.link(&[61]);
        ring.walk(1000);
        assert_eq!(ring.position(), 61);
    }
}
