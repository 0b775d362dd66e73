//! The way to main memory: what limits one core, what pages and nodes cost, and what the host
//! hides.

use crate::machine::human_bytes;

use super::{Finding, believed};
use crate::file::Card;
use crate::metrics::Metrics;
use crate::record::{Backing, Param, Point};
use crate::series::{self, Setting};

const LINE: f64 = 64.0;
const STREAM: &str = "memory.bandwidth.read.dram_gbs";
const STORED: &str = "memory.bandwidth.write_nt.dram_gbs";
const STORED_ZEROS: &str = "memory.bandwidth.write_nt_zero.dram_gbs";
const ALL_THREADS: &str = "memory.bandwidth.read.dram_all_threads_gbs";
const DEMAND: &str = "memory.parallelism.dram_demand_gbs";
const PREFETCH: &str = "memory.parallelism.dram_prefetch_gbs";
const DEMAND_MISSES: &str = "memory.parallelism.dram_misses";
const PREFETCH_MISSES: &str = "memory.parallelism.dram_prefetch_misses";
/// Working set at which a walk through huge pages starts to pay for address translation;
/// unavailable where it never does.
const HUGE_REACH: &str = "tlb.huge_page_reach_bytes";
const TLB: &str = "tlb.l1_entries";
const PAIRS: &str = "prefetch.adjacent_line_ratio";
const SMALL_PAGES: &str = "tlb.small_pages_ns";
const HUGE_PAGES: &str = "memory.latency.dram_ns";
const OUTER: &str = "prefetch.next_line_ratio";
const WALK: &str = "tlb.walk_ns";
const HUGE_WALK: &str = "tlb.huge_walk_ns";

pub(super) fn find(card: &Card, metrics: &Metrics) -> Vec<Finding> {
    let found = [
        one_core(metrics),
        zeros(metrics),
        host_pages(card, metrics),
        pairs(metrics),
        distances(card),
    ];
    found.into_iter().flatten().collect()
}

/// What several metrics of the memory system say together, and contradicts no claim.
pub fn sentences(card: &Card, metrics: &Metrics) -> Vec<String> {
    [page_walks(card, metrics), nodes(card, metrics)].into_iter().flatten().collect()
}

/// All threads must get this much more than one for one to have left something over.
const MORE: f64 = 1.25;

/// How far a stream may be from what the miss buffers predict and still be explained by them.
const EXPLAINED: f64 = 1.1;

/// What keeps one core from getting more out of main memory.
pub fn one_core(metrics: &Metrics) -> Option<Finding> {
    let stream = believed(metrics, STREAM)?;
    let demand = believed(metrics, DEMAND)?;
    let prefetch = believed(metrics, PREFETCH);
    let all = believed(metrics, ALL_THREADS);
    let more_helps = all.is_some_and(|all| all >= MORE * stream);
    let opening = match all {
        Some(all) if more_helps => format!(
            "one core cannot fill this memory: alone it reads {stream:.1} GB/s, all threads together \
             {all:.1} GB/s"
        ),
        Some(all) => format!(
            "one core reads {stream:.1} GB/s from memory, and all threads together hardly more \
             ({all:.1} GB/s): they share a core, or memory is full"
        ),
        None => format!("one core reads {stream:.1} GB/s from memory"),
    };
    let (least, most) = match prefetch {
        Some(prefetch) => (demand.min(prefetch), demand.max(prefetch)),
        None => (demand, demand),
    };
    let loads = in_flight(demand, believed(metrics, DEMAND_MISSES));
    let limits = match prefetch {
        Some(gbs) => {
            let prefetches = in_flight(gbs, believed(metrics, PREFETCH_MISSES));
            format!("{loads} by loads, {prefetches} by prefetches")
        }
        None => format!("{loads} by loads"),
    };
    let reason = if stream < least / EXPLAINED {
        format!(
            "that is less than its miss buffers allow ({limits}), so something else limits it: page \
             walks, the way from the core to memory, or neighbours"
        )
    } else if stream <= most * EXPLAINED {
        let so = if more_helps { ". More threads help, faster code does not" } else { "" };
        format!("that is its miss-buffer limit: {limits}{so}")
    } else {
        format!(
            "that is more than the code's own misses reach ({limits}): the hardware prefetcher \
             keeps more lines in flight"
        )
    };
    let used = [STREAM, ALL_THREADS, DEMAND, PREFETCH, DEMAND_MISSES, PREFETCH_MISSES];
    let used: Vec<&str> = used.into_iter().filter(|id| believed(metrics, id).is_some()).collect();
    Some(Finding::note(format!("{opening}; {reason}"), &used))
}

