//! What runs in the parent: which CPU, which counters, fresh processes for the rounds; and the
//! first and last steps of such a process.

use card::machine::Machine;

pub mod checkup;
pub mod child;
pub mod counter_support;
pub mod placement;
pub mod reserve;
pub mod rounds;

pub use crate::sys::thread::leave_real_time;

/// The machine that runs this; where /proc does not tell, the scheduler itself says which CPUs may be
/// used.
pub fn machine() -> Machine {
    let mut machine = Machine::detect();
    if machine.limits.affinity.known().is_none() {
        let cores = core_affinity::get_core_ids().unwrap_or_default();
        if !cores.is_empty() {
            machine.limits.allowed_cpus = cores.into_iter().map(|core| core.id).collect();
            machine.limits.allowed_cpus.sort_unstable();
        }
    }
    machine
}
