//! All CPUs at one counter.

use std::sync::atomic::AtomicU32;
use std::time::Duration;

use crate::harness::bench::{Bench, params};
use crate::kernel::line::add_atomically;
use crate::threads::cpus;
use crate::threads::windows::{self, Worker};
use card::declare::Unit;
use card::record::Point;

/// One of many that add to the same counter.
struct Adder<'a> {
    counter: &'a AtomicU32,
    slice: u64,
}

impl Worker for Adder<'_> {
    fn setup(&mut self, _: usize) {}

    fn run_slice(&mut self) -> u64 {
        add_atomically(self.counter, self.slice);
        self.slice
    }

    fn verify(&mut self) -> Result<(), String> {
        Ok(())
    }
}

/// Powers of two of CPUs, and all of them, at one counter.
pub(super) fn run(bench: &mut Bench<'_>, cpus: &[usize]) -> anyhow::Result<()> {
    const WINDOWS: usize = 5;
    const WINDOW: Duration = Duration::from_millis(2);
    let mut others = cpus::others(bench, cpus);
    bench.rng.shuffle(&mut others);
    for threads in cpus::thread_counts(cpus.len()) {
        let counter = AtomicU32::new(0);
        // So short that even the slowest has many of them within a window.
        let slice = (1000 / threads as u64).max(1);
        let make_worker = |_| Ok(Adder { counter: &counter, slice });
        let team = (bench.cpu, &others[..threads - 1]);
        let windows = match windows::measure(team, &bench.timer, (WINDOWS, WINDOW), make_worker) {
            Ok(windows) => windows,
            Err(reason) => return bench.skip(cpus::few_threads(threads, reason)),
        };
        let added: u64 = windows.iter().flat_map(|w| &w.0).map(|share| share.amount).sum();
        let counted = counter.into_inner();
        bench.check(counted == added as u32, || {
            format!("{added} atomic additions by {threads} CPUs gave {counted}")
        })?;
        let (kept, state, disturbances) = windows::undisturbed(&windows);
        let times = kept.iter().map(|window| 1.0 / window.rate()).collect();
        let mut labels = params([("threads", (threads as u64).into())]);
        if threads == cpus.len() {
            labels.insert("cpus".into(), "all".into());
            let even = kept.iter().map(|window| window.least_share()).collect();
            let point = bench.point("fairness", params([]), Unit::Ratio, even, state);
            bench.emit(Point { disturbances, ..point })?;
        }
        let point = bench.point("contended", labels, Unit::Ns, times, state);
        bench.emit(Point { disturbances, ..point })?;
    }
    Ok(())
}
