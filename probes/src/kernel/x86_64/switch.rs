//! Two stacks, and the way from one to the other.

use crate::kernel::generic::switch::{switches, task, to_task};
use crate::kernel::switch::Contexts;

/// Registers that a function must give back: rbp, rbx, r12, r13, r14, r15.
pub(in crate::kernel) const SAVED: usize = 6;

/// Where rbx, the contexts' address, and the address that a switch goes on at lie among what it takes
/// from a stack.
pub(in crate::kernel) const CONTEXTS: usize = 4;
pub(in crate::kernel) const ENTRY: usize = SAVED;

switches!(
    switch: ["push rbp" "push rbx" "push r12" "push r13" "push r14" "push r15"
        "mov [rdi], rsp"
        "mov rsp, rsi"
        "pop r15" "pop r14" "pop r13" "pop r12" "pop rbx" "pop rbp"]
    return: ["ret"]
    jump: ["pop rcx" "jmp rcx"]
    to_task: ["mov rsi, [rdi + {task}]" "jmp {switch}"]
    task: ["inc qword ptr [rbx + {visits}]" "lea rdi, [rbx + {task}]" "mov rsi, [rbx]"
        "call {switch}" "jmp 2b"]
);
