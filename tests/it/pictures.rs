//! Pictures find their points by the names of quantities and settings, and are left out where there
//! are none: each must be there wherever its probe has measured.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use card::file::Card;
use card::metrics;
use probecard_probes::catalog;

use crate::common::run::measured_once;
use crate::common::turn::beside_others;
use crate::common::{program, recorded_card};

/// Pictures with a metric that comes of what they draw.
const PICTURES: [(&str, &str); 9] = [
    ("ladder", "locks.mutex_uncontended_ns"),
    ("staircase", "memory.latency.l1_ns"),
    ("noise", "noise.gap_ratio"),
    ("bandwidth", "memory.bandwidth.read.l1_gbs"),
    ("tlb", "tlb.l1_entries"),
    ("parallelism", "memory.parallelism.dram_misses"),
    ("core_to_core", "core_to_core.median_ns"),
    ("branch", "branch.btb_l1_entries"),
    ("switches", "context_switch.pipe.thread.same_cpu.round_trip_ns"),
];

/// Pictures that only some machines have data for, and which are a table elsewhere or, of advice that
/// never pays, a word.
const SOMETIMES: [(&str, &str); 4] = [
    ("loaded_latency", "memory.loaded_latency.idle_ns"),
    ("numa", "numa.local_ns"),
    ("scaling", "scaling.compute_ratio"),
    ("idioms", "idioms.write_unbuffered_ratio"),
];

/// Tables of the page with a metric that stands in them.
const TABLES: [(&str, &str); 10] = [
    ("levels", "memory.latency.l1_ns"),
    ("structures", "core.reorder_window_entries"),
    ("store_forwarding", "store_forward.fail_cycles"),
    ("vectors", "simd.add.f32.scalar.latency_cycles"),
    ("speed_up", "simd.sum.naive.l1_ratio"),
    ("clock", "clock.core_ghz"),
    ("false_sharing", "false_sharing.slowdown_ratio"),
    ("switch_ring", "context_switch.ring_0k_ns"),
    ("prices", "os.syscall_ns"),
    ("storage", "storage.read_4k_random_ns"),
];

/// Each picture that the card has a metric of lies in the directory of its page.
fn has_its_pictures(card: &Path, dir: &Path) -> usize {
    let metrics = metrics::evaluate(&Card::read(card).unwrap());
    let measured = |id: &str| metrics.get(id).is_some_and(|value| value.value.is_some());
    let expected = PICTURES.iter().filter(|(_, id)| measured(id));
    for (name, id) in expected.clone() {
        for ending in ["svg", "png"] {
            let file = dir.join(format!("{name}.{ending}"));
            assert!(file.exists(), "{}: {id} was measured, but is not drawn", file.display());
        }
    }
    let page = fs::read_to_string(dir.join("report.html")).unwrap();
    let on_page = |name: &str| {
        let ids = [format!(" id=\"{name}\""), format!(" id=\"table-{name}\"")];
        ids.iter().any(|id| page.contains(id))
    };
    for (name, id) in TABLES.into_iter().chain(SOMETIMES).filter(|(_, id)| measured(id)) {
        assert!(on_page(name), "{id} was measured, but {name} is not on the page");
    }
    assert!(dir.join("card.png").exists());
    expected.count()
}

#[test]
fn a_run_on_this_machine_has_every_picture_of_what_it_measured() {
    let run = measured_once();
    has_its_pictures(&run.path, run.path.parent().unwrap());
}

#[test]
fn a_card_of_another_machine_has_every_picture_of_what_it_measured() {
    for (name, at_least) in [("x86_64", PICTURES.len()), ("aarch64", 3)] {
        let _turn = beside_others();
        let card = recorded_card(name);
        let dir = tempfile::tempdir().unwrap();
        let output = Command::new(program())
            .arg("report")
            .arg(&card)
            .arg("--out")
            .arg(dir.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let drawn = has_its_pictures(&card, dir.path());
        assert!(drawn >= at_least, "{drawn} pictures of {name}");
        let drawn = PICTURES.iter().chain(&SOMETIMES).map(|(picture, _)| *picture);
        let known: BTreeSet<&str> = drawn.chain(["report", "card"]).collect();
        for file in fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()) {
            let stem = file.file_stem().unwrap().to_str().unwrap();
            assert!(known.contains(stem), "{stem} is missing in the lists above");
        }
    }
}

#[test]
fn the_metrics_of_the_list_are_those_of_a_probe() {
    let declared: Vec<_> = catalog::ALL.iter().flat_map(|p| p.declaration().metrics).collect();
    for (picture, id) in PICTURES.into_iter().chain(SOMETIMES).chain(TABLES) {
        assert!(declared.iter().any(|metric| metric.id == id), "{picture}: {id}");
    }
}
