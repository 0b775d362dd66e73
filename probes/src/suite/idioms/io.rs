//! Writes with and without a buffer, and with a lock held or not. The files are in memory and have
//! no name: what is measured is the program's side, not a disk.

use std::fs::File;
use std::io::{BufWriter, Seek, Write};
use std::os::unix::fs::FileExt;
use std::sync::Mutex;
use std::time::Duration;

use super::{HOW, interleave, plan, ratio, times, way};
use crate::harness::bench::{Bench, params};
use crate::harness::need::Need;
use crate::kernel::begin_line;
use crate::sys::file;
use crate::threads::cpus;
use crate::threads::windows::{self, Worker};
use card::declare::{Declare, Estimator, NoiseClass, Unit};
use card::record::{PointState, Skip};

pub(super) fn declare(d: &mut Declare) {
    let write = times(d, "write");
    // What the scheduler decides has no undisturbed time to come near to.
    let io_lock = d.quantity("io_lock", Unit::Ns, Estimator::Median);
    ratio(
        d,
        WRITES,
        NoiseClass::T2,
        (&write, "unbuffered", "buffered"),
        "unbuffered ÷ buffered (8 KiB) 1-byte writes to a file in memory",
    );
    ratio(
        d,
        LOCK,
        NoiseClass::T4,
        (&io_lock, "held", "released"),
        "lock held during a file write ÷ released before, two threads",
    );
}

const WRITES: &str = "idioms.write_unbuffered_ratio";
const LOCK: &str = "idioms.lock_around_io_ratio";

pub(super) fn measure(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let made = || file::memfd(file::Content::Data);
    let files = match (made(), made(), made(), made()) {
        (Ok(a), Ok(b), Ok(c), Ok(d)) => [a, b, c, d],
        (Err(e), ..) | (_, Err(e), ..) | (_, _, Err(e), _) | (.., Err(e)) => {
            return bench.skip(
                Skip::new(
                    "files in memory",
                    format!("memfd_create: {e}"),
                    "allow it in the seccomp profile, raise the limit on open files",
                )
                .of([WRITES, LOCK]),
            );
        }
    };
    let [plain, buffered, first, second] = files;
    single_bytes(bench, plain, buffered)?;
    lock_held(bench, [first, second])
}

/// Bytes of the buffer, as the standard library's.
const BUFFER: usize = 8 << 10;

/// Of the round.
const SHARE: f64 = 0.04;

fn single_bytes(bench: &mut Bench<'_>, mut plain: File, file: File) -> anyhow::Result<()> {
    let mut buffered = BufWriter::with_capacity(BUFFER, file);
    let (mut longest, mut longest_buffered) = (0, 0);
    let (mut failed, mut failed_too) = (None, None);
    let arms = vec![
        way("write", "unbuffered", |ops| {
            failed = failed.take().or(write_bytes(&mut plain, ops).err());
            longest = longest.max(ops);
        }),
        way("write", "buffered", |ops| {
            failed_too = failed_too.take().or(write_bytes(&mut buffered, ops).err());
            longest_buffered = longest_buffered.max(ops);
        }),
    ];
    let plan = plan(bench, SHARE);
    interleave(bench, arms, plan)?;
    if let Some(e) = failed.or(failed_too) {
        return bench.skip(refused(WRITES, &e.to_string()));
    }
    let right = plain.metadata()?.len() == longest
        && buffered.get_ref().metadata()?.len() == longest_buffered;
    bench.check(right, || "files are not as long as what was written to them".into())
}

fn refused(metric: &str, reason: &str) -> Skip {
    Skip::new(
        "writing to files in memory",
        reason,
        "raise the limits on memory and file size (ulimit -f)",
    )
    .of([metric])
}

/// From the start of the file.
#[inline(never)]
fn write_bytes(to: &mut (impl Write + Seek), ops: u64) -> std::io::Result<()> {
    begin_line();
    to.rewind()?;
    for op in 0..ops {
        to.write_all(&[op as u8])?;
    }
    to.flush()
}

/// Bytes that a thread writes at a time: a page of a log.
const PAGE: usize = 4 << 10;

/// Pages of a thread's file, written round and round.
const PAGES: u64 = 64;

/// One of two threads that count together and write each to its own file.
struct Writer<'a> {
    count: &'a Mutex<u64>,
    file: &'a File,
    held: bool,
    page: [u8; PAGE],
    written: u64,
    failed: Option<std::io::Error>,
}

impl Writer<'_> {
    fn write(&mut self) {
        self.page[0] = self.written as u8;
        let at = self.written % PAGES * PAGE as u64;
        self.failed = self.failed.take().or(self.file.write_all_at(&self.page, at).err());
        self.written += 1;
    }
}

/// Writes between two looks at the clock.
const SLICE: u64 = 8;

impl Worker for Writer<'_> {
    fn setup(&mut self, window: usize) {
        self.held = window.is_multiple_of(2);
    }

    fn run_slice(&mut self) -> u64 {
        for _ in 0..SLICE {
            let mut count = self.count.lock().unwrap_or_else(|e| e.into_inner());
            *count += 1;
            if self.held {
                self.write();
                drop(count);
            } else {
                drop(count);
                self.write();
            }
        }
        SLICE
    }

    fn verify(&mut self) -> Result<(), String> {
        self.failed.take().map_or(Ok(()), |e| Err(e.to_string()))
    }
}

/// Windows of both ways in turn, and how long one lasts: long enough for some thousand writes.
const WINDOWS: usize = 10;
const WINDOW: Duration = Duration::from_millis(3);

fn lock_held(bench: &mut Bench<'_>, files: [File; 2]) -> anyhow::Result<()> {
    if let Some(unmet) = Need::Cpus(2).unmet(bench.machine) {
        return bench.skip(unmet.of([LOCK]));
    }
    let cpus = cpus::pinnable(bench);
    let Some(&other) = cpus::others(bench, &cpus).first() else {
        return bench.skip(cpus::unpinned(bench.machine, bench.cpu).of([LOCK]));
    };
    let count = Mutex::new(0);
    let make_worker = |cpu| {
        let file = &files[usize::from(cpu == other)];
        Ok(Writer { count: &count, file, held: false, page: [0; PAGE], written: 0, failed: None })
    };
    let team = (bench.cpu, &[other][..]);
    let windows = match windows::measure(team, &bench.timer, (WINDOWS, WINDOW), make_worker) {
        Ok(windows) => windows,
        Err(reason) => {
            return bench.skip(cpus::few_threads(2, reason).of([LOCK]));
        }
    };
    let shares = || windows.iter().flat_map(|window| &window.0);
    if let Some(reason) = shares().find_map(|share| share.wrong.clone()) {
        return bench.skip(refused(LOCK, &reason));
    }
    let (counted, written) = (
        count.into_inner().unwrap_or_else(|e| e.into_inner()),
        shares().map(|s| s.amount).sum::<u64>(),
    );
    bench
        .check(counted == written, || format!("{written} additions under a lock gave {counted}"))?;
    for (how, first) in [("held", 0), ("released", 1)] {
        let times: Vec<f64> =
            windows.iter().skip(first).step_by(2).map(|window| 1.0 / window.rate()).collect();
        // That a thread sleeps until it gets the lock is what is measured; one that did not get its
        // CPU cannot be told from it.
        let point =
            bench.point("io_lock", params([(HOW, how.into())]), Unit::Ns, times, PointState::Ok);
        bench.emit(point)?;
    }
    Ok(())
}
