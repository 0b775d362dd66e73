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
const PICTURES: [(&str, &str); 25] = [
    ("ladder", "locks.mutex_uncontended_ns"),
    ("staircase", "memory.latency.l1_ns"),
    ("bandwidth", "memory.bandwidth.read.l1_gbs"),
    ("bytes_per_cycle", "memory.bandwidth.read.l1_bytes_per_cycle"),
    ("loaded_latency", "memory.loaded_latency.idle_ns"),
    ("parallelism", "memory.parallelism.dram_misses"),
    ("tlb", "tlb.l1_entries"),
    ("store_forwarding", "store_forward.fail_cycles"),
    ("numa", "numa.remote_ns"),
    ("false_sharing", "false_sharing.slowdown_ratio"),
    ("core_to_core", "core_to_core.median_ns"),
    ("branch_history", "branch.learnable_entries"),
    ("branch_targets", "branch.btb_l1_entries"),
    ("core_window", "core.reorder_window_entries"),
    ("switches", "context_switch.pipe.thread.same_cpu.round_trip_ns"),
    ("switch_ring", "context_switch.ring_0k_ns"),
    ("vectors", "simd.peak.f32_fma_flops_per_cycle"),
    ("speed_up", "simd.sum.naive.l1_ratio"),
    ("locks", "locks.mutex_uncontended_ns"),
    ("os", "os.syscall_ns"),
    ("storage", "storage.read_4k_random_ns"),
    ("idioms", "idioms.write_unbuffered_ratio"),
    ("scaling", "scaling.compute_ratio"),
    ("clock", "clock.core_ghz"),
    ("noise", "noise.gap_ratio"),
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
    expected.count()
}

#[test]
fn a_run_on_this_machine_has_every_picture_of_what_it_measured() {
    let run = measured_once();
    has_its_pictures(&run.path, run.path.parent().unwrap());
}

#[test]
fn a_card_of_another_machine_has_every_picture_of_what_it_measured() {
    for (name, at_least) in [("x86_64", PICTURES.len() - 1), ("aarch64", 7)] {
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
        // The other one has one memory node, and nothing to be drawn of several.
        let drawn = has_its_pictures(&card, dir.path());
        assert!(drawn >= at_least, "{drawn} pictures of {name}");
        let known: BTreeSet<&str> = PICTURES.iter().map(|(picture, _)| *picture).collect();
        for file in fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()) {
            let stem = file.file_stem().unwrap().to_str().unwrap();
            assert!(
                stem == "report" || known.contains(stem),
                "{stem} is missing in the list above"
            );
        }
    }
}

#[test]
fn the_metrics_of_the_list_are_those_of_a_probe() {
    let declared: Vec<_> = catalog::ALL.iter().flat_map(|p| p.declaration().metrics).collect();
    for (picture, id) in PICTURES {
        assert!(declared.iter().any(|metric| metric.id == id), "{picture}: {id}");
    }
}
