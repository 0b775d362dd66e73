//! What is read rather than seen: levels, structures of the core, instructions, prices. Each number is
//! that of a metric.

use card::declare::Unit;
use card::format;
use card::metrics::{State, Value};
use card::reference;
use card::series::{self, Setting};
use card::summary::Summary;

use super::measured::{interval, listed, metric, number, number_of, text, text_of, told};
use super::notes;
use super::table::{Cell, Table};
use crate::report::view::bandwidth::LEVELS;
use crate::report::view::levels;
use crate::report::view::machine_view;
use crate::report::view::vectors::{INSTRUCTIONS, KERNELS, WAYS, WIDTHS, speed_up, widths};

/// What is published for a metric of this machine's cores.
fn published(summary: &Summary, id: &str) -> Option<reference::Published> {
    reference::published(machine_view::arch_key(&summary.card.header.machine)?, id)
}

/// The same as a text.
fn in_print(summary: &Summary, id: &str, unit: Unit) -> String {
    published(summary, id).map_or("–".into(), |p| format::range(p.low, p.high, unit))
}

/// The levels of the memory hierarchy, a row each.
pub(super) fn levels(summary: &Summary) -> Option<Table> {
    let heads = [
        "Level",
        "Size",
        "Claimed",
        "Latency",
        "Cycles",
        "Published",
        "Read, 1 thread",
        "of limit",
        "Write",
        "Outstanding",
    ];
    let mut table = Table::new("levels", String::new(), &heads);
    let mut best: Vec<String> = Vec::new();
    for level in levels::levels(summary) {
        let plain = |text: &str| Cell::plain(if text.is_empty() { "–" } else { text }.into());
        let own = level.per_cycle.filter(|value| number(value).is_some());
        best.extend(
            own.and_then(number)
                .zip(level.limit)
                .map(|(own, limit)| format!("{} {:.0} %", level.name, 100.0 * own / limit)),
        );
        let of_limit = match (own.map(format::bare), level.limit) {
            (Some(own), Some(limit)) => format!("{own} of {} B/cycle", format::plain(limit)),
            (Some(own), None) => format!("{own} B/cycle"),
            _ => String::new(),
        };
        let cells = vec![
            Cell { mark: if level.finding.is_some() { "!" } else { "" }, ..plain(&level.size) },
            plain(&level.claimed),
            Cell::of(level.ns),
            Cell::of(level.cycles),
            plain(&level.published),
            Cell::of(level.read),
            plain(&of_limit),
            Cell::of(level.write),
            Cell::of(level.outstanding),
        ];
        table.row("", &level.name, Some(cells));
    }
    table.title = match &best[..] {
        [] => "Levels of the memory hierarchy".into(),
        best => format!("One thread reads at {} of the published limit", listed(best)),
    };
    table.caption =
        "! below the size that is claimed. Outstanding: loads in flight of one core.".into();
    table.filled()
}

/// Structures of the core: a name, its metric, and what it is counted in.
const STRUCTURES: [(&str, &str, &str); 12] = [
    ("Out-of-order window", "Reorder buffer (ROB)", "core.reorder_window_entries"),
    ("Out-of-order window", "Integer register file, renames", "core.integer_registers_entries"),
    ("Out-of-order window", "Vector register file, renames", "core.vector_registers_entries"),
    ("Out-of-order window", "Loads in flight", LOADS),
    ("Out-of-order window", "Store queue", "core.store_queue_entries"),
    ("Branch prediction", "L1 BTB", "branch.btb_l1_entries"),
    ("Branch prediction", "L2 BTB", "branch.btb_l2_entries"),
    ("Branch prediction", "Return address stack (RAS)", "branch.return_depth_entries"),
    ("Branch prediction", "Pattern history, one branch", "branch.learnable_entries"),
    ("Address translation", "L1 DTLB", "tlb.l1_entries"),
    ("Address translation", "L2 DTLB", "tlb.l2_entries"),
    ("Address translation", "L1 DTLB, huge pages", "tlb.huge_page_reach_bytes"),
];

const LOADS: &str = "core.load_queue_entries";
/// As many loads as the reorder buffer has entries are limited by that.
const ROB_BOUND: f64 = 0.85;

