//! What Criterion measures here: cycles of the core.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use card::counters::{Counting, Event};
use card::estimate::median;
use card::machine::Machine;
use criterion::Throughput;
use criterion::measurement::{Measurement, ValueFormatter};
use probecard_probes::harness::clock::{ClockReading, CoreClock};
use probecard_probes::harness::counters::Session;
use probecard_probes::run::{counter_support, placement};
use probecard_probes::threads::pinning;

/// Cycles by the core's own counter where it can be trusted, else time × the core clock around it.
#[derive(Clone)]
pub(crate) struct Cycles {
    clock: CoreClock,
    counter: Rc<RefCell<Session>>,
    /// Whether something else was at work on the core before or after the last measurement.
    disturbed: Rc<Cell<bool>>,
    /// Until when a bench waits for a core of its own.
    patience: Rc<Cell<Instant>>,
}

/// The beginning of a measurement.
pub(crate) struct Begun {
    clock: ClockReading,
    stamp: u64,
}

/// Readings of the clock on each side of a measurement, of which the median counts: an interrupt
/// spoils one.
const READINGS: usize = 5;

/// How long a bench waits for a core of its own, its own time included.
const PATIENCE: Duration = Duration::from_secs(20);

/// Between two looks at a busy core: it stays so for 0.3 s to seconds.
const PAUSE: Duration = Duration::from_millis(10);

impl Cycles {
    /// Goes to the quietest CPU, tries its counters, and says what cycles will come from.
    pub(crate) fn on_quietest_cpu(machine: &Machine) -> Cycles {
        let timer = placement::timer(machine);
        pinning::pin(placement::choose(machine, &timer).cpu);
        let survey = counter_support::take(machine, None);
        match survey.missing.iter().find(|missing| missing.event == Event::CoreCycles) {
            None => eprintln!("cycles are counted"),
            Some(missing) => {
                eprintln!("cycles are time × core clock: no counter ({})", missing.reason);
            }
        }
        let Counting { mut events, direct } = survey.counting;
        events.retain(|wanted| wanted.event == Event::CoreCycles);
        let counter = Session::open(&Counting { events, direct });
        Cycles {
            clock: CoreClock::learn(timer),
            counter: Rc::new(RefCell::new(counter)),
            disturbed: Rc::default(),
            patience: Rc::new(Cell::new(Instant::now())),
        }
    }

    /// A bench begins.
    pub(crate) fn be_patient(&self) {
        self.patience.set(Instant::now() + PATIENCE);
    }

    /// Measures again while a hyperthread sibling is at work, or another guest in its place, and
    /// patience lasts: Criterion turns no sample away.
    pub(crate) fn alone(&self, mut measure: impl FnMut() -> f64) -> f64 {
        loop {
            let cycles = measure();
            if !self.disturbed.get() || Instant::now() >= self.patience.get() {
                return cycles;
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Cycles that this work takes.
    pub(crate) fn of<T>(&self, work: impl FnOnce() -> T) -> f64 {
        let begun = self.start();
        std::hint::black_box(work());
        self.end(begun)
    }

    fn reading(&self) -> ClockReading {
        let readings = [(); READINGS].map(|()| self.clock.read());
        let middle = |of: fn(&ClockReading) -> f64| {
            median(&readings.iter().map(of).collect::<Vec<_>>()).unwrap_or(f64::NAN)
        };
        ClockReading {
            core_ghz: middle(|reading| reading.core_ghz),
            sibling_delay_cycles: middle(|reading| reading.sibling_delay_cycles),
        }
    }
}

impl Measurement for Cycles {
    type Intermediate = Begun;
    type Value = f64;

    fn start(&self) -> Begun {
        let clock = self.reading();
        self.counter.borrow_mut().begin();
        Begun { clock, stamp: self.clock.timer.stamp() }
    }

    fn end(&self, begun: Begun) -> f64 {
        let stamp = self.clock.timer.stamp();
        let counts = self.counter.borrow_mut().end();
        let clock = self.reading();
        self.disturbed.set(begun.clock.is_busy() || clock.is_busy());
        match counts.get(&Event::CoreCycles) {
            Some(&cycles) => cycles as f64,
            None => {
                self.clock.timer.ns_between(begun.stamp, stamp)
                    * begun.clock.core_ghz.midpoint(clock.core_ghz)
            }
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
