//! What a probe declares: constant data plus one function.
//!
//! The declarations of every probe travel in the header of the card, so that whoever reads a
//! card (report, check, fleet) needs to know no probe by name. In particular each [`Metric`]
//! says in [`Derive`] how it is computed from the points of the card.

use std::borrow::Cow;
use std::io;

use serde::{Deserialize, Serialize};

use crate::harness::bench::Bench;
use card::declare::{Declaration, Metric, Proof};
use card::machine::Machine;

/// Text that is constant in the program and owned when it was read from a card.
pub type Text = Cow<'static, str>;

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
    /// The scalars that are derived from this probe's points.
    pub metrics: &'static [Metric],
    /// What counters must say if those are what they are called.
    pub proofs: &'static [Proof],
    /// Whether the kernel's own work is what it measures. Counters would be part of that work, since
    /// the kernel takes them along at every switch (26 to 32 % of a switch on a Zen 4 guest):
    /// there are none then, and switches and faults are those that the kernel counts anyway.
    pub in_kernel: bool,
    /// Measures one round.
    pub run: fn(&mut Bench<'_>) -> anyhow::Result<()>,
}

impl Probe {
    /// What the card's header says of this probe.
    pub fn declaration(&self) -> Declaration {
        Declaration {
            probe: Cow::Borrowed(self.name),
            summary: Cow::Borrowed(self.summary),
            metrics: Cow::Borrowed(self.metrics),
            proofs: Cow::Borrowed(self.proofs),
        }
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

/// Why a probe cannot run here, and what would help.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unmet {
    /// The need, in words: "2 CPUs".
    pub need: String,
    /// What is there instead.
    pub reason: String,
    /// What the reader can do.
    pub remedy: String,
}

impl Unmet {
    /// What the reader can do about an error of the kernel.
    pub fn remedy_for(error: &io::Error) -> &'static str {
        match error.raw_os_error() {
            Some(libc::EPERM | libc::ENOSYS) => "allow it in the seccomp profile",
            Some(libc::EAGAIN) => {
                "raise the limits on processes and threads (ulimit -u, pids.max), or on memory, which \
                 a thread's stack needs too (ulimit -v)"
            }
            Some(libc::EMFILE | libc::ENFILE) => "raise the limit on open files (ulimit -n)",
            Some(libc::EFBIG) => "raise the limit on the size of files (ulimit -f)",
            Some(libc::EACCES) => "let this user read and execute it",
            _ if error.kind() == io::ErrorKind::OutOfMemory => {
                "raise the limits on memory (ulimit -v, memory.max)"
            }
            _ => "see what the error says",
        }
    }
}

impl Need {
    /// `None` when the machine has it.
    pub fn unmet(self, machine: &Machine) -> Option<Unmet> {
        match self {
            Need::Cpus(n) => {
                let have = machine.allowed_cpus().len();
                (have < n).then(|| Unmet {
                    need: format!("{n} CPUs"),
                    reason: format!("the affinity mask allows {have}"),
                    remedy: format!("give the process {n} CPUs (taskset, cpuset, --cpus)"),
                })
            }
            Need::Memory(bytes) => {
                let have = machine.buffer_limit();
                (have < bytes).then(|| Unmet {
                    need: format!("{} MiB for buffers", bytes >> 20),
                    reason: format!(
                        "half of the memory that may be used is {} MiB (limit set by {})",
                        have >> 20,
                        machine.memory_limit_source()
                    ),
                    remedy: "raise the memory limit of the container or free memory".into(),
                })
            }
        }
    }
}
