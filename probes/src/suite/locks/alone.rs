//! Locks that no one else wants.

use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::AtomicU32;

use super::kinds::{Lock, Read, Spin};
use crate::harness::bench::{Arm, Bench, params};
use crate::harness::sampling::SamplingPlan;
use crate::kernel::line::add_atomically;

pub(super) fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let (mutex, read, spin) = (Mutex::default(), Read::default(), Spin::default());
    let atomic = AtomicU32::new(0);
    let done = [const { Cell::new(0) }; 4];
    let arms = vec![
        arm("mutex_uncontended", &mutex, &done[0]),
        arm("rwlock_read", &read, &done[3]),
        arm("spin_uncontended", &spin, &done[1]),
        Arm::new("atomic", params([]), |ops| {
            add_atomically(&atomic, ops);
            done[2].set(done[2].get() + ops);
        }),
    ];
    let policy = SamplingPlan { max_samples: 9, ..SamplingPlan::structural(bench.share(0.1)) };
    bench.interleave(arms, &policy)?;
    let counted = [mutex.counted(), spin.counted()];
    for (counted, done) in counted.into_iter().zip(&done) {
        let done = done.get();
        bench.check(counted == Some(done), || format!("{done} under a lock gave {counted:?}"))?;
    }
    let (counted, done) = (atomic.into_inner(), done[2].get());
    bench.check(counted == done as u32, || format!("{done} atomic additions gave {counted}"))
}

fn arm<'a>(quantity: &'static str, lock: &'a impl Lock, done: &'a Cell<u64>) -> Arm<'a> {
    Arm::new(quantity, params([]), |ops| {
        (0..ops).for_each(|_| lock.with(|| ()));
        done.set(done.get() + ops);
    })
}
