//! The way to main memory: what limits one core, what pages and nodes cost, and what the host
//! hides.

use crate::machine::human_bytes;

use super::{Finding, believed, shown};
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
const SMALL_PAGES: &str = "memory.latency.dram_4k_ns";
const HUGE_PAGES: &str = "memory.latency.dram_ns";
const OUTER: &str = "prefetch.next_line_ratio";
const WALK: &str = "tlb.walk_ns";
const HUGE_WALK: &str = "tlb.huge_walk_ns";

pub(super) fn find(card: &Card, metrics: &Metrics) -> Vec<Finding> {
    let found = [
        host_pages(card, metrics),
        distances(card),
        one_core(metrics),
        page_walks(card, metrics),
        nodes(metrics),
        pairs(metrics),
        zeros(metrics),
        page_size(card),
    ];
    found.into_iter().flatten().collect()
}

/// Pages that were asked for and not had.
fn page_size(card: &Card) -> Option<Finding> {
    // Small pages are of KiB, and called 4k, 16k, 64k; huge ones are of MiB.
    let huge = |p: &&Point| match p.params.get("variant") {
        Some(Param::Text(name)) => name.starts_with("random_") && name.ends_with('m'),
        _ => false,
    };
    let other = card.points.iter().filter(huge).find(|p| p.backing != Backing::AsAsked)?;
    let note = other.backing.note().or_else(|| other.note.clone()).unwrap_or_default();
    let [_, size] = card.header.machine.memory.page_sizes().map(human_bytes);
    let headline = format!("no {size} pages: the latency curve contains page walks");
    let action = "allow transparent huge pages for this process, or reserve some";
    Some(Finding::quality("NO_HUGE_PAGES", headline).cause(note).action(action).of(&[HUGE_PAGES]))
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
    let [one, many] = [STREAM, ALL_THREADS].map(|id| shown(metrics, id));
    let headline = match all {
        Some(_) if more_helps => {
            format!("one thread reads {one} from DRAM, all threads {many}")
        }
        Some(_) => {
            format!("one thread fills the DRAM path: {one}, all threads {many}")
        }
        None => format!("one thread reads {one} from DRAM"),
    };
    let (least, most) = match prefetch {
        Some(prefetch) => (demand.min(prefetch), demand.max(prefetch)),
        None => (demand, demand),
    };
    let loads = in_flight(demand, believed(metrics, DEMAND_MISSES));
    let limits = match prefetch {
        Some(gbs) => {
            let prefetches = in_flight(gbs, believed(metrics, PREFETCH_MISSES));
            format!("{loads} by demand misses, {prefetches} by software prefetches")
        }
        None => format!("{loads} by demand misses"),
    };
    let cause = if stream < least / EXPLAINED {
        format!(
            "less than the miss buffers allow ({limits}): page walks, the fabric or neighbours limit it"
        )
    } else if stream <= most * EXPLAINED {
        format!("the miss-buffer limit of a core: {limits}")
    } else {
        format!(
            "more than demand misses reach ({limits}): the hardware prefetcher keeps more lines in flight"
        )
    };
    let used = [STREAM, ALL_THREADS, DEMAND, PREFETCH, DEMAND_MISSES, PREFETCH_MISSES];
    let used: Vec<&str> = used.into_iter().filter(|id| believed(metrics, id).is_some()).collect();
    let found = Finding::limit("CORE_BANDWIDTH", headline).cause(cause).of(&used);
    Some(if more_helps { found.action("use more threads for bandwidth") } else { found })
}

/// So many times as fast lines of zeros must be stored: what neighbours take from main memory differs
/// by a quarter from one minute to the next.
const ZEROS: f64 = 1.4;

/// A processor that writes zeros in another way than everything else.
fn zeros(metrics: &Metrics) -> Option<Finding> {
    let (stored, zeros) = (believed(metrics, STORED)?, believed(metrics, STORED_ZEROS)?);
    let ratio = zeros / stored;
    (ratio >= ZEROS).then(|| {
        let headline = format!(
            "non-temporal stores of zeros: {ratio:.1}× the bandwidth, {} against {}",
            shown(metrics, STORED_ZEROS),
            shown(metrics, STORED)
        );
        let action = "do not benchmark with zeros";
        Finding::advice("ZERO_STORES", headline, ratio, action).of(&[STORED_ZEROS, STORED])
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
        let reach = human_bytes(reach as u64);
        let headline = format!("{huge} pages are backed by {small} pages of the host");
        let measured = format!("{small} host pages");
        Finding::claim("HUGE_PAGE_BACKING", headline, format!("{huge} pages"), measured)
            .cause(format!(
                "DTLB misses in huge pages begin at {reach}, where {entries:.0} small pages end"
            ))
            .action("huge pages help little here; only the host can change that")
            .of(&[HUGE_REACH, TLB])
    })
}

