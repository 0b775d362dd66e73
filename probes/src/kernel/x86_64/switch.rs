//! Two stacks, and the way from one to the other.

use core::arch::naked_asm;
use std::mem::offset_of;

use super::super::switch::Contexts;

/// Registers that a function must give back: rbp, rbx, r12, r13, r14, r15.
pub(in crate::kernel) const SAVED: usize = 6;

/// Where rbx, the contexts' address, and the address that a switch goes on at lie among what it takes
/// from a stack.
pub(in crate::kernel) const CONTEXTS: usize = 4;
pub(in crate::kernel) const ENTRY: usize = SAVED;

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
        pub(in crate::kernel) unsafe extern "C" fn $name(contexts: *mut Contexts) {
            naked_asm!(
                "mov rsi, [rdi + {task}]",
                "jmp {switch}",
                task = const offset_of!(Contexts, task),
                switch = sym $switch
            )
        }
    };
}

to_task!(to_task_by_return, switch_by_return);
to_task!(to_task_by_jump, switch_by_jump);

/// Counts a visit and switches back, for ever; rbx is the contexts' address.
macro_rules! task {
    ($name:ident, $switch:ident) => {
        #[unsafe(naked)]
        pub(in crate::kernel) unsafe extern "C" fn $name() {
            naked_asm!(
                "2:",
                "inc qword ptr [rbx + {visits}]",
                "lea rdi, [rbx + {task}]",
                "mov rsi, [rbx]",
                "call {switch}",
                "jmp 2b",
                task = const offset_of!(Contexts, task),
                visits = const offset_of!(Contexts, visits),
                switch = sym $switch
            )
        }
    };
}

task!(task_by_return, switch_by_return);
task!(task_by_jump, switch_by_jump);