/// So many times as fast lines of zeros must be stored: what neighbours take from main memory differs
/// by a quarter from one minute to the next.
const ZEROS: f64 = 1.4;

/// A processor that writes zeros in another way than everything else.
fn zeros(metrics: &Metrics) -> Option<Finding> {
    let (stored, zeros) = (believed(metrics, STORED)?, believed(metrics, STORED_ZEROS)?);
    (zeros >= ZEROS * stored).then(|| {
        Finding::note(
            format!(
                "lines of zeros are stored past the caches {:.1} times as fast as others, \
                 {zeros:.1} against {stored:.1} GB/s: benchmarks that write zeros overstate",
                zeros / stored
            ),
            &[STORED_ZEROS, STORED],
        )
    })
}

/// `44 lines × 64 B ÷ 111 ns = 25.4 GB/s`; the time is the one that makes it true.
fn in_flight(gbs: f64, lines: Option<f64>) -> String {
    match lines {
        Some(lines) => {
            let ns = lines * LINE / gbs;
            format!("{lines:.0} lines × {LINE} B ÷ {ns:.0} ns = {gbs:.1} GB/s")
        }
        None => format!("{gbs:.1} GB/s"),
    }
}

/// A guest's huge pages are worth what the host puts behind them.
fn host_pages(card: &Card, metrics: &Metrics) -> Option<Finding> {
    card.header.machine.host.guest_of()?;
    // Pages that were not even granted by the guest's own kernel say nothing of the host.
    let refused = |s: &Point| {
        s.probe == "tlb"
            && matches!(s.params.get("variant"), Some(Param::Text(name)) if name.ends_with('m'))
            && matches!(s.backing, Backing::TooFewHuge { .. } | Backing::Unknown)
    };
    if card.points.iter().any(refused) {
        return None;
    }
    let (reach, entries) = (believed(metrics, HUGE_REACH)?, believed(metrics, TLB)?);
    let [small, huge] = card.header.machine.memory.page_sizes();
    // Twice the reach of small pages: the curve has two sizes an octave.
    (reach <= entries * 2.0 * small as f64).then(|| {
        let [small, huge] = [small, huge].map(human_bytes);
        Finding::warning(
            format!(
                "the host backs this guest's {huge} pages with {small} ones: their TLB misses begin at \
                 {}, where {entries:.0} small pages end. Huge pages help little here, and only the \
                 host can change that",
                human_bytes(reach as u64)
            ),
            &[HUGE_REACH, TLB],
        )
    })
}

/// The neighbour of a missed line costs less than this share of a far one where it came along.
const CAME_ALONG: f64 = 0.7;

fn pairs(metrics: &Metrics) -> Option<Finding> {
    let ratio = believed(metrics, PAIRS).filter(|ratio| *ratio < CAME_ALONG)?;
    let percent = ratio * 100.0;
    let both_sides = believed(metrics, OUTER).is_some_and(|ratio| ratio < CAME_ALONG);
    Some(Finding::note(
        if both_sides {
            format!(
                "lines come with their neighbours: after a miss, the line before or behind it costs \
                 {percent:.0} % of a far one"
            )
        } else {
            format!(
                "memory comes in pairs of lines: after a miss, the other line of its 128 bytes costs \
                 {percent:.0} % of a far one"
            )
        },
        &[PAIRS, OUTER],
    ))
}

/// How far a measured ratio may be from the claimed one.
const DISTANCE: f64 = 0.25;

