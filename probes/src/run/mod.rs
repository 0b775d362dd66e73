//! What runs in the parent: which CPU, which counters, fresh processes for the rounds; and the
//! first and last steps of such a process.

use card::machine::{Fact, Machine, MemoryBound};

use crate::sys::system;

pub mod checkup;
pub mod child;
pub mod counter_support;
pub mod placement;
pub mod reserve;
pub mod rounds;

pub use crate::sys::thread::leave_real_time;

/// The machine that runs this; what /proc does not tell (`ProcSubset=pid` hides most of it), system
/// calls do as far as there are any.
pub fn machine() -> Machine {
    let mut machine = Machine::detect();
    if machine.limits.affinity.known().is_none() {
        let cores = core_affinity::get_core_ids().unwrap_or_default();
        if !cores.is_empty() {
            machine.limits.allowed_cpus = cores.into_iter().map(|core| core.id).collect();
            machine.limits.allowed_cpus.sort_unstable();
        }
    }
    ask_the_kernel(&mut machine);
    if let Some(nodes) = system::bound_nodes() {
        machine.bind_memory(&nodes);
    }
    machine
}

fn ask_the_kernel(machine: &mut Machine) {
    if let Some(names) = system::names() {
        or(&mut machine.host.name, Some(names.host));
        or(&mut machine.kernel.release, Some(names.release));
        or(&mut machine.kernel.version, Some(names.version));
    }
    or(&mut machine.memory.page_bytes, system::page_bytes());
    let Some(room) = system::room() else {
        return;
    };
    or(&mut machine.memory.total_bytes, Some(room.total));
    or(&mut machine.memory.swap_bytes, Some(room.swap));
    if machine.memory.available_bytes.known().is_some() {
        return;
    }
    // The nodes know what of the cache of files can be had, too; their sum is among the bounds.
    let nodes = machine.numa_nodes().iter();
    let by_nodes: Option<u64> = nodes.map(|node| node.available_bytes.known().copied()).sum();
    let by_nodes = by_nodes.filter(|&bytes| bytes > 0);
    if by_nodes.is_none() {
        let (limit_bytes, available_bytes) = (room.total, room.free);
        let bound = MemoryBound { source: "sysinfo(2)".into(), limit_bytes, available_bytes };
        machine.limits.memory.push(bound);
        machine.limits.memory.sort_by_key(|bound| bound.available_bytes);
    }
    or(&mut machine.memory.available_bytes, by_nodes.or(Some(room.free)));
}

/// The call's word where the files have none.
fn or<T>(fact: &mut Fact<T>, call: Option<T>) {
    if let (Fact::Unknown { .. }, Some(value)) = (&*fact, call) {
        *fact = Fact::Known(value);
    }
}
