//! A switch between two stacks without the kernel's help: what coroutines and green threads are
//! made of.

use std::io;
use std::mem::offset_of;

use super::arch::switch as kernel;
use super::begin_line;
use crate::sys::memory::{Buffer, Pages};

/// How a switch goes on where the other stack left off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Back {
    /// By a return, whose target is not the one that the CPU's return stack predicts.
    Return,
    /// By an indirect jump to the address that a return would take.
    Jump,
}

/// Bytes of the other task's stack, of which it needs a few words.
const STACK: usize = 16 << 10;

/// Where the two stacks end while the other one is in use, and the task's stack itself. The
/// instructions take the places of the fields from here.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Contexts {
    pub(super) main: usize,
    pub(super) task: usize,
    pub(super) visits: u64,
    stack: Buffer,
}

// Whoever switches to the task leaves its own stack's end at the address of the contexts.
const _: () = assert!(offset_of!(Contexts, main) == 0);

impl Contexts {
    /// A task that begins at the top of the stack, as if it had just switched away from there.
    fn new(stack: Buffer, back: Back) -> Box<Contexts> {
        let mut contexts = Box::new(Contexts { main: 0, task: 0, visits: 0, stack });
        let address = (&raw mut *contexts).expose_provenance();
        let entry: unsafe extern "C" fn() = match back {
            Back::Return => kernel::task_by_return,
            Back::Jump => kernel::task_by_jump,
        };
        let words = contexts.stack.words_mut();
        // Some words stay free above the entry.
        let first = words.len() - kernel::SAVED - 8;
        let frame = &mut words[first..];
        frame[kernel::CONTEXTS] = address as u64;
        frame[kernel::ENTRY] = (entry as *const ()).expose_provenance() as u64;
        contexts.task = frame.as_mut_ptr().expose_provenance();
        contexts
    }

    fn there_and_back_by_return(&mut self, pairs: u64) {
        let contexts: *mut Contexts = self;
        begin_line();
        for _ in 0..pairs {
            // SAFETY: `task` is the end of a stack that was made by `new` or left by a switch; the
            // task changes nothing but its stack and the numbers in `contexts`.
            unsafe { kernel::to_task_by_return(contexts) };
        }
    }

    fn there_and_back_by_jump(&mut self, pairs: u64) {
        let contexts: *mut Contexts = self;
        begin_line();
        for _ in 0..pairs {
            // SAFETY: as above.
            unsafe { kernel::to_task_by_jump(contexts) };
        }
    }
}

/// A task on a stack of its own that does nothing but count and switch back.
#[derive(Debug)]
pub struct Task {
    contexts: Box<Contexts>,
    back: Back,
    expected: u64,
}

impl Task {
    /// A task that has not begun yet.
    pub fn new(back: Back) -> io::Result<Task> {
        let contexts = Contexts::new(Buffer::new(STACK, Pages::Small)?, back);
        Ok(Task { contexts, back, expected: 0 })
    }

    /// Switches so often, rounded to pairs: to the task and back.
    pub fn switch(&mut self, times: u64) {
        let pairs = times.div_ceil(2);
        match self.back {
            Back::Return => self.contexts.there_and_back_by_return(pairs),
            Back::Jump => self.contexts.there_and_back_by_jump(pairs),
        }
        self.expected += pairs;
    }

    /// Whether the task ran as often as it was switched to.
    pub fn is_right(&self) -> bool {
        self.contexts.visits == self.expected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_task_runs_as_often_as_it_is_switched_to() {
        for back in [Back::Return, Back::Jump] {
            let mut task = Task::new(back).unwrap();
            assert!(task.is_right());
            for times in [1, 2, 1000] {
                task.switch(times);
            }
            assert_eq!(task.contexts.visits, 1 + 1 + 500);
            assert!(task.is_right());
            task.expected += 1;
            assert!(!task.is_right());
        }
    }

    #[test]
    fn two_tasks_do_not_get_in_each_others_way() {
        let mut tasks = [Task::new(Back::Return).unwrap(), Task::new(Back::Jump).unwrap()];
        // What is live across a switch must survive it.
        let mut sum = 0.0;
        for i in 0..100_u32 {
            tasks[i as usize % 2].switch(2);
            sum += f64::from(i) * 0.5;
        }
        assert_eq!(sum, 2475.0);
        assert!(tasks.iter().all(Task::is_right));
    }
}
