//! What a probe is: constant data, and two functions that declare and measure.

use crate::harness::bench::Bench;
use card::declare::{Declaration, Declare};
use card::machine::Machine;
use card::record::Skip;

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
    /// What the card's header says of this probe.
    pub fn declaration(&self) -> Declaration {
        let mut declare = Declare::new(self.name, self.summary);
        (self.declare)(&mut declare);
        declare.finish()
    }
}

/// Something a probe cannot do without.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Need {
    /// At least so many CPUs in the affinity mask.
    Cpus(usize),
    /// So many bytes of buffers within half of the memory limit.
    Memory(u64),
}

impl Need {
    /// `None` when the machine has it.
    pub fn unmet(self, machine: &Machine) -> Option<Skip> {
        match self {
            Need::Cpus(n) => {
                let have = machine.allowed_cpus().len();
                (have < n).then(|| {
                    Skip::new(
                        format!("{n} CPUs"),
                        format!("the affinity mask allows {have}"),
                        format!("give the process {n} CPUs (taskset, cpuset, --cpus)"),
                    )
                })
            }
            Need::Memory(bytes) => {
                let have = machine.buffer_limit();
                (have < bytes).then(|| {
                    Skip::new(
                        format!("{} MiB for buffers", bytes >> 20),
                        format!(
                            "half of the memory that may be used is {} MiB (limit set by {})",
                            have >> 20,
                            machine.memory_limit_source()
                        ),
                        "raise the memory limit of the container or free memory",
                    )
                })
            }
        }
    }
}
