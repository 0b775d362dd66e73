//! What system calls tell of the machine, for when /proc does not.

use std::ffi::{CStr, c_char};
use std::mem::MaybeUninit;

/// What uname(2) says.
#[derive(Clone, Debug, PartialEq)]
pub struct Names {
    /// The host's name.
    pub host: String,
    /// "6.18.44".
    pub release: String,
    /// "#1 SMP PREEMPT_DYNAMIC …".
    pub version: String,
}

/// Names of host and kernel; `None` where the call is not permitted.
pub fn names() -> Option<Names> {
    let mut names = MaybeUninit::<libc::utsname>::zeroed();
    // SAFETY: the pointer is to a whole structure.
    let done = unsafe { libc::uname(names.as_mut_ptr()) } == 0;
    // SAFETY: all-zero bytes are a valid utsname, so it is initialised in any case.
    let names = unsafe { names.assume_init() };
    done.then(|| Names {
        host: text(&names.nodename),
        release: text(&names.release),
        version: text(&names.version),
    })
}

fn text(field: &[c_char]) -> String {
    let bytes: Vec<u8> = field.iter().flat_map(|&c| c.to_ne_bytes()).collect();
    let text = CStr::from_bytes_until_nul(&bytes).unwrap_or_default();
    text.to_string_lossy().into_owned()
}

/// What sysinfo(2) says of memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Room {
    /// All that the kernel manages.
    pub total: u64,
    /// What is free or buffers. It is less than can be had: the cache of files is not in it.
    pub free: u64,
    /// Swap space.
    pub swap: u64,
}

/// Memory of the machine; `None` where the call is not permitted.
pub fn room() -> Option<Room> {
    let mut info = MaybeUninit::<libc::sysinfo>::zeroed();
    // SAFETY: the pointer is to a whole structure.
    let done = unsafe { libc::sysinfo(info.as_mut_ptr()) } == 0;
    // SAFETY: all-zero bytes are a valid sysinfo, so it is initialised in any case.
    let info = unsafe { info.assume_init() };
    let bytes = |units: libc::c_ulong| units.saturating_mul(info.mem_unit.into());
    done.then(|| Room {
        total: bytes(info.totalram),
        free: bytes(info.freeram.saturating_add(info.bufferram)),
        swap: bytes(info.totalswap),
    })
}

/// Size of the ordinary page.
pub fn page_bytes() -> Option<u64> {
    // SAFETY: takes a number and touches no memory of ours.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(bytes).ok().filter(|&bytes| bytes > 0)
}

/// Nodes that have room in a mask of the kernel's.
const MOST_NODES: usize = 1024;

/// The nodes that memory must come from by this thread's memory policy (`numactl --membind`); `None`
/// where there is no such policy.
pub fn bound_nodes() -> Option<Vec<usize>> {
    let mut mode: libc::c_int = 0;
    let mut mask = [0_u64; MOST_NODES / 64];
    // SAFETY: the pointers are to an int and to as many bits as are said; no address is asked about.
    let done = unsafe {
        libc::syscall(
            libc::SYS_get_mempolicy,
            &raw mut mode,
            mask.as_mut_ptr(),
            MOST_NODES,
            0_usize,
            0_usize,
        )
    };
    // Flags are in the upper bits.
    (done == 0 && mode & 0xff == libc::MPOL_BIND).then_some(())?;
    Some((0..MOST_NODES).filter(|node| mask[node / 64] >> (node % 64) & 1 == 1).collect())
}

#[cfg(test)]
mod tests {
    use card::machine::Machine;

    use super::*;

    #[test]
    fn a_memory_policy_is_seen_by_the_thread_that_has_it() {
        std::thread::spawn(|| {
            assert_eq!(bound_nodes(), None);
            let node = 1_u64;
            // SAFETY: the mask is one word; the policy is that of this thread, which ends here.
            let done = unsafe {
                libc::syscall(libc::SYS_set_mempolicy, libc::MPOL_BIND, &raw const node, 64_usize)
            };
            // A kernel without NUMA, and some filters, have no such call.
            assert!(done != 0 || bound_nodes() == Some(vec![0]));
        })
        .join()
        .unwrap();
    }

    #[test]
    fn calls_say_what_the_files_do() {
        let machine = Machine::detect();
        let names = names().unwrap();
        let told = [&machine.host.name, &machine.kernel.release, &machine.kernel.version];
        for (file, call) in told.iter().zip([&names.host, &names.release, &names.version]) {
            assert!(file.known().is_none_or(|file| file == call), "{file:?} {call:?}");
        }
        let room = room().unwrap();
        let memory = &machine.memory;
        assert!(memory.total_bytes.known().is_none_or(|&total| total == room.total), "{room:?}");
        assert!(memory.swap_bytes.known().is_none_or(|&swap| swap == room.swap), "{room:?}");
        assert!((1..=room.total).contains(&room.free), "{room:?}");
        assert!(memory.page_bytes.known().copied().is_none_or(|page| Some(page) == page_bytes()));
    }
}