/// The claimed distance that is farthest from what was measured.
fn distances(card: &Card) -> Option<Finding> {
    let nodes = card.header.machine.numa_nodes();
    let measured = series::settings(card, "numa", "latency");
    let ns = |cpu: usize, memory: usize| {
        let is = |s: &&Setting, name, id| s.int(name) == i64::try_from(id).ok();
        measured
            .iter()
            .find(|s| is(s, "cpu_node", cpu) && is(s, "memory_node", memory))
            .map(|s| s.value)
    };
    let pairs = nodes.iter().flat_map(|from| {
        let to = nodes.iter().zip(from.distances.known().into_iter().flatten());
        to.map(move |(to, distance)| (from.id, to.id, *distance as f64))
    });
    let off = pairs.filter(|(from, to, _)| from != to).filter_map(|(from, to, distance)| {
        let own = nodes.iter().position(|n| n.id == from)?;
        let own = *nodes[own].distances.known()?.get(own)? as f64;
        let claimed = distance / own;
        let ratio = ns(from, to)? / ns(from, from)?;
        let off = (ratio / claimed).max(claimed / ratio) - 1.0;
        (off.is_finite() && off > DISTANCE).then_some((off, from, to, claimed, ratio))
    });
    let (_, from, to, claimed, ratio) = off.max_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(Finding::warning(
        format!(
            "memory node {to} is claimed to be {claimed:.1} times as far from node {from} as its own \
             memory, measured {ratio:.1} times: what is placed by the claimed distances is placed \
             wrongly"
        ),
        &["numa.local_ns", "numa.remote_ns"],
    ))
}

/// How far a page walk may be from the difference that it explains.
const WALK_EXPLAINS: f64 = 0.25;

/// What small pages cost in main memory, and whether page walks are why.
fn page_walks(card: &Card, metrics: &Metrics) -> Option<String> {
    let [page, huge_page] = card.header.machine.memory.page_sizes().map(human_bytes);
    let (extra, huge) = (believed(metrics, SMALL_PAGES)?, believed(metrics, HUGE_PAGES)?);
    let walk = believed(metrics, WALK)?;
    // A host that splinters huge pages makes them pay for walks too.
    let huge_walk = believed(metrics, HUGE_WALK).unwrap_or(0.0);
    if extra < 0.05 * huge {
        return Some(format!(
            "{page} pages cost hardly more per memory access than {huge_page} pages here ({huge:.0} ns), \
             although one page walk is {walk:.0} ns: theirs is {huge_walk:.0} ns"
        ));
    }
    let share = (walk - huge_walk) / extra;
    let explains = if (share - 1.0).abs() <= WALK_EXPLAINS {
        "which explains it".to_owned()
    } else if share > 1.0 {
        "more than that".to_owned()
    } else {
        format!("which explains {:.0} % of it", 100.0 * share.max(0.0))
    };
    Some(format!(
        "{page} pages cost {extra:.0} ns more per memory access than {huge_page} pages ({huge:.0} ns); a \
         page walk takes {walk:.0} ns in the former and {huge_walk:.0} ns in the latter, {explains}"
    ))
}

/// Near and far memory in one line, or that there is only one kind.
fn nodes(card: &Card, metrics: &Metrics) -> Option<String> {
    let pair = |name: &str| {
        let ns = believed(metrics, &format!("numa.{name}_ns"))?;
        let gbs = believed(metrics, &format!("numa.{name}_gbs"));
        Some((ns, gbs.map_or(String::new(), |gbs| format!(" and {gbs:.1} GB/s"))))
    };
    let (local, local_gbs) = pair("local")?;
    let far = |name: &str, words: &str| {
        let (far, far_gbs) = pair(name)?;
        Some(format!("memory of {words}: {far:.0} ns{far_gbs}, {:.1} times as long", far / local))
    };
    let others =
        [far("remote", "another node"), far("memory_only", "a node without CPUs")].into_iter();
    let others: Vec<String> = others.flatten().collect();
    if others.is_empty() {
        let one = series::settings(card, "numa", "latency").len() == 1;
        return one.then(|| format!("one memory node: {local:.0} ns{local_gbs} to its own memory"));
    }
    Some(format!("{} as the node's own ({local:.0} ns{local_gbs})", others.join("; ")))
}

#[cfg(test)]
mod tests {
    use crate::declare::Unit;

    use super::super::Severity;
    use super::super::tests::value;
    use super::*;
    use crate::fixture;
    use crate::metrics::State;

    fn gbs(id: &str, number: f64) -> crate::metrics::Value {
        value(id, Unit::Gbs, number)
    }

