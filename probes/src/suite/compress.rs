//! What fast compression costs: Snappy, once called Zippy, of which Jeff Dean's list speaks.
//!
//! Method: blocks of 1 KB and 64 KB, each the next one of 256 KB of records in JSON, of text or of
//! random bytes, are compressed and decompressed with the `snap` crate. The data are made by the
//! probe, the same in every run. What comes back must be what went in.
//! Blind spots: with one and the same block again and again, the branch predictor would know it by
//! heart and the time would be too short; 256 blocks are too many for that. Compression depends on
//! the data; the ratio says how these compress.
//! Expect: 1 to 4 µs for 1 KB of text or JSON; decompression three to five times as fast; random
//! bytes are given up on, and cost a copy.

use std::cell::{Cell, RefCell};

use crate::harness::bench::{Arm, Bench, params};
use crate::harness::sampling::SamplingPlan;
use crate::probe::Probe;
use card::declare::{Declare, Estimator, NoiseClass, Points, Unit};

mod data;

use data::Data;

/// The probe.
pub const PROBE: Probe = Probe {
    name: "compress",
    summary: "Snappy on JSON, text and random bytes, 1 KB and 64 KB, both ways",
    needs: &[],
    uses: &[],
    seconds: 0.2,
    in_kernel: false,
    declare,
    run,
};

fn declare(d: &mut Declare) {
    d.family("compress");
    let compress = d.quantity("compress", Unit::Ns, Estimator::LowerQuartile);
    let decompress = d.quantity("decompress", Unit::Ns, Estimator::LowerQuartile);
    // A round has one.
    let ratio = d.quantity("ratio", Unit::Ratio, Estimator::LowerQuartile);
    for (size, short, long) in [(SMALL, "1k", "1 KB"), (LARGE, "64k", "64 KB")] {
        for data in Data::ALL {
            let (kind, title, in_vain, copy) = match data {
                Data::Json => ("", "JSON", "", ""),
                Data::Text => ("text_", "text", "", ""),
                Data::Random => ("random_", "random bytes", " (incompressible)", " (a copy)"),
            };
            let of = |points: &Points| points.with("data", data.name()).with("size", size);
            let stem = format!("compress.snappy_{kind}{short}");
            d.cost(
                &stem,
                NoiseClass::T2,
                of(&compress),
                format!("compress {long} of {title}{in_vain}"),
            );
            d.cost(
                &format!("{stem}_decompress"),
                NoiseClass::T2,
                of(&decompress),
                format!("decompress {long} of {title}{copy}"),
            );
            if data != Data::Random {
                d.metric(
                    format!("{stem}_ratio"),
                    NoiseClass::T2,
                    of(&ratio),
                    format!("compression ratio of {long} of {title}"),
                );
            }
        }
    }
}

/// Bytes of each kind of data: 256 blocks of 1 KB, within any L2.
const TOTAL: usize = 256 << 10;

/// Sizes of a block.
const SMALL: usize = 1 << 10;
const LARGE: usize = 64 << 10;

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    blocks(bench, Data::Json, SMALL)?;
    // Two rounds of three are enough for what is not on Jeff Dean's list.
    if bench.round % 3 == 1 {
        return Ok(());
    }
    blocks(bench, Data::Text, SMALL)?;
    blocks(bench, Data::Random, SMALL)?;
    for data in Data::ALL {
        blocks(bench, data, LARGE)?;
    }
    Ok(())
}

/// Settings share a round in which each takes its turn.
const SHARE: f64 = 0.16;

/// Blocks before and after compression, used one after the other.
struct Blocks {
    plain: Vec<u8>,
    size: usize,
    compressed: Vec<Vec<u8>>,
}

impl Blocks {
    fn new(data: Data, size: usize) -> Result<Blocks, snap::Error> {
        let plain = data.bytes(TOTAL);
        let mut encoder = snap::raw::Encoder::new();
        let compressed: Result<_, _> =
            plain.chunks_exact(size).map(|block| encoder.compress_vec(block)).collect();
        Ok(Blocks { compressed: compressed?, plain, size })
    }

    fn count(&self) -> usize {
        self.compressed.len()
    }

    fn plain(&self, number: usize) -> &[u8] {
        &self.plain[number * self.size..][..self.size]
    }

    /// How many times smaller all of them are.
    fn ratio(&self) -> f64 {
        let compressed: usize = self.compressed.iter().map(Vec::len).sum();
        (self.count() * self.size) as f64 / compressed as f64
    }

