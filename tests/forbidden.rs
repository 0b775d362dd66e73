//! The real program where the kernel refuses what it asks for: pinning and placing memory by a
//! seccomp filter, which belongs to a thread and is inherited by what it starts.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod common;
#[path = "common/filter.rs"]
mod filter;

use std::path::Path;
use std::process::{Command, Output};

use card::file::Card;
use common::{card_in, program};
use filter::forbid;

fn run(only: &str, out: &Path) -> (Output, Card) {
    let output = Command::new(program())
        .args(["--tier", "quick", "--only", only, "--out"])
        .arg(out)
        .output()
        .unwrap();
    let card = card_in(out).unwrap_or_else(|| panic!("no card: {output:?}"));
    (output, Card::read(&card).unwrap())
}

#[test]
fn without_permission_to_pin_it_measures_unpinned_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            forbid(libc::SYS_sched_setaffinity);
            let (output, card) = run("locks", dir.path());
            assert!(output.status.success(), "{output:?}");
            assert!(card.header.plan.cpu_reason.starts_with("not pinned"));
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(text.contains("not permitted"), "{text}");
            assert!(card.points.iter().any(|p| !p.samples.is_empty()));
        });
    });
}

#[test]
fn without_permission_to_place_memory_the_first_touch_places_it() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            forbid(libc::SYS_mbind);
            let (output, card) = run("numa", dir.path());
            assert!(output.status.success(), "{output:?}");
            assert!(card.fails.is_empty(), "{:?}", card.fails);
            // Where a node has no CPU that could touch its memory, a skip says so.
            let local = card.points.iter().filter(|p| {
                p.params.get("place").is_some_and(|place| place.to_string() == "local")
            });
            let notes: Vec<_> = local.filter_map(|p| p.note.as_deref()).collect();
            assert!(!notes.is_empty());
            for note in notes {
                assert!(note.contains("mbind: ") && note.contains("first touch"), "{note}");
            }
        });
    });
}

#[test]
fn without_permission_to_make_sockets_it_says_so() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            forbid(libc::SYS_socket);
            forbid(libc::SYS_socketpair);
            let output = Command::new(program())
                .args(["--tier", "quick", "--only", "network", "--only", "locks"])
                .args(["--peer", "127.0.0.1:9", "--out"])
                .arg(dir.path())
                .output()
                .unwrap();
            let card = Card::read(&card_in(dir.path()).unwrap()).unwrap();
            assert!(output.status.success() && card.fails.is_empty(), "{output:?}");
            let skips: Vec<_> = card.skips.iter().filter(|s| s.probe == "network").collect();
            for need in ["network.loopback_*", "network.peer_*"] {
                let skip = skips.iter().find(|s| s.need.contains(need)).unwrap();
                assert!(skip.reason.contains("Operation not permitted"), "{skip:?}");
            }
            assert!(card.points.iter().any(|p| p.probe == "locks" && !p.samples.is_empty()));
        });
    });
}