/// The neighbour of a missed line costs less than this share of a far one where it came along.
const CAME_ALONG: f64 = 0.7;

fn pairs(metrics: &Metrics) -> Option<Finding> {
    let ratio = believed(metrics, PAIRS).filter(|ratio| *ratio < CAME_ALONG)?;
    let both_sides = believed(metrics, OUTER).is_some_and(|ratio| ratio < CAME_ALONG);
    let (which, action) = if both_sides {
        ("neighbouring line", "pack what is used together")
    } else {
        ("other line of the 128 B pair", "align related data to 128 B")
    };
    let headline = format!("{which} after a miss: {ratio:.2}× the latency of a random line");
    let cause = "the adjacent-line (spatial) prefetcher is active";
    let found = Finding::advice("ADJACENT_LINE", headline, 1.0 / ratio, action).cause(cause);
    Some(found.of(&[PAIRS, OUTER]))
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
    let headline =
        format!("NUMA distance of node {to}: {ratio:.1}× local latency, claimed {claimed:.1}×");
    let claim = format!("node {from} to {to}: {claimed:.1}×");
    let found =
        Finding::claim("NUMA_DISTANCE", headline, claim, format!("{ratio:.1}× local latency"));
    let cause = "placement by the claimed (SLIT) distances is misled";
    Some(found.cause(cause).of(&["numa.local_ns", "numa.remote_ns"]))
}

/// What random loads cost more in small pages before it is worth a word.
const SMALL_COST: f64 = 1.05;

/// What small pages cost random loads from main memory.
fn page_walks(card: &Card, metrics: &Metrics) -> Option<Finding> {
    let [page, huge_page] = card.header.machine.memory.page_sizes().map(human_bytes);
    let (huge, small) = (believed(metrics, HUGE_PAGES)?, believed(metrics, SMALL_PAGES)?);
    let told = |id| shown(metrics, id);
    let headline = format!(
        "random DRAM loads: {} in {page} pages, {} in {huge_page}",
        told(SMALL_PAGES),
        told(HUGE_PAGES)
    );
    let walk = |id| believed(metrics, id).map(|_| told(id));
    let cause = walk(WALK).map(|cold| match walk(HUGE_WALK) {
        Some(of_huge) => format!(
            "a page walk with one access per page takes {cold}, and {of_huge} in {huge_page} pages"
        ),
        None => format!("a page walk with one access per page takes {cold}"),
    });
    (small > SMALL_COST * huge).then(|| {
        let found = Finding::limit("PAGE_WALKS", headline).of(&[SMALL_PAGES, HUGE_PAGES, WALK]);
        Finding { cause, ..found }
    })
}

/// Near and far memory.
fn nodes(metrics: &Metrics) -> Option<Finding> {
    let ns = |name: &str| believed(metrics, &format!("numa.{name}_ns"));
    let gbs = |name: &str| {
        let id = format!("numa.{name}_gbs");
        believed(metrics, &id).map_or(String::new(), |_| format!(", {}", shown(metrics, &id)))
    };
    let local = ns("local")?;
    let far = [("remote", "remote NUMA node"), ("memory_only", "memory-only NUMA node")];
    let far = far.into_iter().filter_map(|(name, words)| Some((name, words, ns(name)?)));
    let (name, words, worst) = far.max_by(|a, b| a.2.total_cmp(&b.2))?;
    let [here, there] = ["local", name].map(|name| shown(metrics, &format!("numa.{name}_ns")));
    let headline = format!("{words}: {there}, {:.1}× local latency", worst / local);
    let cause = format!("local {here}{}, {name} {there}{}", gbs("local"), gbs(name));
    let ids = [format!("numa.{name}_ns"), "numa.local_ns".to_owned()];
    Some(Finding::limit("NUMA_REMOTE", headline).cause(cause).of(&[&ids[0], &ids[1]]))
}

#[cfg(test)]
mod tests {
    use crate::declare::Unit;

