//! Peak arithmetic of all CPUs at once: the widest mix for a fixed time.

use std::time::Duration;

use super::{FLOATS, few_threads, others};
use crate::harness::bench::{Bench, params};
use crate::kernel::simd::{Chains, Op, Type, Width};
use crate::threads::windows::{self, Window, Worker};
use card::declare::{Declare, Estimator, NoiseClass, Unit};
use card::record::{Params, Point};

const QUANTITY: &str = "flop_together";

pub(super) fn declare(d: &mut Declare) {
    let flop = d.quantity(QUANTITY, Unit::Ns, Estimator::LowerQuartile);
    for of in FLOATS {
        d.metric(
            format!("simd.peak.{}_all_threads_gflops", of.name()),
            NoiseClass::T2,
            flop.with("type", of.name()).lowest().rate(1.0),
            format!("peak {} FLOP/s, all CPUs, widest mix", of.name()),
        );
    }
}

/// Of the round.
const SHARE: f64 = 0.08;

/// Windows of all CPUs together.
const WINDOWS: usize = 5;
/// Blocks between two looks at the time: some 10 µs.
const WORK: u64 = 200;

/// One CPU of all.
struct PeakWorker(Vec<Chains>);

impl Worker for PeakWorker {
    fn setup(&mut self, window: usize) {
        if window > 0 && window.is_multiple_of(WINDOWS) {
            self.0.remove(0);
        }
    }

    fn run_slice(&mut self) -> u64 {
        let chains = &mut self.0[0];
        chains.run(WORK);
        WORK * chains.flops()
    }

    fn verify(&mut self) -> Result<(), String> {
        self.0[0].check()
    }
}

/// Peak arithmetic of all CPUs at once.
pub(super) fn measure(bench: &mut Bench<'_>, widths: &[Width]) -> anyhow::Result<()> {
    let others = others(bench);
    // The widest mix that there is.
    let mix = |of: Type| {
        let mixes = widths.iter().rev().flat_map(|&w| [Op::FmaAdd, Op::MulAdd].map(|op| (w, op)));
        mixes.filter_map(|(w, op)| Some((w, Chains::new(w, op, of, Op::OWN_CHAINS)?))).next()
    };
    let length = bench.share(SHARE) / (2 * WINDOWS) as u32;
    let make_worker =
        |_| Ok(PeakWorker(FLOATS.into_iter().filter_map(|of| Some(mix(of)?.1)).collect()));
    let plan = (FLOATS.len() * WINDOWS, length.max(Duration::from_millis(2)));
    let seen = match windows::measure((bench.cpu, &others), &bench.timer, plan, make_worker) {
        Ok(seen) => seen,
        Err(reason) => {
            return few_threads(bench, "simd.peak.*_all_threads_gflops", reason);
        }
    };
    for (of, windows) in FLOATS.into_iter().zip(seen.chunks(WINDOWS)) {
        let wrong = Window::wrong(windows);
        bench.check(wrong.is_none(), || wrong.unwrap_or_default())?;
        let Some((width, _)) = mix(of) else { continue };
        let labels = params([
            ("type", of.name().into()),
            ("width", width.name().into()),
            ("threads", (others.len() as u64 + 1).into()),
        ]);
        let point = window_point(bench, labels, windows);
        bench.emit(point)?;
    }
    Ok(())
}

/// The point of some windows.
fn window_point(bench: &Bench<'_>, labels: Params, windows: &[Window]) -> Point {
    let (used, state, disturbances) = windows::undisturbed(windows);
    let samples = used.iter().map(|window| 1.0 / window.rate()).collect();
    let point = bench.point(QUANTITY, labels, Unit::Ns, samples, state);
    Point { disturbances, ..point }
}
