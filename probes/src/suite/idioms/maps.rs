//! Hash maps with integer and text keys, small and large. Each value found holds the next key, so
//! that one lookup waits for the one before, as in programs that do something with what they find.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::hint::black_box;

use super::{HOW, Plan, beyond, fits, interleave, memory_plan, plan, times, way};
use crate::harness::bench::Bench;
use crate::kernel::begin_line;
use card::declare::{Declare, NoiseClass};
use card::record::Skip;

pub(super) fn declare(d: &mut Declare) {
    let lookup = times(d, "map");
    let [int, int_dram] = u64::NAMES.map(|how| lookup.with(HOW, how));
    let [text, text_dram] = <Box<[u8]>>::NAMES.map(|how| lookup.with(HOW, how));
    d.cost(
        "idioms.map_int_key",
        NoiseClass::T2,
        int,
        "hash map lookup, integer keys, in cache, dependent",
    );
    d.cost(
        "idioms.map_string_key",
        NoiseClass::T2,
        text,
        "hash map lookup, 20-byte keys, in cache, dependent",
    );
    d.metric(
        "idioms.map_int_key_dram_ns",
        NoiseClass::T3,
        int_dram,
        "hash map lookup, integer keys, in DRAM: two dependent misses",
    );
    d.metric(
        "idioms.map_string_key_dram_ns",
        NoiseClass::T3,
        text_dram,
        "hash map lookup, 20-byte keys, in DRAM: three dependent misses",
    );
}

/// Bytes of an entry, key and value.
const ENTRY: usize = 128;

/// Bytes of a text key.
const TEXT: usize = 20;

/// Entries of the small map: 16 KiB, in L1.
const FEW: usize = 112;

