//! Page faults, each counted by the kernel.

use card::record::Skip;
use std::fs::File;
use std::io;

use super::row::{Expect, Step, sample, sample_verified};
use super::{metric, refused};
use crate::harness::bench::{Bench, params};
use crate::sys::map::Mapping;
use crate::sys::memory::{Buffer, MOST_ADDED, Pages};
use crate::sys::thread::usage;
use card::declare::Unit;
use card::estimate::median;
use card::machine::human_bytes;

/// Touched in one sample of small pages that are given back and handed out again.
const PART: usize = 256 << 10;

/// What parts are taken from in turns where caches shall not hold the pages that the kernel clears. To
/// fetch them takes half as long again (Zen 3, by a loop in C: 2.2 µs a page where up to 1 MiB is given
/// back at a time, 3.5 µs from 16 MiB on); in between, the two were met by turns.
const UNCACHED: usize = 16 << 20;

/// Touched in one sample of other small pages.
const CHUNK: usize = 2 << 20;

/// Touched in one sample of huge pages, unless one of them is larger.
const HUGE_CHUNK: usize = 8 << 20;

/// The quantity of a first touch of such a page.
pub(super) fn of_pages(pages: Pages) -> String {
    format!("page_fault_{}", pages.name())
}

/// The same of a small page that is in no cache.
pub(super) fn of_uncached() -> String {
    format!("{}_uncached", of_pages(Pages::Small))
}

pub(super) fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    small(bench, &of_pages(Pages::Small), PART)?;
    small(bench, &of_uncached(), UNCACHED)?;
    huge(bench)?;
    of_a_file(bench)?;
    come_and_go(bench)
}

fn small(bench: &mut Bench<'_>, quantity: &str, len: usize) -> anyhow::Result<()> {
    let mut buffer = match Buffer::untouched(len, Pages::Small) {
        Ok(buffer) => buffer,
        Err(e) => {
            let what = format!("{} of memory", human_bytes(len as u64));
            return bench.skip(refused([quantity], &what, &e));
        }
    };
    buffer.touch_part(0..len);
    let mut part = 0..PART;
    let act = |timed: bool| {
        if !timed {
            part.start = part.end % len;
            part.end = part.start + PART;
            return buffer.give_back_part(part.clone());
        }
        touch(&mut buffer.bytes_mut()[part.clone()], Pages::Small.bytes());
        Ok(())
    };
    if let Err(e) = sample(bench, quantity, Expect::Fault, None, act)? {
        bench.skip(refused([quantity], "giving memory back by madvise", &e))?;
    }
    Ok(())
}

/// Gives the pages back first, and then touches them again.
fn touch_again(buffer: &mut Buffer, page: usize, timed: bool) -> io::Result<()> {
    if !timed {
        return buffer.give_back();
    }
    touch(buffer.bytes_mut(), page);
    Ok(())
}

/// Writes to a byte of each page.
fn touch(memory: &mut [u8], page: usize) {
    for byte in memory.iter_mut().step_by(page) {
        *byte = 1;
        std::hint::black_box(byte);
    }
}

