//! What the disk below a directory answers in: random and sequential reads, and durable writes.
//!
//! Method: a file without a name in the scratch directory, filled with random bytes past the page
//! cache and synced. Then, a little of each in turn: 4 KiB reads at random places, one at a time;
//! 1 MiB reads in order; 4 KiB writes, each followed by fsync or by fdatasync. All of them bypass the
//! page cache (O_DIRECT), so that each reaches the device. Every block holds its own number.
//! Blind spots: btrfs writes nothing when a file without a name is synced, so that it has no
//! durable writes here; ZFS before 2.3 reads past no cache. A cache in the device, or the memory of
//! the host of a virtual disk, may hold the file; it is far smaller than the disk, so that a
//! rotating disk seeks over a short way only.
//! Expect: NVMe flash 60 to 100 µs for 4 KiB at random, 0.2 to 0.5 ms for 1 MiB; SATA flash 100 to
//! 200 µs and 2 ms; rotating disks 4 to 12 ms and 5 to 10 ms; network disks of clouds 0.3 to 1 ms.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use anyhow::Context;

use crate::harness::bench::{Bench, Effort, params};
use crate::harness::scratch::{self, STEP, Scratch};
use crate::probe::Probe;
use crate::sys::file::FileSystem;
use crate::sys::memory::{Buffer, Pages};
use card::declare::{Declare, Estimator, NoiseClass, ReportOnly, Unit};
use card::estimate::quantile;
use card::machine::{Device, Disk};
use card::record::{Params, Point, PointState, Skip};

/// The probe.
pub const PROBE: Probe = Probe {
    name: "storage",
    summary: "storage reads and durable writes without the page cache (O_DIRECT)",
    needs: &[],
    uses: &[],
    seconds: 1.4,
    in_kernel: true,
    declare,
    run,
};

fn declare(d: &mut Declare) {
    d.family("storage");
    d.report_only(Some(ReportOnly::Device));
    let time = |d: &mut Declare, name| d.quantity(name, Unit::Ns, Estimator::Median);
    let random = time(d, RANDOM);
    let tail = time(d, TAIL);
    let sequential = time(d, SEQUENTIAL);
    let durable = time(d, DURABLE);
    let seek = time(d, SEEK);
    let disk_sequential = time(d, DISK_SEQUENTIAL);
    d.quantity(FILE, Unit::Bytes, Estimator::Median);
    d.metric("storage.read_4k_random_ns", NoiseClass::T4, random, "4 KiB random read");
    d.metric(
        "storage.read_4k_random_p99_ns",
        NoiseClass::T4,
        tail.with("per_mille", P99),
        "4 KiB random read, p99",
    );
    d.metric("storage.read_1m_sequential_ns", NoiseClass::T4, sequential, "1 MiB sequential read");
    for call in [FSYNC, FDATASYNC] {
        d.metric(
            format!("storage.{call}_ns"),
            NoiseClass::T4,
            durable.with("call", call),
            format!("4 KiB write and {call}"),
        );
    }
    d.metric("storage.seek_ns", NoiseClass::T4, seek, "short seek and 4 KiB read, rotating disk");
    d.metric(
        "storage.disk_read_1m_sequential_ns",
        NoiseClass::T4,
        disk_sequential,
        "1 MiB sequential read, rotating disk",
    );
}

const RANDOM: &str = "read_4k_random";
const TAIL: &str = "read_4k_tail";
const SEQUENTIAL: &str = "read_1m_sequential";
const DURABLE: &str = "durable_write";
const SEEK: &str = "seek";
const DISK_SEQUENTIAL: &str = "disk_read_1m_sequential";
const FILE: &str = "file";
const P99: u64 = 990;
const FSYNC: &str = "fsync";
const FDATASYNC: &str = "fdatasync";

/// Size of the file. Five rounds write less than 1 GiB, durable writes included; a thorough run
/// writes more.
fn wanted(tier: Effort) -> u64 {
    match tier {
        Effort::Quick | Effort::Standard => 192 << 20,
        Effort::Thorough => 256 << 20,
    }
}

/// What is read and written at random.
const BLOCK: usize = 4096;

/// What is read in order.
const CHUNK: usize = STEP as usize;

/// Share of the round in which the file is filled; a slow disk gets a smaller file.
const FILLING: f64 = 0.3;

/// Good and bad moments of a disk last longer than one request: everything is measured in so many
/// turns.
const TURNS: u32 = 8;

/// Durable writes of each kind in a turn, at most: a disk that caches them would take thousands.
const MOST_DURABLE: usize = 120;

/// Order statistics that stand for all reads of a round.
const KEPT: usize = 20;

