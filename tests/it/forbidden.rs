//! The real program where the kernel refuses what it asks for: pinning, placing memory, sockets.

use std::process::Command;

use seccompiler::SeccompAction;

use crate::common::filter::{EPERM, always, behind, refuse};
use crate::common::program;
use crate::common::run::{Run, quick};
use crate::common::turn::beside_others;

/// A quick run of these probes to which these calls are refused.
fn without(calls: &[i64], probes: &[&str], args: &[&str]) -> Run {
    let _turn = beside_others();
    let mut command = quick(probes);
    command.args(args);
    let filter = refuse(EPERM, calls.iter().copied().map(always));
    behind(&[filter], || Run::of(command))
}

#[test]
fn without_permission_to_pin_it_measures_unpinned_and_says_so() {
    // Beside a busy hyperthread sibling, no lock is measured; system calls and faults are.
    let run = without(&[libc::SYS_sched_setaffinity], &["locks", "os"], &[]);
    assert!(!run.card.header.plan.pinned);
    assert!(run.text().contains("not permitted"), "{}", run.text());
    assert!(run.card.points.iter().any(|p| !p.samples.is_empty()));
}

/// Some sandboxes answer that it is done, and do nothing.
#[test]
fn where_pinning_has_no_effect_it_says_so_and_measures_nothing_between_cpus() {
    let _turn = beside_others();
    let filter = refuse(SeccompAction::Errno(0), [always(libc::SYS_sched_setaffinity)]);
    let probes = ["core-to-core", "false-sharing", "cache-line"];
    let (run, doctor) = behind(&[filter], || {
        let doctor = Command::new(program()).arg("doctor").output().unwrap();
        let doctor = String::from_utf8(doctor.stdout).unwrap();
        (Run::of(quick(&probes)), doctor.split_whitespace().collect::<Vec<_>>().join(" "))
    });
    let plan = &run.card.header.plan;
    assert!(!plan.pinned && plan.cpu_reason.starts_with("not pinned: "), "{plan:?}");
    assert!(doctor.contains("not pinned: sched_setaffinity succeeds without effect"), "{doctor}");
    if run.card.header.machine.allowed_cpus().len() > 1 {
        for id in ["core_to_core.median_ns", "false_sharing.step_bytes"] {
            run.lacks(id, "succeeds without effect");
        }
    }
    let between = ["one_way", "time_per_op", "coherence"];
    assert_eq!(between.map(|quantity| run.points(quantity).count()), [0; 3]);
    assert!(run.points("split_load").count() > 0);
}

#[test]
fn without_permission_to_place_memory_the_first_touch_places_it() {
    let run = without(&[libc::SYS_mbind], &["numa"], &[]);
    // Where a node has no CPU that could touch its memory, a skip says so.
    let local = run
        .card
        .points
        .iter()
        .filter(|p| p.params.get("place").is_some_and(|place| place.to_string() == "local"));
    let notes: Vec<_> = local.filter_map(|p| p.note.as_deref()).collect();
    assert!(!notes.is_empty());
    for note in notes {
        assert!(note.contains("mbind: ") && note.contains("first touch"), "{note}");
    }
}

#[test]
fn without_permission_to_make_sockets_it_says_so() {
    let calls = [libc::SYS_socket, libc::SYS_socketpair];
    let run = without(&calls, &["network", "locks"], &["--peer", "127.0.0.1:9"]);
    let skips: Vec<_> = run.card.skips.iter().filter(|s| s.probe == "network").collect();
    for id in ["network.loopback_connect_ns", "network.peer_round_trip_ns"] {
        let skip = skips.iter().find(|s| s.names(id)).unwrap();
        assert!(skip.reason.contains("Operation not permitted"), "{skip:?}");
    }
    assert!(run.card.points.iter().any(|p| p.probe == "locks" && !p.samples.is_empty()));
}