/// A key that can be made from a number and stored in a value.
trait Key: Hash + Eq + Borrow<Self::Asked> {
    /// As which it is looked up.
    type Asked: Hash + Eq + ?Sized;
    /// What a value holds of the next key.
    type Next: Copy;
    /// The rest of an entry.
    type Rest;
    /// Its name among the ways.
    const NAMES: [&'static str; 2];
    fn next(number: u64) -> Self::Next;
    fn new(number: u64) -> Self;
    fn asked(next: &Self::Next) -> &Self::Asked;
    fn rest() -> Self::Rest;
}

/// Bijective and well mixed (the finalizer of SplitMix64): keys without pattern that differ.
fn mixed(number: u64) -> u64 {
    let x = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl Key for u64 {
    type Asked = u64;
    type Next = u64;
    type Rest = [u64; ENTRY / 8 - 2];
    const NAMES: [&'static str; 2] = ["int", "int_dram"];
    fn next(number: u64) -> u64 {
        mixed(number)
    }
    fn new(number: u64) -> u64 {
        mixed(number)
    }
    fn asked(next: &u64) -> &u64 {
        next
    }
    fn rest() -> Self::Rest {
        [0; _]
    }
}

impl Key for Box<[u8]> {
    type Asked = [u8];
    type Next = [u8; TEXT];
    type Rest = [u8; ENTRY - 16 - TEXT];
    const NAMES: [&'static str; 2] = ["text", "text_dram"];
    fn next(number: u64) -> [u8; TEXT] {
        let mut key = *b"user:000000000000000";
        for (at, digit) in key[5..].iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(mixed(number) >> (4 * at)) as usize & 15];
        }
        key
    }
    fn new(number: u64) -> Self {
        Self::next(number).into()
    }
    fn asked(next: &[u8; TEXT]) -> &[u8] {
        next
    }
    fn rest() -> Self::Rest {
        [0; _]
    }
}

struct Value<K: Key> {
    next: K::Next,
    /// What else programs keep there.
    _rest: K::Rest,
}

/// A map whose values lead from key to key in a ring.
struct Ring<K: Key> {
    map: HashMap<K, Value<K>>,
    /// Numbers of the keys in the order of the ring.
    order: Vec<u32>,
    /// Lookups so far.
    done: u64,
    at: K::Next,
}

impl<K: Key> Ring<K> {
    fn new(entries: usize, rng: &mut fastrand::Rng) -> Ring<K> {
        let mut order: Vec<u32> = (0..entries as u32).collect();
        rng.shuffle(&mut order);
        let mut next = vec![0; entries];
        for (i, &number) in order.iter().enumerate() {
            next[number as usize] = order[(i + 1) % entries];
        }
        let mut map = HashMap::with_capacity(entries);
        for (number, &next) in next.iter().enumerate() {
            let value = Value { next: K::next(u64::from(next)), _rest: K::rest() };
            map.insert(K::new(number as u64), black_box(value));
        }
        let at = K::next(u64::from(order[0]));
        Ring { map, order, done: 0, at }
    }

    /// Follows the ring; a key that is not there leads nowhere.
    #[inline(never)]
    fn walk(&mut self, ops: u64) {
        begin_line();
        for _ in 0..ops {
            if let Some(value) = self.map.get(K::asked(&self.at)) {
                self.at = value.next;
            }
        }
        self.done += ops;
    }

    /// Whether the chain is where so many steps lead.
    fn is_right(&self) -> bool {
        let number = self.order[(self.done % self.order.len() as u64) as usize];
        self.map.len() == self.order.len()
            && K::asked(&self.at) == K::asked(&K::next(u64::from(number)))
    }
}

/// Entries of a map of so many slots: it would double when it is fuller.
fn entries(slots: usize) -> usize {
    slots / 8 * 7
}

/// Of the round, without filling the maps.
const SHARE: f64 = 0.06;

pub(super) fn measure(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let slots = slots(bench);
    let large = slots.as_ref().ok().copied();
    pair::<u64>(bench, large)?;
    pair::<Box<[u8]>>(bench, large)?;
    slots.map_or_else(|unmet| bench.skip(unmet), |_| Ok(()))
}

/// Slots of a map beyond the caches, if there is room and time for one.
fn slots(bench: &Bench<'_>) -> Result<usize, Skip> {
    let slots = beyond(bench.machine).div_ceil(ENTRY as u64).next_power_of_two();
    let bytes = slots * ENTRY as u64;
    // The keys' text, and lists of numbers while the map is filled.
    fits(bench.machine, bench.tier, bytes, bytes + slots * 48)
        .map_err(|skip| skip.of(["idioms.map_*_dram_ns"]))?;
    Ok(slots as usize)
}

fn pair<K: Key>(bench: &mut Bench<'_>, slots: Option<usize>) -> anyhow::Result<()> {
    let [small, large] = K::NAMES;
    let quiet = plan(bench, SHARE);
    measure_map::<K>(bench, small, FEW, quiet)?;
    let plan = memory_plan(bench, SHARE);
    match slots {
        Some(slots) => measure_map::<K>(bench, large, entries(slots), plan),
        None => Ok(()),
    }
}

fn measure_map<K: Key>(
    bench: &mut Bench<'_>,
    how: &str,
    entries: usize,
    plan: Plan,
) -> anyhow::Result<()> {
    let mut ring = Ring::<K>::new(entries, &mut bench.rng);
    let arms = vec![way("map", how, |ops| ring.walk(ops))];
    interleave(bench, arms, plan)?;
    bench.check(ring.is_right(), || "a hash map lost its way through its keys".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goes_round<K: Key>() {
        let mut ring = Ring::<K>::new(100, &mut fastrand::Rng::with_seed(4));
        assert_eq!(size_of::<(K, Value<K>)>(), ENTRY);
        for ops in [0, 1, 98, 1, 250] {
            ring.walk(ops);
            assert!(ring.is_right());
        }
        let (key, _) = ring.map.iter().next().unwrap();
        let lost = ring.map.len() - 1;
        let number = (0..100).find(|n| K::new(*n).borrow() == key.borrow()).unwrap();
        ring.map.remove(K::new(number).borrow());
        assert_eq!(ring.map.len(), lost);
        ring.walk(100);
        assert!(!ring.is_right(), "the chain ends at the missing key");
    }

    #[test]
    fn the_chain_visits_every_key() {
        goes_round::<u64>();
        goes_round::<Box<[u8]>>();
    }

    #[test]
    fn keys_differ() {
        let numbers: std::collections::HashSet<u64> = (0..1000).map(mixed).collect();
        assert_eq!(numbers.len(), 1000);
        assert_ne!(<Box<[u8]>>::next(1), <Box<[u8]>>::next(2));
        assert_eq!(<Box<[u8]>>::new(7).len(), TEXT);
    }
}
