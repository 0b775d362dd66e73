//! Page faults, each counted by the kernel.

use std::fs::File;
use std::io;

use super::refused;
use super::row::{Does, sample};
use crate::harness::bench::{Bench, params};
use crate::machine::human_bytes;
use crate::probe::{Unit, Unmet};
use crate::quantile::median;
use crate::sys::map::Mapping;
use crate::sys::memory::{Buffer, HUGE_PAGE, Pages, SMALL_PAGE};
use crate::sys::thread::usage;

/// Touched in one sample of small pages.
const CHUNK: usize = 2 << 20;

/// Huge pages in one sample.
const HUGE_PAGES: usize = 4;

pub(super) fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    small(bench)?;
    huge(bench)?;
    of_a_file(bench)?;
    come_and_go(bench)
}

fn small(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let metric = "os.page_fault_4k_ns";
    let mut buffer = match Buffer::untouched(CHUNK, Pages::Small) {
        Ok(buffer) => buffer,
        Err(e) => return bench.skip(refused(metric, "2 MiB of memory", &e)),
    };
    let act = |timed| touch_again(&mut buffer, SMALL_PAGE, timed);
    if let Err(e) = sample(bench, "page_fault_4k", Does::Fault, None, act)? {
        bench.skip(refused(metric, "giving memory back by madvise", &e))?;
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
    let metric = "os.page_fault_2m_ns";
    let len = HUGE_PAGES * HUGE_PAGE;
    if bench.machine.buffer_limit() < 4 * len as u64 {
        let error = io::Error::from_raw_os_error(libc::ENOMEM);
        return bench.skip(refused(metric, "32 MiB of memory", &error));
    }
    let mut buffer = match Buffer::untouched(len, Pages::Huge) {
        Ok(buffer) => buffer,
        Err(e) => return bench.skip(refused(metric, "8 MiB of memory", &e)),
    };
    touch(buffer.bytes_mut(), HUGE_PAGE);
    if buffer.huge_bytes().is_ok_and(|bytes| bytes < len as u64) {
        return bench.skip(Unmet {
            need: format!("huge pages ({metric})"),
            reason: "the kernel gave pages of 4 KiB".into(),
            remedy: "set /sys/kernel/mm/transparent_hugepage/enabled to madvise".into(),
        });
    }
    let act = |timed| touch_again(&mut buffer, HUGE_PAGE, timed);
    if let Err(e) = sample(bench, "page_fault_2m", Does::Fault, None, act)? {
        bench.skip(refused(metric, "giving memory back by madvise", &e))?;
    }
    Ok(())
}

/// Pages of this program itself: a file that is there wherever the program runs.
fn of_a_file(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let both = "os.page_fault_file_ns, os.page_fault_cow_ns";
    let map = File::open("/proc/self/exe").and_then(|program| {
        let len = program.metadata()?.len() as usize;
        Mapping::of_file(&program, len.min(CHUNK) / SMALL_PAGE * SMALL_PAGE)
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
    if let Err(e) = sample(bench, "page_fault_file", Does::Fault, note.ok(), act)? {
        return bench.skip(refused(both, "giving memory back by madvise", &e));
    }
    let act = |timed: bool| {
        if timed {
            map.write_each_page();
            return Ok(());
        }
        map.give_back().map(|()| map.read_each_page())
    };
    if let Err(e) = sample(bench, "page_fault_cow", Does::Fault, None, act)? {
        bench.skip(refused(both, "giving memory back by madvise", &e))?;
    }
    Ok(())
}

/// A page that is mapped, touched and given back with its address space.
fn come_and_go(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let act = |timed: bool| {
        for _ in 0..if timed { CHUNK / SMALL_PAGE } else { 1 } {
            Mapping::anonymous(SMALL_PAGE)?.write_each_page();
        }
        Ok(())
    };
    if let Err(e) = sample(bench, "mmap_touch", Does::Fault, None, act)? {
        bench.skip(refused("os.mmap_touch_ns", "mmap", &e))?;
    }
    Ok(())
}

/// Memory that is looked through for some that the host must find first.
const FRESH: u64 = 128 << 20;

/// A chunk that took so many times as long as one in use before was cold, ...
const COLD: f64 = 2.0;

/// ... if there are so many of them: single ones are those that something came between.
const LEAST_COLD: usize = 8;

/// Samples that are kept.
const KEPT: usize = 9;

/// Only the first round can meet memory that is cold: it has been used then.
pub(super) fn cold(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    if bench.round > 0 {
        return Ok(());
    }
    let unmet = |reason: String, remedy: &str| Unmet {
        need: "memory that this guest has not used before (os.page_fault_cold_ns)".into(),
        reason,
        remedy: remedy.into(),
    };
    if bench.machine.host.guest_of().is_none() {
        let reason = "no hypervisor is known here: memory needs to be found only once";
        return bench.skip(unmet(reason.into(), "nothing: there is no such fault here"));
    }
    let len = FRESH.min(bench.machine.buffer_limit() / 4) as usize / CHUNK * CHUNK;
    let fresh = Buffer::untouched(len.max(CHUNK), Pages::Small);
    let Ok(mut fresh) = fresh else {
        let reason = format!("{} cannot be mapped", human_bytes(len as u64));
        return bench.skip(unmet(reason, "raise the limits on memory"));
    };
    let first = chunks(bench, fresh.bytes_mut());
    if let Err(e) = fresh.give_back() {
        return bench.skip(refused("os.page_fault_cold_ns", "giving memory back by madvise", &e));
    }
    let again = chunks(bench, &mut fresh.bytes_mut()[..len / 4]);
    let warm = median(&again).unwrap_or(f64::INFINITY);
    let cold: Vec<f64> = first.into_iter().filter(|&ns| ns > COLD * warm).collect();
    if cold.len() < LEAST_COLD {
        let reason = format!(
            "of {} that were touched, nothing took longer than what had been used before ({warm:.0} \
             ns a page): the guest has used all of it, or the host keeps it ready",
            human_bytes(len as u64)
        );
        return bench.skip(unmet(reason, "run in a guest that was just started"));
    }
    let step = cold.len().div_ceil(KEPT);
    let kept = cold.into_iter().step_by(step).collect();
    bench.record("page_fault_cold", params([]), Unit::Ns, kept)
}

/// Nanoseconds a fault of each chunk of pages that are touched for the first time. Chunks in which
/// the thread lost its CPU are left out.
fn chunks(bench: &Bench<'_>, fresh: &mut [u8]) -> Vec<f64> {
    let mut times = Vec::new();
    for chunk in fresh.chunks_exact_mut(CHUNK) {
        let before = usage();
        let start = bench.timer.stamp();
        touch(chunk, SMALL_PAGE);
        let ns = bench.timer.ns_between(start, bench.timer.stamp());
        let after = usage();
        if after.nivcsw == before.nivcsw && after.faults > before.faults {
            times.push(ns / (after.faults - before.faults) as f64);
        }
    }
    times
}
