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

/// Registers that a function must give back: rbp, rbx, r12, r13, r14, r15.
const SAVED: usize = 6;

/// Where rbx lies among what a switch takes from a stack.
const RBX: usize = 4;

impl Contexts {
    /// A task that begins at the top of the stack, as if it had just switched away from there.
    pub(in crate::kernel) fn new(stack: &mut [u64], by_jump: bool) -> Box<Contexts> {
        let mut contexts = Box::new(Contexts { main: 0, task: 0, visits: 0 });
        let entry: unsafe extern "C" fn() = if by_jump { task_by_jump } else { task_by_return };
        // Some words stay free above the entry.
        let first = stack.len() - SAVED - 8;
        let frame = &mut stack[first..];
        frame[RBX] = (&raw mut *contexts).expose_provenance() as u64;
        frame[SAVED] = (entry as *const ()).expose_provenance() as u64;
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

/// Leaves the registers on the stack in use, the end of which goes to [rdi], and goes on with the
/// stack that ends at rsi, as it was left.
macro_rules! switch {
    ($name:ident, $($leave:literal),+) => {
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            naked_asm!(
                "push rbp", "push rbx", "push r12", "push r13", "push r14", "push r15",
                "mov [rdi], rsp",
                "mov rsp, rsi",
                "pop r15", "pop r14", "pop r13", "pop r12", "pop rbx", "pop rbp",
                $($leave),+
            )
        }
    };
}

switch!(switch_by_return, "ret");
switch!(switch_by_jump, "pop rcx", "jmp rcx");

/// From the main stack, whose end is the first field, to the task's, the second.
macro_rules! to_task {
    ($name:ident, $switch:ident) => {
        #[unsafe(naked)]
        unsafe extern "C" fn $name(contexts: *mut Contexts) {
            naked_asm!("mov rsi, [rdi + 8]", "jmp {switch}", switch = sym $switch)
        }
    };
}

to_task!(to_task_by_return, switch_by_return);
to_task!(to_task_by_jump, switch_by_jump);

/// Counts a visit and switches back, for ever; rbx is the contexts' address.
macro_rules! task {
    ($name:ident, $switch:ident) => {
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            naked_asm!(
                "2:",
                "inc qword ptr [rbx + 16]",
                "lea rdi, [rbx + 8]",
                "mov rsi, [rbx]",
                "call {switch}",
                "jmp 2b",
                switch = sym $switch
            )
        }
    };
}

task!(task_by_return, switch_by_return);
task!(task_by_jump, switch_by_jump);