pub(super) fn structures(summary: &Summary) -> Option<Table> {
    let rob = number_of(summary, STRUCTURES[0].2);
    let heads = ["Structure", "Measured", "Rounds", "Published"];
    let mut table = Table::new("structures", String::new(), &heads);
    for (head, name, id) in STRUCTURES {
        let value = metric(summary, id);
        let bound = id == LOADS
            && rob.zip(value.and_then(number)).is_some_and(|(rob, own)| own > ROB_BOUND * rob);
        let own = Cell::of(value);
        let own = if bound { own.with(|n| format!("≥ {n} (ROB-bound)")) } else { own };
        let cells = value.map(|value| {
            vec![own, Cell::plain(interval(value)), Cell::plain(in_print(summary, id, value.unit))]
        });
        table.row(head, name, cells);
    }
    let parts = [
        text_of(summary, STRUCTURES[0].2).map(|n| format!("ROB {n}")),
        text_of(summary, STRUCTURES[5].2).map(|n| format!("L1 BTB {n}")),
        text_of(summary, STRUCTURES[9].2).map(|n| format!("L1 DTLB {n}")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    table.title = match &parts[..] {
        [] => "Structures of the core".into(),
        parts => format!("Structures of the core: {} entries", parts.join(", ")),
    };
    table.filled()
}

/// Instructions: latency once where all widths have the same, operations a cycle by width.
pub(super) fn vectors(summary: &Summary) -> Option<Table> {
    let all = widths(&summary.metrics);
    let mut heads = vec!["Instruction", "Latency, cycles"];
    heads.extend(all.iter().map(|&width| WIDTHS[width].1));
    let mut table = Table::new("vectors", String::new(), &heads);
    for instruction in &INSTRUCTIONS {
        let costs: Vec<_> =
            all.iter().map(|&width| instruction.cost(&summary.metrics, width)).collect();
        let believed = |v: &&Value| v.state != State::Inconsistent;
        let latencies: Vec<String> = costs
            .iter()
            .filter_map(|cost| cost.latency.filter(believed)?.value)
            .map(format::plain)
            .collect();
        let mut distinct = latencies.clone();
        distinct.dedup();
        let latency = if distinct.is_empty() { "–".to_owned() } else { distinct.join(", ") };
        let rate = |cost: &crate::report::view::vectors::Cost<'_>| Cell {
            text: cost.text().unwrap_or("–".into()),
            mark: if cost.steady() { "" } else { "~" },
        };
        let any = !latencies.is_empty() || costs.iter().any(|cost| cost.operations().is_some());
        let cells = [Cell::plain(latency)].into_iter().chain(costs.iter().map(rate)).collect();
        table.row("", instruction.name, any.then_some(cells));
    }
    let peak = "simd.peak.f32_fma_flops_per_cycle";
    let limit =
        published(summary, peak).map(|p| format!(" of {} published", format::plain(p.high)));
    table.title = match number_of(summary, peak) {
        Some(peak) => {
            format!("FMA f32: {} FLOP per cycle{}", format::number(peak), limit.unwrap_or_default())
        }
        None => "Instructions by width".into(),
    };
    table.caption =
        "Throughput in operations per cycle (FMA = 2 per number). Latencies by width where they differ."
            .into();
    table.filled()
}

/// Kernels by level: the best width against scalar code with several accumulators.
pub(super) fn speed(summary: &Summary) -> Option<Table> {
    let heads: Vec<&str> =
        ["Kernel", "One accumulator, L1"].into_iter().chain(LEVELS.map(|l| l.1)).collect();
    let mut table = Table::new("speed_up", String::new(), &heads);
    let mut most: Option<(f64, String)> = None;
    let times = |value: &Value| Cell::of(Some(value)).with(|text| format!("{text}×"));
    for (kernel, name) in KERNELS {
        let of = |way: &str, level: &str| {
            speed_up(&summary.metrics, kernel, way, level).filter(|v| number(v).is_some())
        };
        let best = |level: &str| {
            let wide = WAYS.iter().filter(|way| way.0 != "naive");
            let all = wide.filter_map(|way| Some((way.1, of(way.0, level)?)));
            all.max_by(|a, b| a.1.value.unwrap_or(0.0).total_cmp(&b.1.value.unwrap_or(0.0)))
        };
        let cell = |(id, _): (&str, &str)| match best(id) {
            Some((width, value)) => times(value).with(|text| format!("{text} ({width})")),
            None => Cell::of(None),
        };
        let naive = of("naive", "l1").map_or(Cell::of(None), times);
        if let Some(best) =
            best("l1").and_then(|b| Some((number(b.1)?, format!("{name} {}", text(b.1)))))
            && most.as_ref().is_none_or(|most| best.0 > most.0)
        {
            most = Some(best);
        }
        let any = LEVELS.iter().any(|l| best(l.0).is_some());
        let cells = [naive].into_iter().chain(LEVELS.map(cell)).collect();
        table.row("", name, any.then_some(cells));
    }
    table.title = match most {
        Some((_, best)) => format!("SIMD against scalar code: up to {best}× in L1"),
        None => "SIMD against scalar code".into(),
    };
    table.caption = "Baseline: scalar code with 8 accumulators. Shown is the best width.".into();
    table.filled()
}

/// A switch between threads that have memory of their own.
pub(super) fn switch_ring(summary: &Summary) -> Option<Table> {
    let rows = [
        ("none", "context_switch.ring_0k_ns"),
        ("16 KiB", "context_switch.ring_16k_ns"),
        ("64 KiB", "context_switch.ring_64k_ns"),
        ("256 KiB", "context_switch.ring_256k_ns"),
        ("1 MiB", "context_switch.ring_1m_ns"),
    ];
    let heads = ["Footprint of each of 16 threads", "Context switch", "Rounds"];
    let mut table = Table::new("switch_ring", String::new(), &heads);
    let mut all = Vec::new();
    for (name, id) in rows {
        let value = metric(summary, id);
        all.extend(value);
        let cells = |v| vec![Cell::of(Some(v)), Cell::plain(interval(v))];
        table.row("", name, value.map(cells));
    }
    table.title = match all[..] {
        [first, .., last] => format!(
            "Context switch including cache refill: {} without footprint, {} with 1 MiB",
            told(first),
            told(last)
        ),
        _ => "Context switch including cache refill".into(),
    };
    table.caption = "System calls and a warm walk through the footprint are subtracted.".into();
    table.filled()
}

/// What operations of the system cost: heading, name, metric.
const PRICES: [(&str, &str, &str); 42] = [
    ("System calls", "clock_gettime (vDSO)", "os.clock_gettime_ns"),
    ("System calls", "clock_gettime, by system call", "os.clock_gettime_syscall_ns"),
    ("System calls", "syscall entry and exit (ENOSYS)", "os.syscall_invalid_ns"),
    ("System calls", "null syscall (getppid), inline", "os.syscall_inline_ns"),
    ("System calls", "null syscall (getppid)", "os.syscall_ns"),
    ("System calls", "signal to the own thread", "os.signal_ns"),
    ("System calls", "write 1 byte, buffer of 8 KiB", "os.write_1b_buffered_ns"),
    ("System calls", "write 1 byte to /dev/null", "os.write_1b_null_ns"),
    ("System calls", "write 1 byte to a file in memory", "os.write_1b_ns"),
    ("Memory", "minor fault, 4 KiB in cache", "os.page_fault_4k_ns"),
    ("Memory", "minor fault, 4 KiB out of cache", "os.page_fault_4k_uncached_ns"),
    ("Memory", "minor fault, 16 KiB in cache", "os.page_fault_16k_ns"),
    ("Memory", "minor fault, 64 KiB in cache", "os.page_fault_64k_ns"),
    ("Memory", "first touch, not yet backed by the host", "os.page_fault_cold_ns"),
    ("Memory", "minor file fault", "os.page_fault_file_ns"),
    ("Memory", "copy-on-write fault", "os.page_fault_cow_ns"),
    ("Memory", "huge page fault, 2 MiB", "os.page_fault_2m_ns"),
    ("Memory", "huge page fault, 32 MiB", "os.page_fault_32m_ns"),
    ("Memory", "mprotect of a page in use", "os.mprotect_ns"),
    ("Memory", "mmap and munmap, untouched", "os.mmap_ns"),
    ("Memory", "mmap, touch and munmap", "os.mmap_touch_ns"),
    ("Create and wait", "thread", "os.thread_create_ns"),
    ("Create and wait", "posix_spawn, smallest program", "os.spawn_ns"),
    ("Create and wait", "fork", "os.fork_ns"),
    ("Create and wait", "fork, 64 MiB in use", "os.fork_64m_ns"),
    ("Timer overshoot", "sleep of 1 µs", "os.timer_lateness_1us_ns"),
    ("Timer overshoot", "sleep of 100 µs", "os.timer_lateness_ns"),
    ("Timer overshoot", "sleep of 100 µs, p99", "os.timer_lateness_p99_ns"),
    ("Timer overshoot", "sleep of 10 ms", "os.timer_lateness_10ms_ns"),
    ("Timer overshoot", "sleep of 100 µs, slack 1", "os.timer_lateness_tight_ns"),
    ("Locks, uncontended", "atomic fetch_add", "locks.atomic_ns"),
    ("Locks, uncontended", "spin lock", "locks.spin_uncontended_ns"),
    ("Locks, uncontended", "mutex", "locks.mutex_uncontended_ns"),
    ("Locks, uncontended", "read lock", "locks.rwlock_read_ns"),
    ("Locks, all CPUs", "spin lock, acquire to acquire", "locks.spin_contended_ns"),
    ("Locks, all CPUs", "mutex, acquire to acquire", "locks.mutex_contended_ns"),
    ("Locks, all CPUs", "mutex, 1 µs of work inside", "locks.mutex_work_1000_ns"),
    ("Locks, all CPUs", "read lock, all reading", "locks.rwlock_read_contended_ns"),
    ("Locks, all CPUs", "hand-off to a spinning CPU", "locks.handoff_spin_ns"),
    ("Locks, all CPUs", "hand-off to a sleeping thread", "locks.handoff_ns"),
    ("Locks, all CPUs", "spin lock, fairness", "locks.spin_fairness_ratio"),
    ("Locks, all CPUs", "mutex, fairness", "locks.mutex_fairness_ratio"),
];

pub(super) fn prices(summary: &Summary) -> Option<Table> {
    let heads = ["Operation", "Time", "Rounds"];
    let mut table = Table::new("prices", String::new(), &heads);
    for (head, name, id) in PRICES {
        let cells = |v| vec![Cell::of(Some(v)), Cell::plain(interval(v))];
        table.row(head, name, metric(summary, id).map(cells));
    }
    let parts = [
        text_of(summary, "os.syscall_ns").map(|t| format!("null syscall {t}")),
        text_of(summary, "os.page_fault_4k_ns").map(|t| format!("minor page fault {t}")),
        text_of(summary, "locks.mutex_uncontended_ns").map(|t| format!("an uncontended mutex {t}")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    table.title = match parts.join(", ") {
        all if all.is_empty() => "Latency of system calls, faults and locks".into(),
        all => all.replacen("null", "Null", 1),
    };
    table.caption = "One CPU unless stated otherwise. Fairness: min share ÷ fair share.".into();
    table.filled()
}

/// A load right after a store.
pub(super) fn store_forwarding(summary: &Summary) -> Option<Table> {
    let rows = [
        ("same 8 bytes", "store_forward.ok"),
        ("8 bytes, 4 bytes later: blocked", "store_forward.fail"),
        ("4 KiB beyond a store (aliasing), extra", "store_forward.alias_4k"),
    ];
    let heads = ["Load after a store", "Cycles", "Time", "Rounds"];
    let mut table = Table::new("store_forwarding", String::new(), &heads);
    let get = |id: &str, unit: &str| metric(summary, &format!("{id}_{unit}"));
    for (name, id) in rows {
        let (cycles, ns) = (get(id, "cycles"), get(id, "ns"));
        let rounds = cycles.or(ns).map_or("–".into(), interval);
        let cells = vec![Cell::of(cycles), Cell::of(ns), Cell::plain(rounds)];
        table.row("", name, (cycles.is_some() || ns.is_some()).then_some(cells));
    }
    let cost = |id: &str| get(id, "cycles").or(get(id, "ns")).map(told);
    table.title = match (cost(rows[0].1), cost(rows[1].1)) {
        (Some(ok), Some(fail)) => format!("Store forwarding: {ok}, blocked {fail}"),
        _ => "Store forwarding".into(),
    };
    table.caption = notes(summary, "store-forwarding", &["forward_case"]).trim().to_owned();
    table.filled()
}

/// What two CPUs cost each other: near, at the distance of a line and of two.
pub(super) fn false_sharing(summary: &Summary) -> Option<Table> {
    let kernels = [
        ("atomic", "fetch_add"),
        ("store", "plain stores"),
        ("write_read", "loads, other CPU stores"),
    ];
    let distances = [8, 64, 128];
    let heads = ["Two CPUs", "8 B apart", "64 B apart", "128 B apart"];
    let settings = series::settings(&summary.card, "false-sharing", "time_per_op");
    let mut table = Table::new("false_sharing", String::new(), &heads);
    for (kernel, name) in kernels {
        let at = |bytes: i64| {
            let is = |s: &&Setting| s.is("kernel", kernel) && s.int("offset") == Some(bytes);
            settings.iter().find(is).map(|s| format::within(s.value, (s.low, s.high), Unit::Ns))
        };
        let times = distances.map(at);
        let cells = times
            .iter()
            .any(Option::is_some)
            .then(|| times.map(|time| Cell::plain(time.unwrap_or("–".into()))).to_vec());
        table.row("", name, cells);
    }
    let [step, padding] = ["step", "safe_padding"]
        .map(|id| number_of(summary, &format!("false_sharing.{id}_bytes")).map(format::plain));
    let slow = metric(summary, "false_sharing.slowdown_ratio").map(told);
    let slow =
        slow.map(|s| format!("False sharing: fetch_add {s}×")).unwrap_or("False sharing".into());
    let apart = step.as_ref().map(|step| format!("; {step} B separate them")).unwrap_or_default();
    table.title = format!("{slow}{apart}");
    table.caption = match (step, padding) {
        (Some(step), Some(padding)) if step != padding => format!(
            "{step} B separates two CPUs' data; {padding} B also keeps the adjacent-line prefetcher out."
        ),
        _ => String::new(),
    } + &notes(summary, "false-sharing", &["time_per_op"]);
    table.filled()
}

/// How long a disk lets one wait.
pub(super) fn storage(summary: &Summary) -> Option<Table> {
    let rows = [
        ("random read, 4 KiB", "storage.read_4k_random_ns", Some("storage.read_4k_random_p99_ns")),
        ("sequential read, 1 MiB", "storage.read_1m_sequential_ns", None),
        ("write 4 KiB and fsync", "storage.fsync_ns", None),
        ("write 4 KiB and fdatasync", "storage.fdatasync_ns", None),
        ("seek and 4 KiB, rotating disk", "storage.seek_ns", None),
        ("sequential read, 1 MiB, rotating disk", "storage.disk_read_1m_sequential_ns", None),
    ];
    let heads = ["Request", "Time", "Rounds", "p99"];
    let mut table = Table::new("storage", String::new(), &heads);
    for (name, id, p99) in rows {
        let cells = metric(summary, id).map(|value| {
            let p99 = p99.and_then(|id| metric(summary, id));
            vec![Cell::of(Some(value)), Cell::plain(interval(value)), Cell::of(p99)]
        });
        table.row("", name, cells);
    }
    let read =
        metric(summary, rows[0].1).map(told).map(|t| format!("A 4 KiB random read takes {t}"));
    let sync = metric(summary, rows[2].1).map(told).map(|t| format!("fsync {t}"));
    let parts: Vec<String> = [read, sync].into_iter().flatten().collect();
    table.title = if parts.is_empty() { "Storage".into() } else { parts.join(", ") };
    let file = summary.card.points.iter().find(|p| p.probe == "storage" && p.quantity == "file");
    table.caption = file.and_then(|f| f.note.clone()).unwrap_or_default();
    table.filled()
}

/// The core clock under load, by the width of the work.
pub(super) fn clock(summary: &Summary) -> Option<Table> {
    let ghz = metric(summary, "clock.core_ghz")?;
    let settled = number(ghz)?;
    let rows = [
        ("scalar", None, Some("clock.all_core_ratio")),
        ("128 bit", Some("clock.neon_ratio"), Some("simd.clock.neon_all_core_ratio")),
        ("SVE", Some("clock.sve_ratio"), Some("simd.clock.sve_all_core_ratio")),
        ("256 bit", Some("clock.avx_ratio"), Some("simd.clock.avx_all_core_ratio")),
        ("512 bit", Some("clock.avx512_ratio"), Some("simd.clock.avx512_all_core_ratio")),
    ];
    let mut table = Table::new("clock", String::new(), &["Work", "One CPU", "All CPUs"]);
    let scaled = |id: Option<&str>| {
        let value = id.and_then(|id| metric(summary, id))?;
        Some((number(value)?, Cell { text: text(ghz), mark: super::measured::mark(value) }))
    };
    let mut ratios: Vec<f64> = Vec::new();
    for (name, one, all) in rows {
        let cell = |found: Option<(f64, Cell)>| match found {
            Some((ratio, cell)) => cell.with(|_| format::quantity(settled * ratio, Unit::Ghz)),
            None => Cell::of(None),
        };
        let one_found = if one.is_none() { Some((1.0, Cell::of(Some(ghz)))) } else { scaled(one) };
        let all_found = scaled(all);
        let found = one_found.is_some();
        ratios.extend(one_found.iter().chain(&all_found).map(|found| found.0));
        table.row("", name, found.then(|| vec![cell(one_found), cell(all_found)]));
    }
    let lowest = ratios.iter().copied().fold(1.0, f64::min);
    table.title = if lowest > 0.99 {
        format!("{} under every load", text(ghz))
    } else {
        format!(
            "{}, down to {} under load",
            text(ghz),
            format::quantity(settled * lowest, Unit::Ghz)
        )
    };
    let settle = metric(summary, "clock.settle_ms").map(text);
    table.caption = settle.map(|t| format!("Within 1 % of it {t} after idle.")).unwrap_or_default();
    table.filled()
}

#[cfg(test)]
mod tests {
    use super::*;
    use card::fixture;

    #[test]
    fn every_metric_of_a_table_is_there_with_its_number() {
        let summary = fixture::recorded();
        let has = |table: Option<Table>, id: &str| {
            let (table, value) = (table.unwrap(), text(metric(&summary, id).unwrap()));
            assert!(table.texts().any(|t| t.contains(&value)), "{}: {id} is {value}", table.name);
        };
        has(levels(&summary), "memory.latency.l2_ns");
        has(levels(&summary), "memory.bandwidth.read.l1_gbs");
        has(structures(&summary), "core.reorder_window_entries");
        has(speed(&summary), "simd.sum.naive.l1_ratio");
        has(switch_ring(&summary), "context_switch.ring_256k_ns");
        has(store_forwarding(&summary), "store_forward.ok_cycles");
        has(storage(&summary), "storage.read_4k_random_p99_ns");
        has(clock(&summary), "clock.core_ghz");
        for (_, _, id) in PRICES {
            if metric(&summary, id).is_some() {
                has(prices(&summary), id);
            }
        }
    }

    #[test]
    fn every_row_is_as_long_as_the_heads() {
        for summary in [fixture::recorded(), fixture::neon(), fixture::sve(), fixture::two_nodes()]
        {
            for table in super::super::tables(&summary) {
                let rows = table.groups.iter().flat_map(|group| &group.rows);
                for row in rows {
                    assert_eq!(row.cells.len() + 1, table.heads.len(), "{}", table.name);
                }
                assert!(!table.title.is_empty() && !table.title.contains("NaN"));
            }
        }
    }

    /// As many loads as the reorder buffer holds say nothing of the load queue.
    #[test]
    fn loads_that_the_reorder_buffer_limits_are_a_lower_bound() {
        let mut summary = fixture::recorded();
        let rob = number_of(&summary, "core.reorder_window_entries").unwrap();
        let mut set = |entries: f64| {
            let loads = summary.metrics.0.iter_mut().find(|v| v.id == LOADS).unwrap();
            loads.value = Some(entries.round());
            let table = structures(&summary).unwrap();
            table.texts().any(|t| t.contains("ROB-bound"))
        };
        assert!(set(0.95 * rob) && !set(0.4 * rob));
    }

    #[test]
    fn nothing_measured_no_table() {
        assert!(super::super::tables(&fixture::empty()).is_empty());
    }
}
