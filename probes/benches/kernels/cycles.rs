//! What Criterion measures here: cycles of the core.

use std::cell::RefCell;
use std::rc::Rc;

use criterion::Throughput;
use criterion::measurement::{Measurement, ValueFormatter};
use probecard_probes::harness::clock::{self, Timer};
use probecard_probes::harness::counters::{Counting, Event, Session, Survey};
use probecard_probes::harness::placement;
use probecard_probes::machine::Machine;
use probecard_probes::quantile::median;

/// Cycles by the core's own counter where it can be trusted, else time × the core clock around it.
#[derive(Clone)]
pub(crate) struct Cycles {
    timer: Timer,
    counter: Rc<RefCell<Session>>,
}

/// The beginning of a measurement.
pub(crate) struct Begun {
    ghz: f64,
    stamp: u64,
}

/// Readings of the clock on each side of a measurement, of which the median counts: an interrupt
/// spoils one.
const READINGS: usize = 5;

impl Cycles {
    /// Goes to the quietest CPU, tries its counters, and says what cycles will come from.
    pub(crate) fn on_quietest_cpu(machine: &Machine) -> Cycles {
        let timer = placement::timer(machine);
        placement::pin(placement::choose(machine.allowed_cpus(), &timer).cpu);
        let survey = Survey::take(machine, None);
        match survey.missing.iter().find(|missing| missing.event == Event::CoreCycles) {
            None => eprintln!("cycles are counted"),
            Some(missing) => {
                eprintln!("cycles are time × core clock: no counter ({})", missing.reason);
            }
        }
        let Counting { mut events, direct } = survey.counting;
        events.retain(|wanted| wanted.event == Event::CoreCycles);
        let counter = Session::open(&Counting { events, direct });
        Cycles { timer, counter: Rc::new(RefCell::new(counter)) }
    }

    /// Cycles that this work takes.
    pub(crate) fn of<T>(&self, work: impl FnOnce() -> T) -> f64 {
        let begun = self.start();
        std::hint::black_box(work());
        self.end(begun)
    }

    fn ghz(&self) -> f64 {
        let readings = [(); READINGS].map(|()| clock::bracket(&self.timer).ghz);
        median(&readings).unwrap_or(f64::NAN)
    }
}

impl Measurement for Cycles {
    type Intermediate = Begun;
    type Value = f64;

    fn start(&self) -> Begun {
        let ghz = self.ghz();
        self.counter.borrow_mut().begin();
        Begun { ghz, stamp: self.timer.stamp() }
    }

    fn end(&self, begun: Begun) -> f64 {
        let stamp = self.timer.stamp();
        let counts = self.counter.borrow_mut().end();
        match counts.get(&Event::CoreCycles) {
            Some(&cycles) => cycles as f64,
            None => self.timer.ns_between(begun.stamp, stamp) * begun.ghz.midpoint(self.ghz()),
        }
    }

    fn add(&self, a: &f64, b: &f64) -> f64 {
        a + b
    }

    fn zero(&self) -> f64 {
        0.0
    }

    fn to_f64(&self, cycles: &f64) -> f64 {
        *cycles
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        &PerOperation
    }
}

/// One iteration of Criterion's is one operation of the kernel.
struct PerOperation;

impl ValueFormatter for PerOperation {
    fn scale_values(&self, _: f64, _: &mut [f64]) -> &'static str {
        "cycles/op"
    }

    fn scale_throughputs(
        &self,
        _: f64,
        throughput: &Throughput,
        values: &mut [f64],
    ) -> &'static str {
        let (each, unit) = match *throughput {
            Throughput::Bytes(n) | Throughput::BytesDecimal(n) => (n, "bytes/cycle"),
            Throughput::Bits(n) => (n, "bits/cycle"),
            Throughput::Elements(n) => (n, "elements/cycle"),
            Throughput::ElementsAndBytes { elements, .. } => (elements, "elements/cycle"),
        };
        values.iter_mut().for_each(|cycles| *cycles = each as f64 / *cycles);
        unit
    }

    fn scale_for_machines(&self, _: &mut [f64]) -> &'static str {
        "cycles"
    }
}