    /// Whether each block comes back.
    fn come_back(&self) -> bool {
        let mut decoder = snap::raw::Decoder::new();
        let back = |(i, block): (usize, &Vec<u8>)| {
            decoder.decompress_vec(block).is_ok_and(|bytes| bytes == self.plain(i))
        };
        self.compressed.iter().enumerate().all(back)
    }
}

/// Goes through the blocks, a whole one an operation; sums up the sizes of what comes out.
struct Turn {
    next: Cell<usize>,
    wrong: Cell<bool>,
}

impl Turn {
    /// `work` says how many bytes it made of the block of that number, `expected` how many it should.
    fn round(
        &self,
        blocks: &Blocks,
        ops: u64,
        mut work: impl FnMut(usize) -> Option<usize>,
        expected: impl Fn(usize) -> usize,
    ) {
        for _ in 0..ops {
            let number = self.next.get();
            self.wrong.set(self.wrong.get() | (work(number) != Some(expected(number))));
            self.next.set((number + 1) % blocks.count());
        }
    }
}

fn blocks(bench: &mut Bench<'_>, data: Data, size: usize) -> anyhow::Result<()> {
    let blocks = Blocks::new(data, size)?;
    let labels = || params([("data", data.name().into()), ("size", (size as u64).into())]);
    let turns = [(); 2].map(|()| Turn { next: Cell::new(0), wrong: Cell::new(false) });
    let mut encoder = snap::raw::Encoder::new();
    let mut decoder = snap::raw::Decoder::new();
    let compressed = RefCell::new(vec![0; snap::raw::max_compress_len(size)]);
    let plain = RefCell::new(vec![0; size]);
    let [compressing, decompressing] = &turns;
    let arms = vec![
        Arm::new("compress", labels(), |ops| {
            let mut to = compressed.borrow_mut();
            let work = |number| encoder.compress(blocks.plain(number), &mut to).ok();
            compressing.round(&blocks, ops, work, |number| blocks.compressed[number].len());
        }),
        Arm::new("decompress", labels(), |ops| {
            let mut to = plain.borrow_mut();
            let work = |number: usize| decoder.decompress(&blocks.compressed[number], &mut to).ok();
            decompressing.round(&blocks, ops, work, |_| size);
        }),
    ];
    // Beside a busy hyperthread all of it takes longer, and the rounds differ; a fifth of a second is
    // too short to wait for it to rest.
    let structural = SamplingPlan::structural(bench.share(SHARE));
    let policy =
        SamplingPlan { min_samples: 3, max_samples: 5, need_idle_sibling: false, ..structural };
    bench.interleave(arms, &policy)?;
    // The last of both are still there, from the timed calls themselves.
    let last = |turn: &Turn| (turn.next.get() + blocks.count() - 1) % blocks.count();
    let (into, back) = (last(compressing), last(decompressing));
    let right = turns.iter().all(|turn| !turn.wrong.get())
        && compressed.borrow().starts_with(&blocks.compressed[into])
        && plain.borrow()[..] == *blocks.plain(back)
        && blocks.come_back();
    bench.check(right, || "what was compressed did not come back".into())?;
    if data != Data::Random && bench.round % 3 != 1 {
        bench.record("ratio", labels(), Unit::Ratio, vec![blocks.ratio()])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_comes_back_and_is_smaller_where_it_can_be() {
        for size in [SMALL, LARGE] {
            for data in Data::ALL {
                let blocks = Blocks::new(data, size).unwrap();
                assert_eq!(blocks.count() * size, TOTAL);
                assert!(blocks.come_back());
                let ratio = blocks.ratio();
                // What Snappy says of itself: 1.5 to 1.7 for text, 2 to 4 for markup, whole files.
                let (low, high) = match (data, size) {
                    (Data::Random, _) => (0.98, 1.0),
                    (Data::Text, SMALL) => (1.05, 1.5),
                    (Data::Text, _) => (1.4, 1.9),
                    (Data::Json, SMALL) => (1.5, 3.0),
                    (Data::Json, _) => (2.0, 5.0),
                };
                assert!((low..=high).contains(&ratio), "{data:?} {size}: {ratio}");
            }
        }
    }

    #[test]
    fn a_block_that_is_not_what_it_was_is_seen() {
        let mut blocks = Blocks::new(Data::Json, SMALL).unwrap();
        blocks.plain[7 * SMALL] ^= 1;
        assert!(!blocks.come_back());
    }
}
