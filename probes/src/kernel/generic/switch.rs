//! The ways from one stack to another: by a return and by a jump. Each function begins a line of code,
//! so that a switch is the same in every build.

/// Functions of the C calling convention. `$switch` leaves the registers on the stack in use, whose
/// end goes to where the first argument says, and goes on with the stack that ends at the second one,
/// as it was left. `$to_task` goes from the main stack, whose end is the first field of the contexts,
/// to the task's. `$task` counts a visit and switches back, for ever.
macro_rules! switches {
    (switch: [$($switch:literal)+] return: [$($return:literal)+] jump: [$($jump:literal)+]
     to_task: $to_task:tt task: $task:tt) => {
        #[unsafe(naked)]
        unsafe extern "C" fn switch_by_return() {
            core::arch::naked_asm!(".p2align 6", $($switch,)+ $($return),+)
        }

        #[unsafe(naked)]
        unsafe extern "C" fn switch_by_jump() {
            core::arch::naked_asm!(".p2align 6", $($switch,)+ $($jump),+)
        }

        to_task!(to_task_by_return switch_by_return $to_task);
        to_task!(to_task_by_jump switch_by_jump $to_task);
        task!(task_by_return switch_by_return $task);
        task!(task_by_jump switch_by_jump $task);
    };
}

macro_rules! to_task {
    ($name:ident $switch:ident [$($line:literal)+]) => {
        #[unsafe(naked)]
        pub(in crate::kernel) unsafe extern "C" fn $name(contexts: *mut Contexts) {
            core::arch::naked_asm!(
                ".p2align 6",
                $($line,)+
                task = const std::mem::offset_of!(Contexts, task),
                switch = sym $switch
            )
        }
    };
}

macro_rules! task {
    ($name:ident $switch:ident [$($line:literal)+]) => {
        #[unsafe(naked)]
        pub(in crate::kernel) unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                ".p2align 6",
                "2:",
                $($line,)+
                task = const std::mem::offset_of!(Contexts, task),
                visits = const std::mem::offset_of!(Contexts, visits),
                switch = sym $switch
            )
        }
    };
}

pub(in crate::kernel) use {switches, task, to_task};
