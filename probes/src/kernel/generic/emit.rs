//! Machine code that is put together at run time, for kernels whose code is what varies: how much of
//! it there is and where it lies. What each instruction is made of, the architecture says.

use std::io;

use crate::kernel::arch::emit::{HOLE, Instruction, encoded, no_operation};
use crate::sys::code::Code;

/// Code as it grows. Labels are offsets from its beginning, in bytes.
#[derive(Debug, Default)]
pub(in crate::kernel) struct Emit {
    code: Vec<u8>,
    here: usize,
}

impl Emit {
    /// The offset of what comes next.
    pub(in crate::kernel) fn here(&self) -> usize {
        self.here
    }

    /// Goes on at another offset, before or behind.
    pub(in crate::kernel) fn seek(&mut self, offset: usize) -> &mut Emit {
        self.here = offset;
        self
    }

    /// Instructions, one after the other.
    pub(in crate::kernel) fn put(&mut self, instructions: &[Instruction]) -> &mut Emit {
        for instruction in instructions {
            self.bytes(encoded(instruction).as_ref());
        }
        self
    }

    /// Instructions or parts of them, as bytes.
    pub(in crate::kernel) fn bytes(&mut self, bytes: &[u8]) -> &mut Emit {
        let end = self.here + bytes.len();
        while self.code.len() < end {
            self.code.extend_from_slice(encoded(&HOLE).as_ref());
        }
        self.code[self.here..end].copy_from_slice(bytes);
        self.here = end;
        self
    }

    /// Fills up with no-operations, as long as they can be, to a multiple of bytes.
    pub(in crate::kernel) fn align(&mut self, to: usize) -> &mut Emit {
        let end = self.here.next_multiple_of(to);
        while self.here < end {
            self.put(&[no_operation(end - self.here)]);
        }
        self
    }

    /// Makes it executable.
    pub(in crate::kernel) fn finish(self) -> io::Result<Routine> {
        Ok(Routine(Code::new(&self.code)?))
    }

    /// What was emitted so far.
    #[cfg(test)]
    pub(in crate::kernel) fn code(&self) -> &[u8] {
        &self.code
    }
}

/// A finished function with the C calling convention.
#[derive(Debug)]
pub(in crate::kernel) struct Routine(Code);

type Function = extern "C" fn(u64, *mut u8, *const u8, *const u8) -> u64;

impl Routine {
    /// Calls it with its four arguments.
    ///
    /// # Safety
    /// The code must keep to the calling convention (return, and change no register that belongs to
    /// the caller), and touch no memory but what the arguments allow it to.
    pub(in crate::kernel) unsafe fn call(
        &self,
        count: u64,
        data: *mut u8,
        begin: *const u8,
        end: *const u8,
    ) -> u64 {
        // SAFETY: the entry is executable code, and as the caller promises a function of this type.
        let function = unsafe { std::mem::transmute::<*const u8, Function>(self.0.entry()) };
        function(count, data, begin, end)
    }
}

#[cfg(test)]
mod tests {
    use std::ptr::{null, null_mut};

    use super::*;

    #[test]
    fn padding_is_exact() {
        let mut emit = Emit::default();
        emit.leave().align(32);
        assert_eq!(emit.here(), 32);
        emit.align(32);
        assert_eq!((emit.here(), emit.code().len()), (32, 32));
    }

    #[test]
    fn what_is_left_out_is_a_breakpoint() {
        let (mut emit, mut expected) = (Emit::default(), Emit::default());
        emit.leave();
        let length = emit.here();
        emit.seek(2 * length).leave();
        expected.leave();
        while expected.here() < 2 * length {
            expected.put(&[HOLE]);
        }
        assert_eq!(emit.code(), expected.leave().code());
    }

    #[test]
    fn emitted_code_runs() {
        let mut emit = Emit::default();
        // As often as asked for: what counts three times, and stands before it.
        emit.begin().jump(64);
        emit.seek(64).jump(32).seek(32).count().count().count().jump(128);
        emit.seek(128).repeat(64).leave();
        let routine = emit.finish().unwrap();
        // SAFETY: the code above changes the registers of the count and the loop alone, which belong
        // to it, and touches no memory.
        assert_eq!(unsafe { routine.call(5, null_mut(), null(), null()) }, 15);
    }
}
