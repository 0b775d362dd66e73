//! What a probe cannot do without.

use card::machine::Machine;
use card::record::Skip;

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
                            "{} MiB may be used ({})",
                            have >> 20,
                            machine.buffer_limit_reason()
                        ),
                        "raise the memory limit of the container or free memory",
                    )
                })
            }
        }
    }
}
