//! What a probe is: constant data, and two functions that declare and measure.

use crate::harness::bench::Bench;
use crate::harness::need::Need;
use card::declare::{Declaration, Declare};

/// One measuring procedure: data, and a function that measures and records points.
pub struct Probe {
    /// Stable id: the file's name with dashes. Never renamed, never reused.
    pub name: &'static str,
    /// One line for `list` and the report.
    pub summary: &'static str,
    /// What must be there; an unmet need becomes a `skip` with reason and remedy.
    pub needs: &'static [Need],
    /// Metrics of other probes that working sets are chosen by; see [`Bench::known`].
    pub uses: &'static [&'static str],
    /// Seconds that one round deserves in the standard tier; the budget is shared in proportion.
    pub seconds: f64,
    /// Whether the kernel's own work is what it measures. Counters would be part of that work, since
    /// the kernel takes them along at every switch (26 to 32 % of a switch on a Zen 4 guest):
    /// there are none then, and switches and faults are those that the kernel counts anyway.
    pub in_kernel: bool,
    /// Declares what it records, and the metrics that come of it.
    pub declare: fn(&mut Declare),
    /// Measures one round.
    pub run: fn(&mut Bench<'_>) -> anyhow::Result<()>,
}

impl Probe {
    /// Whether it takes buffers that no cache holds.
    pub fn takes_memory(&self) -> bool {
        self.needs.iter().any(|need| matches!(need, Need::Memory(_)))
    }

    /// What the card's header says of this probe.
    pub fn declaration(&self) -> Declaration {
        let mut declare = Declare::new(self.name, self.summary);
        (self.declare)(&mut declare);
        declare.finish()
    }
}
