//! Switches that the kernel knows nothing of.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult};

use crate::harness::bench::{Arm, Bench, params};
use crate::harness::sampling::SamplingPlan;
use crate::kernel::begin_line;
use crate::kernel::switch::{Back, Task};
use card::record::Skip;

/// Bytes of the coroutine's stack, of which it needs a few words.
const STACK: usize = 64 << 10;

pub(super) fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let tasks = [Task::new(Back::Jump), Task::new(Back::Return)];
    let stack = DefaultStack::new(STACK);
    let ([Ok(mut jump), Ok(mut back)], Ok(stack)) = (tasks, stack) else {
        let skip = Skip::new(
            "stacks for two tasks",
            "the kernel gives no memory for them",
            "raise the limit on memory (ulimit -v, the container's)",
        );
        return bench.skip(skip.of([
            "context_switch.user*",
            "context_switch.coroutine*",
            "context_switch.async*",
            "context_switch.thread_to*",
        ]));
    };
    let mut coroutine = counter(stack);
    let (mut resumed, mut counted) = (0, 0);
    let mut lost = 0;
    let how = |how: &str| params([("how", how.into())]);
    let arms = vec![
        Arm::new("user_switch", how("jump"), |ops| jump.switch(ops)).in_blocks_of(2),
        Arm::new("user_switch", how("return"), |ops| back.switch(ops)).in_blocks_of(2),
        Arm::new("user_switch", how("coroutine"), |ops| {
            begin_line();
            // Resuming is one switch, and coming back is another.
            for _ in 0..ops / 2 {
                if let CoroutineResult::Yield(count) = coroutine.resume(true) {
                    counted = count;
                }
            }
            resumed += ops / 2;
        })
        .in_blocks_of(2),
        Arm::new("user_switch", how("async"), |ops| lost += ops.abs_diff(ping_pong(ops))),
    ];
    let policy =
        SamplingPlan { max_samples: 9, ..SamplingPlan::structural(bench.share(USER_SHARE)) };
    bench.interleave(arms, &policy)?;
    coroutine.resume(false);
    bench.check(jump.is_right() && back.is_right(), || {
        "a task did not run as often as it was switched to".into()
    })?;
    bench.check(counted == resumed, || {
        format!("{resumed} switches to a coroutine were counted as {counted}")
    })?;
    bench.check(lost == 0, || format!("async tasks were off by {lost} switches"))
}

/// Share of the round's time.
const USER_SHARE: f64 = 0.08;

/// Counts how often it is resumed, until told not to.
fn counter(stack: DefaultStack) -> Coroutine<bool, u64, ()> {
    Coroutine::with_stack(stack, |yielder, go_on| {
        let (mut go_on, mut count) = (go_on, 0);
        begin_line();
        while go_on {
            count += 1;
            go_on = yielder.suspend(count);
        }
    })
}

/// Tasks that can go on, by number: what every executor has.
#[derive(Debug, Default)]
struct Queue(Mutex<VecDeque<usize>>);

impl Queue {
    fn tasks(&self) -> std::sync::MutexGuard<'_, VecDeque<usize>> {
        // No one panics while holding it.
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// Puts one task into the queue.
struct Waking {
    task: usize,
    queue: Arc<Queue>,
}

impl Wake for Waking {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.queue.tasks().push_back(self.task);
    }
}

/// What two tasks play over: whose turn it is, how many turns are left, who waits for one.
#[derive(Debug, Default)]
struct Table {
    turn: usize,
    left: u64,
    waiting: [Option<Waker>; 2],
}

/// Takes its turns until none are left, and says how many it had.
async fn player(me: usize, table: Rc<RefCell<Table>>) -> u64 {
    begin_line();
    let mut turns = 0;
    loop {
        let mine = poll_fn(|context| {
            let mut table = table.borrow_mut();
            if table.turn == me || table.left == 0 {
                return Poll::Ready(table.left > 0);
            }
            table.waiting[me] = Some(context.waker().clone());
            Poll::Pending
        });
        let go_on = mine.await;
        let mut table = table.borrow_mut();
        let other = 1 - me;
        table.turn = other;
        table.left = table.left.saturating_sub(1);
        // Not woken under the borrow, were it polled at once; this executor only takes note.
        if let Some(waker) = table.waiting[other].take() {
            waker.wake();
        }
        if !go_on {
            return turns;
        }
        turns += 1;
    }
}

/// So many turns of two tasks, each of which ends in a switch to the other; returns how many they
/// had.
fn ping_pong(turns: u64) -> u64 {
    let table = Rc::new(RefCell::new(Table { left: turns, ..Table::default() }));
    let queue = Arc::new(Queue::default());
    let waker = |task| Waker::from(Arc::new(Waking { task, queue: Arc::clone(&queue) }));
    let wakers = [waker(0), waker(1)];
    let mut players: [Option<Pin<Box<dyn Future<Output = u64>>>>; 2] =
        [0, 1].map(|me| Some(Box::pin(player(me, Rc::clone(&table))) as _));
    queue.tasks().extend([0, 1]);
    let mut had = 0;
    begin_line();
    loop {
        let Some(task) = queue.tasks().pop_front() else { return had };
        let Some(player) = &mut players[task] else { continue };
        if let Poll::Ready(turns) = player.as_mut().poll(&mut Context::from_waker(&wakers[task])) {
            had += turns;
            players[task] = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn async_tasks_have_every_turn_once() {
        for turns in [0, 1, 2, 3, 1000] {
            assert_eq!(ping_pong(turns), turns);
        }
    }

    #[test]
    fn a_coroutine_counts_until_it_is_told_to_stop() {
        let mut coroutine = counter(DefaultStack::new(STACK).unwrap());
        for expected in 1..100 {
            match coroutine.resume(true) {
                CoroutineResult::Yield(count) => assert_eq!(count, expected),
                CoroutineResult::Return(()) => panic!("it ended"),
            }
        }
        coroutine.resume(false);
        assert!(coroutine.done());
    }
}
