//! Memory for machine code that was made at run time: written first, executable afterwards, never
//! both.

use std::io;

use super::memory::{Buffer, MOST_ADDED, Pages};

/// From this size on small pages would cost misses of the instruction TLB that are not the question.
const LARGE: usize = 64 << 10;

/// Lets instruction fetches see what was stored: on x86_64 they always do.
#[cfg(target_arch = "x86_64")]
fn publish(_: &[u8]) {}

/// Lets instruction fetches see what was stored: out of the data caches, then away with what the
/// instruction caches had instead. The lines are as long as CTR_EL0 says.
#[cfg(target_arch = "aarch64")]
fn publish(code: &[u8]) {
    use core::arch::asm;
    let ctr: u64;
    // SAFETY: the register tells line sizes, and Linux lets programs read it.
    unsafe { asm!("mrs {}, ctr_el0", out(reg) ctr, options(nomem, nostack, preserves_flags)) };
    let range = code.as_ptr().addr()..code.as_ptr().addr() + code.len();
    let lines = |log: u64| {
        let line = 4_usize << (log & 15);
        (range.start / line * line..range.end).step_by(line)
    };
    for line in lines(ctr >> 16) {
        // SAFETY: the address is inside our mapping, and cleaning changes no contents.
        unsafe { asm!("dc cvau, {}", in(reg) line, options(nostack, preserves_flags)) };
    }
    // SAFETY: a barrier.
    unsafe { asm!("dsb ish", options(nostack, preserves_flags)) };
    for line in lines(ctr) {
        // SAFETY: as above.
        unsafe { asm!("ic ivau, {}", in(reg) line, options(nostack, preserves_flags)) };
    }
    // SAFETY: barriers.
    unsafe { asm!("dsb ish", "isb", options(nostack, preserves_flags)) };
}

/// Machine code in memory of its own that can be executed and no longer be written.
#[derive(Debug)]
pub struct Code {
    buffer: Buffer,
}

impl Code {
    /// Copies the bytes into a fresh mapping and swaps the right to write for the right to execute.
    ///
    /// # Errors
    /// If there is no memory, or where nothing that was written may be executed.
    pub fn new(bytes: &[u8]) -> io::Result<Code> {
        let huge = Pages::Huge.bytes();
        let (pages, unit) = if bytes.len() < LARGE || huge > MOST_ADDED {
            (Pages::Small, 1)
        } else {
            (Pages::Huge, huge)
        };
        // Whole pages, so that none is split by the change of rights.
        let mut buffer = Buffer::new(bytes.len().max(1).next_multiple_of(unit), pages)?;
        buffer.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
        publish(&buffer.bytes()[..bytes.len()]);
        let (start, rights) = (buffer.base().cast(), libc::PROT_READ | libc::PROT_EXEC);
        // SAFETY: the range is our own mapping, whole pages of it; no reference into it is alive,
        // and `Code` hands none out that can be written through.
        let done = unsafe { libc::mprotect(start, buffer.len(), rights) };
        if done == 0 { Ok(Code { buffer }) } else { Err(io::Error::last_os_error()) }
    }

    /// The first instruction; 2 MiB aligned.
    pub fn entry(&self) -> *const u8 {
        self.buffer.base()
    }

    /// The code, to read.
    pub fn bytes(&self) -> &[u8] {
        self.buffer.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rights of the mapping that begins at `address`, as in `r-xp`.
    fn rights(address: usize) -> String {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let line = maps.lines().find(|l| l.starts_with(&format!("{address:x}-")));
        line.unwrap().split(' ').nth(1).unwrap().to_owned()
    }

    #[test]
    fn code_can_be_executed_and_not_be_written() {
        for len in [10, 300 << 10] {
            let bytes: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let code = Code::new(&bytes).unwrap();
            assert_eq!(code.bytes()[..len], bytes);
            assert_eq!(rights(code.entry().addr()), "r-xp");
        }
    }

    #[test]
    fn no_code_is_code_too() {
        assert!(!Code::new(&[]).unwrap().bytes().is_empty());
    }
}
