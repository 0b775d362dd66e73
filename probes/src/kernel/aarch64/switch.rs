//! Two stacks, and the way from one to the other.

use core::arch::naked_asm;

/// Where the two stacks end while the other one is in use. The assembly below knows the layout.
#[derive(Debug)]
#[repr(C)]
pub(in crate::kernel) struct Contexts {
    main: usize,
    task: usize,
    visits: u64,
}

/// Registers that a function must give back: x29, x30, x19 to x28, d8 to d15.
const SAVED: usize = 20;

/// Where x30, to which a switch goes on, and x19 lie among what it takes from a stack.
const X30: usize = 1;
const X19: usize = 2;

impl Contexts {
    /// A task that begins at the top of the stack, as if it had just switched away from there.
    pub(in crate::kernel) fn new(stack: &mut [u64], by_jump: bool) -> Box<Contexts> {
        let mut contexts = Box::new(Contexts { main: 0, task: 0, visits: 0 });
        let entry: unsafe extern "C" fn() = if by_jump { task_by_jump } else { task_by_return };
        // Some words stay free above the entry.
        let first = stack.len() - SAVED - 8;
        let frame = &mut stack[first..];
        frame[X19] = (&raw mut *contexts).expose_provenance() as u64;
        frame[X30] = (entry as *const ()).expose_provenance() as u64;
        contexts.task = frame.as_ptr().expose_provenance();
        contexts
    }

    pub(in crate::kernel) fn visits(&self) -> u64 {
        self.visits
    }

    pub(in crate::kernel) fn there_and_back_by_return(&mut self, pairs: u64) {
        let contexts: *mut Contexts = self;
        for _ in 0..pairs {
            // SAFETY: `task` is the end of a stack that was made by `new` or left by a switch; the
            // task changes nothing but its stack and `contexts`.
            unsafe { to_task_by_return(contexts) };
        }
    }

    pub(in crate::kernel) fn there_and_back_by_jump(&mut self, pairs: u64) {
        let contexts: *mut Contexts = self;
        for _ in 0..pairs {
            // SAFETY: as above.
            unsafe { to_task_by_jump(contexts) };
        }
    }
}

/// Leaves the registers on the stack in use, the end of which goes to [x0], and goes on with the
/// stack that ends at x1, as it was left.
macro_rules! switch {
    ($name:ident, $leave:literal) => {
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            naked_asm!(
                "stp x29, x30, [sp, #-160]!",
                "stp x19, x20, [sp, #16]",
                "stp x21, x22, [sp, #32]",
                "stp x23, x24, [sp, #48]",
                "stp x25, x26, [sp, #64]",
                "stp x27, x28, [sp, #80]",
                "stp d8, d9, [sp, #96]",
                "stp d10, d11, [sp, #112]",
                "stp d12, d13, [sp, #128]",
                "stp d14, d15, [sp, #144]",
                "mov x9, sp",
                "str x9, [x0]",
                "mov sp, x1",
                "ldp d14, d15, [sp, #144]",
                "ldp d12, d13, [sp, #128]",
                "ldp d10, d11, [sp, #112]",
                "ldp d8, d9, [sp, #96]",
                "ldp x27, x28, [sp, #80]",
                "ldp x25, x26, [sp, #64]",
                "ldp x23, x24, [sp, #48]",
                "ldp x21, x22, [sp, #32]",
                "ldp x19, x20, [sp, #16]",
                "ldp x29, x30, [sp], #160",
                $leave
            )
        }
    };
}

switch!(switch_by_return, "ret");
switch!(switch_by_jump, "br x30");

/// From the main stack, whose end is the first field, to the task's, the second.
macro_rules! to_task {
    ($name:ident, $switch:ident) => {
        #[unsafe(naked)]
        unsafe extern "C" fn $name(contexts: *mut Contexts) {
            naked_asm!("ldr x1, [x0, #8]", "b {switch}", switch = sym $switch)
        }
    };
}

to_task!(to_task_by_return, switch_by_return);
to_task!(to_task_by_jump, switch_by_jump);

/// Counts a visit and switches back, for ever; x19 is the contexts' address.
macro_rules! task {
    ($name:ident, $switch:ident) => {
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            naked_asm!(
                "2:",
                "ldr x9, [x19, #16]",
                "add x9, x9, #1",
                "str x9, [x19, #16]",
                "add x0, x19, #8",
                "ldr x1, [x19]",
                "bl {switch}",
                "b 2b",
                switch = sym $switch
            )
        }
    };
}

task!(task_by_return, switch_by_return);
task!(task_by_jump, switch_by_jump);