    use super::super::Group;
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
        one_core(&Metrics(values)).unwrap().text()
    }

    #[test]
    fn a_stream_between_loads_and_prefetches_is_at_the_miss_buffer_limit() {
        let text = core(28.0, Some(41.3), Some(31.0));
        assert!(text.starts_with("one thread reads 28.0 GB/s from DRAM, all threads 41.3 GB/s"));
        assert!(
            text.contains("the miss-buffer limit of a core: 44 lines × 64 B ÷ 110 ns = 25.6 GB/s")
        );
        assert!(
            text.contains("by demand misses, 31.0 GB/s by software prefetches; use more threads")
        );
        // Also where prefetches reach less than loads, and where none was measured.
        assert!(core(24.0, None, Some(22.0)).contains("miss-buffer limit"));
        assert!(core(26.0, None, None).ends_with("= 25.6 GB/s by demand misses"));
    }

    #[test]
    fn a_stream_above_both_has_the_hardware_prefetcher_to_thank() {
        let text = core(38.0, Some(60.0), Some(31.0));
        assert!(text.contains("more than demand misses reach"), "{text}");
        assert!(text.contains("hardware prefetcher"));
    }

    #[test]
    fn a_stream_well_below_is_limited_by_something_else() {
        let text = core(14.0, Some(27.0), Some(31.0));
        assert!(text.contains("less than the miss buffers allow"), "{text}");
    }

    #[test]
    fn threads_that_add_nothing_are_not_recommended() {
        let text = core(26.0, Some(27.0), None);
        assert!(text.starts_with("one thread fills the DRAM path: 26.0 GB/s"), "{text}");
        assert!(!text.contains("use more threads"), "{text}");
        assert!(core(26.0, None, None).starts_with("one thread reads 26.0 GB/s from DRAM: "));
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
            zeros(&Metrics(vec![gbs(STORED, stored), gbs(STORED_ZEROS, of_zeros)]))
                .map(|f| f.text())
        };
        let text = said(25.0, 80.0).unwrap();
        assert!(text.contains("3.2× the bandwidth, 80.0 GB/s against 25.0 GB/s"), "{text}");
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
        assert_eq!(found.group, Group::Claim);
        assert!(found.text().contains("288 KiB, where 72 small pages end"), "{found:?}");
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
        let text = ratio(0.46).unwrap().text();
        assert!(text.contains("0.46×") && text.contains("128 B"), "{text}");
        assert!(ratio(0.97).is_none() && pairs(&Metrics::default()).is_none());
    }

    #[test]
    fn a_claimed_distance_that_is_wrong_is_named() {
        // Claimed 21 to 10, measured 1.4.
        let mut two = fixture::two_nodes().card;
        let text = distances(&two).unwrap().headline;
        assert!(text.contains("1.4× local latency") && text.contains("claimed 2.1×"), "{text}");
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
    fn small_pages_are_named_with_their_walks_where_they_cost_anything() {
        let mut card = fixture::empty().card;
        card.header.machine.memory.page_bytes = crate::machine::Fact::Known(16 << 10);
        let said = |small, huge_walk: Option<f64>| {
            let ns = |id, n| value(id, Unit::Ns, n);
            let mut values = vec![ns(SMALL_PAGES, small), ns(HUGE_PAGES, 121.0), ns(WALK, 48.0)];
            values.extend(huge_walk.map(|n| ns(HUGE_WALK, n)));
            page_walks(&card, &Metrics(values)).map(|found| found.text())
        };
        let text = said(174.0, None).unwrap();
        assert!(
            text.starts_with("random DRAM loads: 174 ns in 16 KiB pages, 121 ns in 32 MiB"),
            "{text}"
        );
        assert!(text.ends_with("takes 48.0 ns"), "{text}");
        assert!(
            said(174.0, Some(12.0))
                .unwrap()
                .ends_with("takes 48.0 ns, and 12.0 ns in 32 MiB pages")
        );
        assert_eq!(said(122.0, None), None);
        assert_eq!(page_walks(&card, &Metrics::default()), None);
    }

    #[test]
    fn far_memory_is_named_where_there_is_some() {
        assert_eq!(nodes(&fixture::recorded().metrics), None);
        let two = nodes(&fixture::two_nodes().metrics).unwrap();
        assert!(two.headline.starts_with("remote NUMA node: "), "{}", two.headline);
        assert!(two.headline.ends_with("1.4× local latency"), "{}", two.headline);
        let mut alone = fixture::two_nodes().metrics;
        for value in &mut alone.0 {
            value.id = value.id.replace("numa.remote", "numa.memory_only");
        }
        let alone = nodes(&alone).unwrap().headline;
        assert!(alone.starts_with("memory-only NUMA node: "), "{alone}");
        assert_eq!(nodes(&Metrics::default()), None);
    }
}
