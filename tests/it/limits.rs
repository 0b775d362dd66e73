//! All probes of the real program where something is missing: memory, a second CPU, huge pages.
//! Whatever a probe cannot do there, it says so, and everything else is measured.

use std::collections::BTreeSet;

use card::machine::Machine;
use card::metrics::State;

use crate::common::first_cpu;
use crate::common::group::Group;
use crate::common::run::{Run, number, quick, quick_under};
use crate::common::turn::{alone, beside_others};

/// A short run of everything under a wrapper such as taskset or prlimit.
fn everything_under(wrapper: &[&str]) -> Run {
    let run = Run::of(quick_under(wrapper, &[]));
    run.answers_everything();
    run
}

#[test]
fn on_one_cpu_everything_runs_but_what_needs_two() {
    let _turn = alone();
    let run = everything_under(&["taskset", "-c", &first_cpu()]);
    let card = &run.card;
    assert!(card.header.plan.cpu_reason.contains("only CPU"));
    assert!(card.skips.iter().any(|s| s.need.contains("2 CPUs") && s.remedy.contains("taskset")));
    assert!(run.points("split_load").count() > 0 && run.points("coherence").count() == 0);
    // Nothing was loaded by another CPU, and no second thread shared the only one, but where that is
    // the question.
    assert!(card.points.iter().all(|p| number(p, "loaders").is_none_or(|n| n == 0)));
    let mut others = card.points.iter().filter(|p| p.probe != "scaling");
    assert!(others.all(|p| number(p, "threads").is_none_or(|n| n == 1)));
}

#[test]
fn the_facts_of_a_cpu_are_those_of_the_one_that_is_measured() {
    let _turn = beside_others();
    let last = Machine::detect().allowed_cpus().last().unwrap().to_string();
    let mut command = quick(&["cache-line"]);
    command.args(["--budget", "10s", "--cpu", &last]);
    let header = Run::of(command).card.header;
    assert_eq!(
        (header.plan.cpu, header.machine.cpu.number.to_string()),
        (header.machine.cpu.number, last)
    );
    assert!(header.plan.cpu_reason.starts_with("chosen by --cpu"), "{}", header.plan.cpu_reason);
    assert!(!header.machine.kinds().is_empty() && header.machine.contradictions.is_empty());
}

#[test]
fn within_200_mb_buffers_are_small_and_what_needs_more_says_so() {
    let _turn = alone();
    let card = everything_under(&["prlimit", "--as=200000000"]).card;
    let largest = card.points.iter().filter_map(|p| number(p, "working_set")).max().unwrap();
    assert!((8 << 20..=100_000_000).contains(&largest), "{largest}");
    if card.header.machine.last_cache_bytes().is_some_and(|b| b * 4 > 100_000_000) {
        let of = |probe: &str| card.skips.iter().find(|s| s.probe == probe);
        let skip = of("memory-latency").expect("a skip");
        assert!(skip.reason.contains("RLIMIT_AS"), "{skip:?}");
    }
}

/// What the run's own quota takes from it is not the host's noise.
#[test]
fn within_half_a_cpu_the_quota_is_named() {
    let _turn = alone();
    let v1 = ("cpu.cfs_quota_us", "50000");
    let Some(group) = Group::with("cpu", &[v1, ("cpu.max", "50000 100000")]) else { return };
    let run = Run::of(quick_under(&["sh", "-c", &group.enter(), "sh"], &["noise"]));
    assert!(run.card.throttled(|_| true).times > 0, "{:?}", run.card.rounds);
    let words: Vec<&str> = run.text().split_whitespace().collect();
    let words = words.join(" ");
    assert!(words.contains("own CPU quota of 0.5 CPU (cgroup cpu."), "{words}");
    assert!(!words.contains("or the hypervisor took it"), "{words}");
}

#[test]
fn without_huge_pages_every_figure_that_wants_them_is_labelled() {
    let _turn = alone();
    // Holds for this process and what it starts.
    nix::sys::prctl::set_thp_disable(true).unwrap();
    let run = everything_under(&["env"]);
    nix::sys::prctl::set_thp_disable(false).unwrap();
    let Run { card, metrics, .. } = &run;
    let labelled: BTreeSet<&str> = card
        .points
        .iter()
        .filter(|p| p.note.as_ref().is_some_and(|n| n.contains("small pages")))
        .map(|p| p.probe.as_str())
        .collect();
    assert!(labelled.contains("memory-latency"), "{labelled:?}");
    // Beside a very large cache, there is no time for them in a quick run.
    let measured = |probe: &str| card.points.iter().any(|p| p.probe == probe);
    for probe in ["tlb", "memory-bandwidth", "loaded-latency"] {
        assert!(labelled.contains(probe) || !measured(probe), "{probe}: {labelled:?}");
    }
    for point in card.points.iter().filter(|p| p.probe == "memory-latency") {
        let variant = point.params.get("variant").map(ToString::to_string);
        let small = variant.is_some_and(|v| ["random_4k", "page_local", "4k"].contains(&&*v));
        assert_eq!(point.note.is_none(), small, "{point:?}");
    }
    let dram = metrics.get("memory.latency.dram_ns").unwrap();
    let labelled = dram.reason.as_ref().is_some_and(|r| r.contains("small pages"));
    assert!(dram.state != State::Ok || labelled, "{dram:?}");
    let words: Vec<&str> = run.text().split_whitespace().collect();
    assert!(words.join(" ").contains("no 2 MiB pages"), "{}", run.text());
}