fn huge(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let (quantity, page) = (&*of_pages(Pages::Huge), Pages::Huge.bytes());
    let small = human_bytes(Pages::Small.bytes() as u64);
    let unmet =
        |reason: &str, remedy: &str| Skip::new("huge pages", reason, remedy).of([metric(quantity)]);
    if page > MOST_ADDED {
        let size = human_bytes(page as u64);
        let reason =
            format!("they are of {size} here: touching them takes too long to be repeated");
        return bench.skip(unmet(&reason, "a kernel whose small pages are of 4 or 16 KiB"));
    }
    let len = page.max(HUGE_CHUNK);
    let enough = 4 * len as u64;
    if bench.machine.buffer_limit() < enough {
        let error = io::Error::from_raw_os_error(libc::ENOMEM);
        let what = format!("{} of memory", human_bytes(enough));
        return bench.skip(refused([quantity], &what, &error));
    }
    let mut buffer = match Buffer::untouched(len, Pages::Huge) {
        Ok(buffer) => buffer,
        Err(e) => {
            let what = format!("{} of memory", human_bytes(len as u64));
            return bench.skip(refused([quantity], &what, &e));
        }
    };
    touch(buffer.bytes_mut(), page);
    if !is_huge(&buffer) {
        let remedy = "set /sys/kernel/mm/transparent_hugepage/enabled to madvise";
        return bench.skip(unmet(&format!("the kernel gave pages of {small}"), remedy));
    }
    // Pages that were huge once may be small the next time: where memory is in pieces, or short.
    let step = |step| match step {
        Step::Verify => Ok(is_huge(&buffer)),
        _ => touch_again(&mut buffer, page, step == Step::Act).map(|()| true),
    };
    match sample_verified(bench, quantity, Expect::Fault, None, step)? {
        Ok(()) => Ok(()),
        // Not refused: none of the samples was of huge pages.
        Err(e) if e.raw_os_error().is_none() => bench.skip(unmet(
            &format!("{e}: pages of {small}, after huge ones at first"),
            "free memory, and join its pieces (/proc/sys/vm/compact_memory)",
        )),
        Err(e) => bench.skip(refused([quantity], "giving memory back by madvise", &e)),
    }
}

/// Whether all of it is in huge pages, as far as the kernel tells.
fn is_huge(buffer: &Buffer) -> bool {
    buffer.huge_bytes().map_or(true, |bytes| bytes >= buffer.len() as u64)
}

/// Pages of this program itself: a file that is there wherever the program runs.
fn of_a_file(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let both = ["page_fault_file", "page_fault_cow"];
    let map = File::open("/proc/self/exe").and_then(|program| {
        let len = program.metadata()?.len() as usize;
        let page = Pages::Small.bytes();
        Mapping::of_file(&program, len.min(CHUNK) / page * page)
    });
    let mut map = match map {
        Ok(map) => map,
        Err(e) => return bench.skip(refused(both, "mapping /proc/self/exe", &e)),
    };
    // What is not in memory yet comes from a disk, which is another matter.
    map.read_each_page();
    let bundled = map.give_back().map(|()| {
        let before = usage().faults;
        map.read_each_page();
        map.pages() as u64 / (usage().faults - before).max(1)
    });
    let note = bundled.map(|pages| format!("each such fault maps {pages} pages"));
    let act = |timed: bool| {
        if timed {
            map.read_each_page();
            return Ok(());
        }
        map.give_back()
    };
    if let Err(e) = sample(bench, "page_fault_file", Expect::Fault, note.ok(), act)? {
        return bench.skip(refused(both, "giving memory back by madvise", &e));
    }
    let act = |timed: bool| {
        if timed {
            map.write_each_page();
            return Ok(());
        }
        map.give_back().map(|()| map.read_each_page())
    };
    if let Err(e) = sample(bench, "page_fault_cow", Expect::Fault, None, act)? {
        bench.skip(refused(both, "giving memory back by madvise", &e))?;
    }
    Ok(())
}

/// A page that is mapped, touched and given back with its address space.
fn come_and_go(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let act = |timed: bool| {
        let page = Pages::Small.bytes();
        for _ in 0..if timed { PART / page } else { 1 } {
            Mapping::anonymous(page)?.write_each_page();
        }
        Ok(())
    };
    if let Err(e) = sample(bench, "mmap_touch", Expect::Fault, None, act)? {
        bench.skip(refused(["mmap_touch"], "mmap", &e))?;
    }
    Ok(())
}

/// Memory that is looked through for some that the host must find first. Each round goes so much
/// further than the one before it, whose memory comes back first.
const FRESH: u64 = 64 << 20;

/// A chunk that took so many times as long as one in use before was cold, ...
const COLD: f64 = 2.0;

/// ... if there are so many of them: single ones are those that something came between.
const LEAST_COLD: usize = 8;

/// Samples that are kept.
const KEPT: usize = 9;

/// Share of the round's time after which no more memory is looked through.
const COLD_SHARE: f64 = 0.1;

const COLD_METRICS: &[&str] = &["os.page_fault_cold_ns"];

