//! Two stacks, and the way from one to the other.

use crate::kernel::generic::switch::{switches, task, to_task};
use crate::kernel::switch::Contexts;

/// Registers that a function must give back: x29, x30, x19 to x28, d8 to d15.
pub(in crate::kernel) const SAVED: usize = 20;

/// Where x19, the contexts' address, and x30, which a switch goes on at, lie among what it takes from a
/// stack.
pub(in crate::kernel) const CONTEXTS: usize = 2;
pub(in crate::kernel) const ENTRY: usize = 1;

switches!(
    switch: ["stp x29, x30, [sp, #-160]!"
        "stp x19, x20, [sp, #16]"
        "stp x21, x22, [sp, #32]"
        "stp x23, x24, [sp, #48]"
        "stp x25, x26, [sp, #64]"
        "stp x27, x28, [sp, #80]"
        "stp d8, d9, [sp, #96]"
        "stp d10, d11, [sp, #112]"
        "stp d12, d13, [sp, #128]"
        "stp d14, d15, [sp, #144]"
        "mov x9, sp"
        "str x9, [x0]"
        "mov sp, x1"
        "ldp d14, d15, [sp, #144]"
        "ldp d12, d13, [sp, #128]"
        "ldp d10, d11, [sp, #112]"
        "ldp d8, d9, [sp, #96]"
        "ldp x27, x28, [sp, #80]"
        "ldp x25, x26, [sp, #64]"
        "ldp x23, x24, [sp, #48]"
        "ldp x21, x22, [sp, #32]"
        "ldp x19, x20, [sp, #16]"
        "ldp x29, x30, [sp], #160"]
    return: ["ret"]
    jump: ["br x30"]
    to_task: ["ldr x1, [x0, #{task}]" "b {switch}"]
    task: ["ldr x9, [x19, #{visits}]" "add x9, x9, #1" "str x9, [x19, #{visits}]"
        "add x0, x19, #{task}" "ldr x1, [x19]" "bl {switch}" "b 2b"]
);