/// Reads without which there is no 99th percentile.
const FEW: usize = 200;

/// A rotating disk turns in 4 ms or more: no sequence of random reads has a median below that of a
/// quarter of a turn.
const ROTATES_NS: f64 = 1e6;

fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let dir = bench.scratch;
    let room = Scratch::make(dir).and_then(|s| Ok((s.room(dir, wanted(bench.tier))?, s)));
    let (room, scratch) = match room {
        Ok(made) => made,
        Err(unmet) => return bench.skip(unmet),
    };
    let disk = Disk::below(dir);
    let mut request = Requests::new(bench, &scratch)?;
    let times = request.fill(bench, room).and_then(|()| request.turns(bench));
    let times = match times {
        Ok(times) => times,
        Err(e) => match scratch::full(dir, &e) {
            Some(unmet) => return bench.skip(unmet),
            None => return Err(e).with_context(|| format!("using a file in {}", dir.display())),
        },
    };
    bench.check(request.wrong.is_none(), || request.wrong.unwrap_or_default())?;
    describe(bench, &disk, scratch.system(), request.blocks * BLOCK as u64)?;
    if let Some(reason) = scratch.system().no_durability() {
        bench.skip(
            Skip::new(
                "a file system that makes such a file durable",
                reason,
                "name a directory on another file system with --scratch DIR",
            )
            .of(["storage.fsync_ns", "storage.fdatasync_ns"]),
        )?;
    }
    times.emit(bench, &disk)
}

/// The file under test, and one buffer for all requests.
struct Requests<'a> {
    file: &'a File,
    /// Whether a durable write is one.
    durable: bool,
    buffer: Buffer,
    /// Filled so far.
    blocks: u64,
    /// Tells this round's file from what an earlier one left on the disk.
    mark: u64,
    wrong: Option<String>,
}

/// The times of all requests, in ns.
#[derive(Default)]
struct Times {
    random: Vec<f64>,
    sequential: Vec<f64>,
    fsync: Vec<f64>,
    fdatasync: Vec<f64>,
}

impl<'a> Requests<'a> {
    fn new(bench: &mut Bench<'_>, scratch: &'a Scratch) -> anyhow::Result<Requests<'a>> {
        let (file, durable) = (scratch.file(), scratch.system().no_durability().is_none());
        let buffer = Buffer::new(CHUNK, Pages::Small)?;
        Ok(Requests { file, durable, buffer, blocks: 0, mark: bench.rng.u64(..), wrong: None })
    }

    /// Writes the file in order, until it has its size or the time for that is up.
    fn fill(&mut self, bench: &mut Bench<'_>, bytes: u64) -> io::Result<()> {
        let until = bench.meter.elapsed() + bench.share(FILLING);
        while self.blocks * (BLOCK as u64) < bytes {
            // Random bytes, each time others: they cannot be compressed, nor found to be there.
            bench.rng.fill(self.buffer.bytes_mut());
            for (i, block) in (self.blocks..).zip(self.buffer.bytes_mut().chunks_exact_mut(BLOCK)) {
                stamp(block, self.mark ^ i);
            }
            self.file.write_all_at(self.buffer.bytes(), self.blocks * BLOCK as u64)?;
            self.blocks += (CHUNK / BLOCK) as u64;
            if bench.meter.elapsed() > until {
                break;
            }
        }
        self.file.sync_all()
    }

    fn turns(&mut self, bench: &mut Bench<'_>) -> io::Result<Times> {
        let mut times = Times::default();
        let shares = [0.5, 0.25, 0.125, 0.125];
        let turn = bench.left().mul_f64(0.95) / TURNS;
        let mut next = 0;
        for i in 0..TURNS {
            // A slow disk has had all of its time for one request of each kind.
            if i > 0 && bench.left().is_zero() {
                break;
            }
            let [random, sequential, fsync, fdatasync] = shares.map(|s| turn.mul_f64(s));
            repeat(bench, (random, ANY), &mut times.random, |bench| {
                let block = bench.rng.u64(..self.blocks);
                self.read(bench, block, BLOCK)
            })?;
            repeat(bench, (sequential, ANY), &mut times.sequential, |bench| {
                let chunk = next % (self.blocks * BLOCK as u64 / STEP);
                next += 1;
                self.read(bench, chunk * STEP / BLOCK as u64, CHUNK)
            })?;
            if !self.durable {
                continue;
            }
            repeat(bench, (fsync, MOST_DURABLE), &mut times.fsync, |bench| {
                self.write(bench, File::sync_all)
            })?;
            repeat(bench, (fdatasync, MOST_DURABLE), &mut times.fdatasync, |bench| {
                self.write(bench, File::sync_data)
            })?;
        }
        Ok(times)
    }

    fn read(&mut self, bench: &Bench<'_>, block: u64, len: usize) -> io::Result<f64> {
        let bytes = &mut self.buffer.bytes_mut()[..len];
        let start = bench.timer.stamp();
        self.file.read_exact_at(bytes, block * BLOCK as u64)?;
        let ns = bench.timer.ns_between(start, bench.timer.stamp());
        for (i, read) in (block..).zip(bytes.chunks_exact(BLOCK)) {
            if !is_stamped(read, self.mark ^ i) {
                self.wrong = Some(format!("block {i} was read with the content of another one"));
            }
        }
        Ok(ns)
    }

    fn write(
        &mut self,
        bench: &mut Bench<'_>,
        sync: fn(&File) -> io::Result<()>,
    ) -> io::Result<f64> {
        let block = bench.rng.u64(..self.blocks);
        let bytes = &mut self.buffer.bytes_mut()[..BLOCK];
        bench.rng.fill(bytes);
        stamp(bytes, self.mark ^ block);
        let start = bench.timer.stamp();
        self.file.write_all_at(bytes, block * BLOCK as u64)?;
        sync(self.file)?;
        Ok(bench.timer.ns_between(start, bench.timer.stamp()))
    }
}