    /// What is said of a core that reads so much, with all threads, by loads and by prefetches.
    fn core(stream: f64, all: Option<f64>, prefetch: Option<f64>) -> String {
        let mut values = vec![gbs(STREAM, stream), gbs(DEMAND, 25.6)];
        values.push(value(DEMAND_MISSES, Unit::Count, 44.0));
        values.extend(all.map(|all| gbs(ALL_THREADS, all)));
        values.extend(prefetch.map(|prefetch| gbs(PREFETCH, prefetch)));
        one_core(&Metrics(values)).unwrap().text
    }

    #[test]
    fn a_stream_between_loads_and_prefetches_is_at_the_miss_buffer_limit() {
        let text = core(28.0, Some(41.3), Some(31.0));
        assert!(text.starts_with("one core cannot fill this memory: alone it reads 28.0 GB/s"));
        assert!(text.contains("all threads together 41.3 GB/s"), "{text}");
        assert!(text.contains("is its miss-buffer limit: 44 lines × 64 B ÷ 110 ns = 25.6 GB/s"));
        assert!(text.contains("by loads, 31.0 GB/s by prefetches. More threads help"), "{text}");
        // Also where prefetches reach less than loads, and where none was measured.
        assert!(core(24.0, None, Some(22.0)).contains("miss-buffer limit"));
        assert!(core(26.0, None, None).ends_with("= 25.6 GB/s by loads"));
    }

    #[test]
    fn a_stream_above_both_has_the_hardware_prefetcher_to_thank() {
        let text = core(38.0, Some(60.0), Some(31.0));
        assert!(text.contains("more than the code's own misses reach"), "{text}");
        assert!(text.contains("hardware prefetcher"));
    }

    #[test]
    fn a_stream_well_below_is_limited_by_something_else() {
        let text = core(14.0, Some(27.0), Some(31.0));
        assert!(text.contains("less than its miss buffers allow"), "{text}");
        assert!(text.contains("something else limits it"));
    }

    #[test]
    fn threads_that_add_nothing_are_not_told_to_fill_the_memory() {
        let text = core(26.0, Some(27.0), None);
        assert!(
            !text.contains("cannot fill") && text.contains("hardly more (27.0 GB/s)"),
            "{text}"
        );
        assert!(core(26.0, None, None).starts_with("one core reads 26.0 GB/s from memory; "));
    }

    #[test]
    fn without_a_stream_or_its_limit_nothing_is_said_of_one_core() {
        assert!(one_core(&Metrics(vec![gbs(STREAM, 20.0)])).is_none());
        assert!(one_core(&Metrics(vec![gbs(DEMAND, 20.0)])).is_none());
        let mut split = gbs(STREAM, 20.0);
        split.state = State::Inconsistent;
        assert!(one_core(&Metrics(vec![split, gbs(DEMAND, 20.0)])).is_none());
    }

    #[test]
    fn zeros_are_named_where_they_are_stored_faster_and_only_there() {
        let said = |stored, of_zeros| {
            zeros(&Metrics(vec![gbs(STORED, stored), gbs(STORED_ZEROS, of_zeros)])).map(|f| f.text)
        };
        let text = said(25.0, 80.0).unwrap();
        assert!(text.contains("3.2 times as fast as others, 80.0 against 25.0 GB/s"), "{text}");
        assert_eq!(said(25.0, 26.0), None);
        assert_eq!(said(25.0, 10.0), None);
        assert!(zeros(&Metrics(vec![gbs(STORED_ZEROS, 80.0)])).is_none());
    }

    fn reach(kib: f64) -> Metrics {
        let reach = value(HUGE_REACH, Unit::Bytes, kib * 1024.0);
        Metrics(vec![reach, value(TLB, Unit::Count, 72.0)])
    }

    #[test]
    fn a_host_that_splinters_huge_pages_is_named() {
        let card = fixture::recorded().card;
        let found = host_pages(&card, &reach(288.0)).unwrap();
        assert_eq!(found.severity, Severity::Warning);
        assert!(found.text.contains("288 KiB, where 72 small pages end"), "{}", found.text);
        // Further than twice the reach of small pages, the pages were larger.
        assert!(host_pages(&card, &reach(577.0)).is_none());
        assert!(host_pages(&card, &Metrics::default()).is_none());
    }

