//! The probes of programs and threads where something is missing: a second CPU, CPU time, memory,
//! threads. What cannot be measured says so; everything else is.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use card::findings;
use card::machine::Machine;
use card::record::{Param, Params, Record, Skip};
use probecard_probes::harness::bench::Effort;
use probecard_probes::harness::clock::Timer;
use probecard_probes::run::child::Assignment;

use crate::common::first_cpu;
use crate::common::group::Group;
use crate::common::run::{Run, number, quick_under};
use crate::common::turn::alone;
use crate::common::user::{directory_for_everyone, is_root, program_in};

/// A short run of the three probes under a wrapper such as taskset or prlimit.
fn run_under(wrapper: &[&str]) -> Run {
    let _turn = alone();
    let run = Run::of(quick_under(wrapper, &["idioms", "scaling", "compress"]));
    run.answers_everything();
    run
}

fn threads(params: &Params) -> Option<i64> {
    match params.get("threads")? {
        Param::Int(threads) => Some(*threads),
        Param::Text(_) => None,
    }
}

#[test]
fn on_one_cpu_nothing_scales_and_all_else_is_measured() {
    let run = run_under(&["taskset", "-c", &first_cpu()]);
    let Run { card, metrics, .. } = &run;
    for id in ["scaling.compute_ratio", "scaling.message_ratio", "idioms.lock_around_io_ratio"] {
        run.lacks(id, "2 CPUs");
    }
    let others = |skip: &&Skip| !skip.need.contains("the last cache");
    assert!(card.skips.iter().filter(others).all(|skip| skip.remedy.contains("taskset")));
    let most = card.points.iter().filter_map(|p| number(p, "threads")).max();
    assert_eq!(most, Some(2), "twice as many threads as CPUs");
    for id in ["scaling.oversubscribed_ratio", "scaling.message_oversubscribed_ratio"] {
        run.measured(id);
    }
    let dearer = |id: &str| run.measured(id).is_none_or(|ratio| ratio > 1.0);
    assert!(dearer("idioms.write_unbuffered_ratio"));
    // Where caches are large, there is no time for data beyond them.
    match metrics.number("idioms.column_order_ratio") {
        Some(ratio) => assert!(ratio > 1.0, "{ratio}"),
        None => run.lacks("idioms.column_order_ratio", "are needed"),
    }
    assert!(dearer("compress.snappy_1k_ratio"));
}

#[test]
fn within_200_mb_what_is_beyond_the_caches_says_what_it_needs() {
    let run = run_under(&["prlimit", "--as=200000000"]);
    let Run { card, metrics, .. } = &run;
    // Whether they fit depends on the caches.
    for id in
        ["idioms.map_int_key_dram_ns", "idioms.map_string_key_dram_ns", "scaling.memory_ratio"]
    {
        let value = metrics.get(id).unwrap();
        let said = value.reason.as_ref().is_some_and(|r| r.contains("RLIMIT_AS"));
        assert!(value.value.is_some() || said, "{value:?}");
    }
    // A noisy machine has a number and a doubt; a limit is none.
    for id in ["idioms.map_int_key_ns", "idioms.alloc_64b_ns", "compress.snappy_64k_ns"] {
        run.measured(id);
    }
    let scaled =
        |kind: &str| card.points.iter().any(|p| p.params.get("kind") == Some(&Param::from(kind)));
    assert!(scaled("compute") && scaled("lock") && scaled("message"));
}

/// What a quota means for the counts is tested beside the probe, on machines that are made up.
#[test]
fn a_quota_of_cpu_time_is_named_and_kept() {
    // One and a half CPUs.
    let quota = [("cpu.cfs_quota_us", "150000"), ("cpu.max", "150000 100000")];
    let group = Group::with("cpu", &quota);
    let Some(group) = group.filter(|_| Machine::detect().allowed_cpus().len() > 1) else {
        return eprintln!("no control group can be made here");
    };
    let Run { card, metrics, .. } = run_under(&["sh", "-c", &group.enter(), "sh"]);
    let found = findings::find(&card, &metrics);
    let named =
        found.iter().map(findings::Finding::text).find(|text| text.contains("a quota of 1.5 CPUs"));
    let named = named.expect("a finding");
    assert!(named.contains("cgroup cpu.") && named.contains("2 threads"), "{named}");
    assert!(metrics.number("scaling.compute_ratio").is_some());
    let most = card.points.iter().filter_map(|p| number(p, "threads")).max();
    assert_eq!(most, Some(4), "twice as many threads as the quota lets run");
}