/// As often as there is time for.
const ANY: usize = usize::MAX;

/// Repeats a request for a while and so often at most, once at least.
fn repeat(
    bench: &mut Bench<'_>,
    (time, most): (Duration, usize),
    times: &mut Vec<f64>,
    mut request: impl FnMut(&mut Bench<'_>) -> io::Result<f64>,
) -> io::Result<()> {
    let until = bench.meter.elapsed() + time;
    for _ in 0..most {
        times.push(request(bench)?);
        if bench.meter.elapsed() >= until {
            break;
        }
    }
    Ok(())
}

/// Writes a number into both ends of a block.
fn stamp(block: &mut [u8], number: u64) {
    let bytes = number.to_ne_bytes();
    let end = block.len() - bytes.len();
    block[..bytes.len()].copy_from_slice(&bytes);
    block[end..].copy_from_slice(&bytes);
}

fn is_stamped(block: &[u8], number: u64) -> bool {
    let bytes = number.to_ne_bytes();
    block.starts_with(&bytes) && block.ends_with(&bytes)
}

/// What was measured on: the reader must know which disk, and what stands before it.
fn describe(
    bench: &mut Bench<'_>,
    disk: &Disk,
    system: &FileSystem,
    bytes: u64,
) -> anyhow::Result<()> {
    let device = disk.device.known();
    let known = |text: Option<&String>| text.map_or("unknown", String::as_str).into();
    let labels = params([
        ("file_system", known(disk.file_system.known())),
        ("disk", known(device.map(|d| &d.name))),
        ("claim", claim(device).into()),
        ("stand_in", device.and_then(|d| d.stand_in.as_deref()).unwrap_or("none").into()),
    ]);
    let cached = match (system.may_cache(), device.and_then(|d| d.stand_in.as_ref())) {
        (Some(who), _) => who,
        (None, Some(_)) => "the virtual disk's backend may cache the file",
        (None, None) => "a cache in the disk may hold a part of the file",
    };
    let note = Some(format!("{}; {cached}", disk.title()));
    let point = bench.point(FILE, labels, Unit::Bytes, vec![bytes as f64], PointState::Ok);
    bench.emit(Point { note, ..point })
}

/// What sysfs says of the disk's kind.
fn claim(device: Option<&Device>) -> &'static str {
    match device.and_then(|d| d.rotating) {
        Some(true) => "rotating",
        Some(false) => "solid_state",
        None => "unknown",
    }
}

impl Times {
    fn emit(&self, bench: &mut Bench<'_>, disk: &Disk) -> anyhow::Result<()> {
        let random = condensed(&self.random);
        emit(bench, RANDOM, params([]), &random, self.random.len())?;
        self.tail(bench)?;
        let sequential = condensed(&self.sequential);
        emit(bench, SEQUENTIAL, params([]), &sequential, self.sequential.len())?;
        let durable = [(FSYNC, &self.fsync), (FDATASYNC, &self.fdatasync)];
        for (call, times) in durable.into_iter().filter(|(_, times)| !times.is_empty()) {
            let labels = params([("call", call.into())]);
            emit(bench, DURABLE, labels, &condensed(times), times.len())?;
        }
        let slow = quantile(&self.random, 0.5).is_some_and(|ns| ns >= ROTATES_NS);
        match not_rotating(disk.device.known(), slow) {
            None => {
                emit(bench, SEEK, params([]), &random, self.random.len())?;
                emit(bench, DISK_SEQUENTIAL, params([]), &sequential, self.sequential.len())
            }
            Some(reason) => bench.skip(
                Skip::new(
                    "a rotating disk",
                    reason,
                    "name a directory on a hard disk with --scratch DIR",
                )
                .of(["storage.seek_*", "storage.disk_*"]),
            ),
        }
    }

