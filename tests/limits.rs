//! All probes of the real program where something is missing: memory, a second CPU, huge pages.
//! Whatever a probe cannot do there, it says so, and everything else is measured.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use card::file::Card;
use card::machine::Machine;
use card::metrics::{self, Metrics, State};
use card::record::{Param, Point};
use common::{card_in, program};

struct Run {
    card: Card,
    metrics: Metrics,
    text: String,
}

impl Run {
    fn has_point(&self, quantity: &str) -> bool {
        self.card.points.iter().any(|p| p.quantity == quantity)
    }
}

/// A short run of everything under a wrapper such as taskset or prlimit.
fn everything_under(wrapper: &[&str], out: &Path) -> Run {
    // One run at a time: each wants all CPUs.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock();
    let output = Command::new(wrapper[0])
        .args(&wrapper[1..])
        .arg(program())
        .args(["run", "--tier", "quick", "--budget", "30s", "--out"])
        .arg(out)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let card = Card::read(&card_in(out).unwrap()).unwrap();
    assert!(card.is_complete() && card.fails.is_empty(), "{:?}", card.fails);
    let metrics = metrics::evaluate(&card);
    for metric in card.header.declarations.iter().flat_map(|d| d.metrics.iter()) {
        let value = metrics.get(&metric.id).expect("a declared metric");
        assert!(value.value.is_some() || value.reason.is_some(), "{} has no reason", metric.id);
    }
    Run { card, metrics, text: String::from_utf8(output.stdout).unwrap() }
}

fn number(point: &Point, name: &str) -> Option<i64> {
    match point.params.get(name)? {
        Param::Int(n) => Some(*n),
        Param::Text(_) => None,
    }
}

#[test]
fn on_one_cpu_everything_runs_but_what_needs_two() {
    let allowed = Machine::detect().allowed_cpus()[0].to_string();
    let dir = tempfile::tempdir().unwrap();
    let run = everything_under(&["taskset", "-c", &allowed], dir.path());
    let card = &run.card;
    assert!(card.header.plan.cpu_reason.contains("only CPU"));
    assert!(card.skips.iter().any(|s| s.need.contains("2 CPUs") && s.remedy.contains("taskset")));
    assert!(run.has_point("split_load") && !run.has_point("coherence"));
    // Nothing was loaded by another CPU, and no second thread shared the only one, but where that is
    // the question.
    assert!(card.points.iter().all(|p| number(p, "loaders").is_none_or(|n| n == 0)));
    let mut others = card.points.iter().filter(|p| p.probe != "scaling");
    assert!(others.all(|p| number(p, "threads").is_none_or(|n| n == 1)));
}

#[test]
fn within_200_mb_buffers_are_small_and_what_needs_more_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let card = everything_under(&["prlimit", "--as=200000000"], dir.path()).card;
    let largest = card.points.iter().filter_map(|p| number(p, "working_set")).max().unwrap();
    assert!((8 << 20..=100_000_000).contains(&largest), "{largest}");
    if card.header.machine.last_cache_bytes().is_some_and(|b| b * 4 > 100_000_000) {
        let of = |probe: &str| card.skips.iter().find(|s| s.probe == probe);
        let skip = of("memory-latency").expect("a skip");
        assert!(skip.reason.contains("RLIMIT_AS"), "{skip:?}");
    }
}

#[test]
fn without_huge_pages_every_figure_that_wants_them_is_labelled() {
    let dir = tempfile::tempdir().unwrap();
    // Holds for this process and what it starts; the tests beside this one do not mind.
    nix::sys::prctl::set_thp_disable(true).unwrap();
    let Run { card, metrics, text } = everything_under(&["env"], dir.path());
    nix::sys::prctl::set_thp_disable(false).unwrap();
    let labelled: BTreeSet<&str> = card
        .points
        .iter()
        .filter(|p| p.note.as_ref().is_some_and(|n| n.contains("4 KiB pages")))
        .map(|p| p.probe.as_str())
        .collect();
    for probe in ["memory-latency", "tlb", "memory-bandwidth", "loaded-latency"] {
        assert!(labelled.contains(probe), "{probe}: {labelled:?}");
    }
    for point in card.points.iter().filter(|p| p.probe == "memory-latency") {
        let variant = point.params.get("variant").map(ToString::to_string);
        let small = variant.is_some_and(|v| ["random_4k", "page_local", "4k"].contains(&&*v));
        assert_eq!(point.note.is_none(), small, "{point:?}");
    }
    let dram = metrics.get("memory.latency.dram_ns").unwrap();
    let labelled = dram.reason.as_ref().is_some_and(|r| r.contains("4 KiB pages"));
    assert!(dram.state != State::Ok || labelled, "{dram:?}");
    let words: Vec<&str> = text.split_whitespace().collect();
    assert!(words.join(" ").contains("2 MiB latency curve"), "{text}");
}