/// One round in a process of its own, as the run starts it, but under a wrapper.
fn round_under(wrapper: &[String], probe: &str, dir: &Path) -> Vec<Record> {
    let _turn = alone();
    let copy = program_in(dir);
    let machine = Machine::detect();
    let assignment = Assignment {
        parent: std::process::id(),
        probe: probe.into(),
        round: 0,
        seed: 1,
        cpu: machine.allowed_cpus()[0],
        pinned: true,
        tier: Effort::Quick,
        slice_s: 0.4,
        timer: Timer::CLOCK,
        machine,
        known: Default::default(),
        skips: Vec::new(),
        scratch: dir.into(),
        peer: None,
        counting: Default::default(),
    };
    let mut child = Command::new(&wrapper[0])
        .args(&wrapper[1..])
        .arg(copy)
        .arg("child")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&serde_json::to_vec(&assignment).unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

/// May start so many threads and processes, the first one counted. The limit does not hold for
/// root, who becomes a user that has no other processes.
fn at_most(tasks: usize) -> Vec<String> {
    let limit = ["prlimit".to_owned(), format!("--nproc={tasks}")];
    let user = format!("--reuid={}", 1_000_000 + std::process::id());
    let root = is_root();
    let become_user = ["setpriv".to_owned(), user, "--clear-groups".to_owned()];
    if root { [&become_user[..], &limit].concat() } else { limit.to_vec() }
}

#[test]
fn where_threads_are_limited_fewer_are_measured() {
    let dir = directory_for_everyone();
    let root = is_root();
    let cpus = Machine::detect().allowed_cpus().len() as i64;
    let alone = round_under(&at_most(1), "idioms", dir.path());
    let skips = |records: &[Record]| -> Vec<Skip> {
        let skip = |record: &Record| match record {
            Record::Skip(skip) => Some(skip.clone()),
            _ => None,
        };
        records.iter().filter_map(skip).collect()
    };
    let points = |records: &[Record], quantity: &str| -> Vec<Params> {
        let point = |record: &Record| match record {
            Record::Point(point) if point.quantity == quantity => Some(point.params.clone()),
            _ => None,
        };
        records.iter().filter_map(point).collect()
    };
    assert!(points(&alone, "io_lock").is_empty() && points(&alone, "alloc").len() == 5);
    // Beyond the caches there may be none.
    let maps = points(&alone, "map").len();
    let lacks = skips(&alone).iter().any(|s| s.names("idioms.map_int_key_dram_ns"));
    assert_eq!(maps, if lacks { 2 } else { 4 });
    if cpus > 1 {
        let named = |s: &Skip| s.names("idioms.lock_around_io_ratio");
        let skip = skips(&alone).into_iter().find(named).unwrap();
        assert!(skip.reason.contains("cannot be started"), "{skip:?}");
        assert!(skip.remedy.contains("ulimit -u"), "{skip:?}");
    }
    // Others may belong to a user who is not root.
    if root && cpus > 1 {
        let three = round_under(&at_most(3), "scaling", dir.path());
        let counts: Vec<i64> = points(&three, "time_per_op").iter().filter_map(threads).collect();
        assert!(counts.contains(&1) && counts.contains(&2), "{counts:?}");
        assert!(counts.iter().all(|threads| *threads <= 2), "{counts:?}");
        let said = skips(&three);
        let double = format!("{} threads", 2 * cpus);
        let told = |s: &Skip| s.need.starts_with(&double) && s.remedy.contains("ulimit -u");
        assert!(said.iter().any(told), "{said:?}");
    }
}