    /// The slowest reads, by how many of a thousand are faster.
    fn tail(&self, bench: &mut Bench<'_>) -> anyhow::Result<()> {
        if self.random.len() < FEW {
            return bench.skip(
                Skip::new(
                    format!("{FEW} reads a round"),
                    "the disk is too slow for that",
                    "give it more time: --tier thorough, or --budget",
                )
                .of(["storage.read_4k_random_p99_ns"]),
            );
        }
        for (per_mille, of) in [(900, FEW), (P99, FEW), (999, 10 * FEW), (1000, FEW)] {
            let value = quantile(&self.random, per_mille as f64 / 1000.0);
            if let Some(ns) = value.filter(|_| self.random.len() >= of) {
                let labels = params([("per_mille", per_mille.into())]);
                bench.record(TAIL, labels, Unit::Ns, vec![ns])?;
            }
        }
        Ok(())
    }
}

/// Why the rows of rotating disks stay empty: what the disk claims is only half of it.
fn not_rotating(device: Option<&Device>, slow: bool) -> Option<String> {
    let name = device.map_or("the disk", |d| d.name.as_str());
    let why = match (device.and_then(|d| d.rotating), slow) {
        (Some(true), true) => return None,
        (Some(true), false) => "reports rotational=1, but random reads take less than 1 ms",
        (Some(false), _) => "reports rotational=0",
        (None, _) => "reports no rotational flag",
    };
    Some(format!("no rotating disk here: {name} {why}"))
}

/// Order statistics at even distances: a small card, the same median.
fn condensed(times: &[f64]) -> Vec<f64> {
    if times.len() <= KEPT {
        return times.to_vec();
    }
    let at = |i: usize| quantile(times, (i as f64 + 0.5) / KEPT as f64);
    (0..KEPT).filter_map(at).collect()
}

/// Records what so many requests have been condensed to.
fn emit(
    bench: &mut Bench<'_>,
    quantity: &str,
    labels: Params,
    samples: &[f64],
    requests: usize,
) -> anyhow::Result<()> {
    let ops = (requests / samples.len().max(1)) as u64;
    let point = bench.point(quantity, labels, Unit::Ns, samples.to_vec(), PointState::Ok);
    bench.emit(Point { ops, ..point })
}

#[cfg(test)]
mod tests {
    use super::*;
    use card::estimate::median;

    #[test]
    fn twenty_numbers_have_the_median_of_all() {
        let times: Vec<f64> = (0..5000).map(|i| f64::from(i * 7919 % 5000)).collect();
        let few = condensed(&times);
        assert_eq!(few.len(), KEPT);
        assert!((median(&few).unwrap() - 2500.0).abs() < 5.0);
        assert!(few.is_sorted());
        assert_eq!(condensed(&[3.0, 1.0]), [3.0, 1.0]);
    }

    #[test]
    fn a_block_knows_its_number() {
        let mut block = vec![0; BLOCK];
        stamp(&mut block, 77);
        assert!(is_stamped(&block, 77) && !is_stamped(&block, 78));
        block[BLOCK - 1] ^= 1;
        assert!(!is_stamped(&block, 77));
    }

    #[test]
    fn only_a_disk_that_claims_and_shows_it_rotates() {
        let device = |rotating| Device { name: "sda".into(), rotating, ..Device::default() };
        assert_eq!(not_rotating(Some(&device(Some(true))), true), None);
        let says = |rotating, slow| not_rotating(Some(&device(rotating)), slow).unwrap();
        assert!(says(Some(true), false).contains("sda reports rotational=1, but"));
        assert!(says(Some(false), true).contains("reports rotational=0"));
        assert!(says(None, true).contains("reports no rotational flag"));
        assert!(not_rotating(None, true).unwrap().starts_with("no rotating disk here: the disk"));
    }

    #[test]
    fn a_run_writes_no_more_than_a_gibibyte_by_default() {
        let durable = u64::from(TURNS) * 2 * (MOST_DURABLE * BLOCK) as u64;
        let round = |tier| wanted(tier) + durable;
        assert!(5 * round(Effort::Standard) <= 1 << 30);
        assert!(3 * round(Effort::Quick) <= 1 << 30);
        assert!(wanted(Effort::Thorough) <= 256 << 20 && durable <= 8 << 20);
    }
}