pub(super) fn cold(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    // What one round has not found, the next ones do not find either.
    if bench.gave_up(COLD_METRICS) {
        return Ok(());
    }
    let unmet = |reason: String, remedy: &str| {
        Skip::new("memory that this guest has not used before", reason, remedy).of(COLD_METRICS)
    };
    if bench.machine.host.guest_of().is_none() {
        let reason = "no hypervisor is known here: memory needs to be found only once";
        return bench.skip(unmet(reason.into(), "nothing: there is no such fault here"));
    }
    let most = FRESH * (u64::from(bench.round) + 1);
    let len = most.min(bench.machine.buffer_limit() / 4) as usize / CHUNK * CHUNK;
    let fresh = Buffer::untouched(len.max(CHUNK), Pages::Small);
    let Ok(mut fresh) = fresh else {
        let reason = format!("{} cannot be mapped", human_bytes(len as u64));
        return bench.skip(unmet(reason, "raise the limits on memory"));
    };
    let (first, touched) = chunks(bench, fresh.bytes_mut());
    if let Err(e) = fresh.give_back() {
        return bench.skip(refused(["page_fault_cold"], "giving memory back by madvise", &e));
    }
    let (again, _) = chunks(bench, &mut fresh.bytes_mut()[..touched / 4]);
    let warm = median(&again).unwrap_or(f64::INFINITY);
    let Some(kept) = cold_of(first, warm) else {
        let reason = format!(
            "of {} that were touched, less than {} took longer than what had been used before \
             ({warm:.0} ns a page): the guest has used it, or the host keeps it ready",
            human_bytes(touched as u64),
            human_bytes((LEAST_COLD * CHUNK) as u64)
        );
        return bench.skip(unmet(reason, "run in a guest that was just started"));
    };
    bench.record("page_fault_cold", params([]), Unit::Ns, kept)
}

/// Of those that were cold, an even choice; `None` if there are too few.
fn cold_of(times: Vec<f64>, warm: f64) -> Option<Vec<f64>> {
    let cold: Vec<f64> = times.into_iter().filter(|&ns| ns > COLD * warm).collect();
    let step = cold.len().div_ceil(KEPT);
    (cold.len() >= LEAST_COLD).then(|| cold.into_iter().step_by(step).collect())
}

/// Nanoseconds a fault of each chunk of pages that are touched for the first time, and how many
/// bytes that were until the time was used up. Chunks are left out in which the thread lost its CPU,
/// or the host took it: they would look cold.
fn chunks(bench: &Bench<'_>, fresh: &mut [u8]) -> (Vec<f64>, usize) {
    let until = bench.meter.elapsed() + bench.share(COLD_SHARE);
    let (mut times, mut touched) = (Vec::new(), 0);
    let mut steal = bench.meter.steal_ticks();
    for chunk in fresh.chunks_exact_mut(CHUNK) {
        if bench.meter.elapsed() > until {
            break;
        }
        let before = usage();
        let start = bench.timer.stamp();
        touch(chunk, Pages::Small.bytes());
        let ns = bench.timer.ns_between(start, bench.timer.stamp());
        let after = usage();
        touched += CHUNK;
        let now = bench.meter.steal_ticks();
        let stolen = std::mem::replace(&mut steal, now) != now;
        if !stolen && after.nivcsw == before.nivcsw && after.faults > before.faults {
            times.push(ns / (after.faults - before.faults) as f64);
        }
    }
    (times, touched)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_slow_chunks_are_no_cold_memory() {
        let times = |cold: usize| [vec![500.0; 20], vec![2000.0; cold]].concat();
        assert_eq!(cold_of(times(LEAST_COLD - 1), 500.0), None);
        assert_eq!(cold_of(times(LEAST_COLD), 500.0), Some(vec![2000.0; LEAST_COLD]));
        assert_eq!(cold_of(times(LEAST_COLD), f64::INFINITY), None);
        let many = cold_of(times(100), 500.0).unwrap();
        assert!(many.len() <= KEPT && many.iter().all(|&ns| ns == 2000.0), "{many:?}");
    }

    #[test]
    fn small_pages_are_not_taken_for_huge_ones() {
        let small = Buffer::new(HUGE_CHUNK, Pages::Small).unwrap();
        assert!(!is_huge(&small));
    }
}