    #[test]
    fn pages_that_were_never_huge_say_nothing_of_the_host() {
        let mut card = fixture::recorded().card;
        for point in card.points.iter_mut().filter(|p| p.probe == "tlb") {
            point.backing = Backing::TooFewHuge { huge: 0, asked: 4 << 20 };
        }
        assert!(host_pages(&card, &reach(288.0)).is_none());
        let mut metal = fixture::recorded().card;
        metal.header.machine.host.hypervisor = crate::machine::Fact::Known("none".into());
        assert!(host_pages(&metal, &reach(288.0)).is_none());
    }

    #[test]
    fn pairs_of_lines_are_named_only_where_they_come_as_pairs() {
        let ratio = |r| pairs(&Metrics(vec![value(PAIRS, Unit::Ratio, r)]));
        let text = ratio(0.46).unwrap().text;
        assert!(text.contains("46 %") && text.contains("128 bytes"), "{text}");
        assert!(ratio(0.97).is_none() && pairs(&Metrics::default()).is_none());
    }

    #[test]
    fn a_claimed_distance_that_is_wrong_is_named() {
        // Claimed 21 to 10, measured 1.4.
        let mut two = fixture::two_nodes().card;
        let text = distances(&two).unwrap().text;
        assert!(
            text.contains("claimed to be 2.1 times") && text.contains("measured 1.4"),
            "{text}"
        );
        let fitting = serde_json::json!([
            { "id": 0, "cpus": [0], "distances": [10, 14] },
            { "id": 1, "cpus": [1], "distances": [15, 10] },
        ]);
        two.header.machine.topology.numa_nodes = serde_json::from_value(fitting).unwrap();
        assert_eq!(distances(&two), None);
        assert_eq!(distances(&fixture::recorded().card), None);
        assert_eq!(distances(&fixture::empty().card), None);
    }

    #[test]
    fn page_walks_explain_small_pages_or_do_not() {
        let mut card = fixture::empty().card;
        card.header.machine.memory.page_bytes = crate::machine::Fact::Known(16 << 10);
        let said_beside = |extra, walk, huge_walk: Option<f64>| {
            let ns = |id, n| value(id, Unit::Ns, n);
            let mut values = vec![ns(SMALL_PAGES, extra), ns(HUGE_PAGES, 121.0), ns(WALK, walk)];
            values.extend(huge_walk.map(|n| ns(HUGE_WALK, n)));
            page_walks(&card, &Metrics(values)).unwrap()
        };
        let said = |extra, walk| said_beside(extra, walk, None);
        let text = said(53.0, 48.0);
        assert!(text.contains("cost 53 ns more") && text.ends_with("which explains it"), "{text}");
        assert!(
            text.starts_with("16 KiB pages cost") && text.contains("than 32 MiB pages"),
            "{text}"
        );
        assert!(said(53.0, 20.0).ends_with("which explains 38 % of it"));
        assert!(said(53.0, 90.0).ends_with("more than that"));
        let text = said_beside(53.0, 90.0, Some(40.0));
        assert!(text.contains("90 ns in the former and 40 ns in the latter, which explains it"));
        assert!(said(1.0, 40.0).contains("cost hardly more"));
        assert_eq!(page_walks(&card, &Metrics::default()), None);
    }

    #[test]
    fn one_node_or_several_are_a_line() {
        let said = |summary: crate::summary::Summary| {
            nodes(&summary.card, &summary.metrics).unwrap_or_default()
        };
        let one = said(fixture::recorded());
        assert!(
            one.starts_with("one memory node: ") && one.ends_with("to its own memory"),
            "{one}"
        );
        let two = said(fixture::two_nodes());
        assert!(two.contains("1.4 times as long as the node's own"), "{two}");
        let mut alone = fixture::two_nodes();
        for value in &mut alone.metrics.0 {
            value.id = value.id.replace("numa.remote", "numa.memory_only");
        }
        let alone = said(alone);
        assert!(alone.starts_with("memory of a node without CPUs: "), "{alone}");
        assert_eq!(said(fixture::empty()), "");
    }
}
