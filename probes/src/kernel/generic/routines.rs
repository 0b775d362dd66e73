//! Code made of many jumps, branches or calls, at places of our choice.

use std::io;
use std::ptr::{null, null_mut};

use super::emit::{Emit, Routine};
use crate::kernel::arch::emit::{FILL, FORK, JUMP, encoded};
use crate::sys::memory::LINE;

/// Where blocks begin: in a line of their own, behind what is done once.
const BLOCKS: usize = 64;

/// Blocks `spacing` bytes apart, each of which is a jump to the block whose place comes next in an
/// order.
#[derive(Debug)]
pub(in crate::kernel) struct Chain(Routine);

impl Chain {
    pub(in crate::kernel) const LEAST_SPACING: usize = JUMP.next_power_of_two();

    pub(in crate::kernel) fn new(order: &[usize], spacing: usize) -> io::Result<Chain> {
        Ok(Chain(chain(order, spacing).finish()?))
    }

    /// Returns the number of laps.
    pub(in crate::kernel) fn run(&self, laps: u64) -> u64 {
        // SAFETY: `chain` emits a function that jumps and counts, and touches no memory.
        unsafe { self.0.call(laps, null_mut(), null(), null()) }
    }
}

fn chain(order: &[usize], spacing: usize) -> Emit {
    let at = |place: usize| BLOCKS + place * spacing;
    let tail = at(order.len());
    let first = order.first().map_or(tail, |&place| at(place));
    let mut emit = Emit::default();
    emit.begin().jump(first);
    order.windows(2).for_each(|pair| {
        emit.seek(at(pair[0])).jump(at(pair[1]));
    });
    order.last().into_iter().for_each(|&last| {
        emit.seek(at(last)).jump(tail);
    });
    emit.seek(tail).count().repeat(first).leave();
    emit
}

/// Branches on rows of outcomes, one byte for each branch, which is taken if the byte is 0. From
/// the last row the code goes on with the first by a conditional move or select.
#[derive(Debug)]
pub(in crate::kernel) struct Rows {
    routine: Routine,
    branches: usize,
}

impl Rows {
    pub(in crate::kernel) fn new(branches: usize) -> io::Result<Rows> {
        let mut emit = Emit::default();
        emit.begin().align(LINE);
        let top = emit.here();
        for branch in 0..branches {
            emit.count_unless_zero(branch).align(16);
        }
        emit.next_row(branches).repeat(top).leave();
        Ok(Rows { routine: emit.finish()?, branches })
    }

    /// Runs `rows` rows, beginning with row `first`; returns how many branches were not taken.
    ///
    /// # Panics
    /// If the outcomes are not whole rows, or do not have that one.
    pub(in crate::kernel) fn run(&self, outcomes: &[u8], first: usize, rows: u64) -> u64 {
        let begin = first * self.branches;
        assert!(outcomes.len().is_multiple_of(self.branches) && begin < outcomes.len());
        if rows == 0 {
            return 0;
        }
        let range = outcomes.as_ptr_range();
        let row = outcomes[begin..].as_ptr().cast_mut();
        // SAFETY: `new` emits a function that reads whole rows from `row` on and, having come to the
        // end of the range, from its beginning; it writes nothing.
        unsafe { self.routine.call(rows, row, range.start, range.end) }
    }
}

/// Functions each of which calls the next one from a place of its own; the last one counts.
#[derive(Debug)]
pub(in crate::kernel) struct Calls(Routine);

impl Calls {
    pub(in crate::kernel) fn new(depth: usize) -> io::Result<Calls> {
        let at = |function: usize| BLOCKS + LINE * function;
        let last = depth.saturating_sub(1);
        let mut emit = Emit::default();
        emit.save_return().begin();
        let top = emit.here();
        emit.call(at(0)).repeat(top).restore_return().leave();
        for function in 0..last {
            emit.seek(at(function)).save_return().call(at(function + 1)).restore_return().leave();
        }
        emit.seek(at(last)).count().leave();
        Ok(Calls(emit.finish()?))
    }

    /// Goes down and up again so often; returns how often the last function was reached.
    pub(in crate::kernel) fn run(&self, times: u64) -> u64 {
        // SAFETY: `new` emits a function that calls and counts, and touches no memory but a few
        // bytes of stack for each call.
        unsafe { self.0.call(times, null_mut(), null(), null()) }
    }
}

/// Blocks of three lines: a branch on the next bit of a word, and the two lines that it goes to,
/// which both lead to the next block. Counts the clear bits.
#[derive(Debug)]
pub(in crate::kernel) struct Forks {
    routine: Routine,
    blocks: usize,
}

impl Forks {
    /// One block for each three places in `order`; if `full`, with as many more instructions as fit
    /// into each line.
    pub(in crate::kernel) fn new(order: &[usize], full: bool) -> io::Result<Forks> {
        let fill = vec![FILL; if full { (LINE - FORK) / encoded(&FILL).len() } else { 0 }];
        let at = |place: usize| BLOCKS + LINE * place;
        let tail = at(order.len());
        let blocks = order.len() / 3;
        let head = |block: usize| order.get(3 * block).map_or(tail, |&place| at(place));
        let mut emit = Emit::default();
        emit.begin().jump(head(0));
        for (block, places) in order.chunks_exact(3).enumerate() {
            let (set, clear, next) = (at(places[1]), at(places[2]), head(block + 1));
            emit.seek(head(block));
            if block.is_multiple_of(64) {
                emit.next_word();
            }
            emit.next_bit().put(&fill).jump_if_carry(set).jump(clear);
            emit.seek(set).put(&fill).jump(next);
            emit.seek(clear).count().put(&fill).jump(next);
        }
        emit.seek(tail).repeat(head(0)).leave();
        Ok(Forks { routine: emit.finish()?, blocks })
    }

    /// One block for each bit of the words, which must be whole laps.
    ///
    /// # Panics
    /// If they are not.
    pub(in crate::kernel) fn run(&self, words: &[u64]) -> u64 {
        let words_a_lap = self.blocks.div_ceil(64);
        assert!(words.len().is_multiple_of(words_a_lap), "whole laps");
        if words.is_empty() {
            return 0;
        }
        let laps = (words.len() / words_a_lap) as u64;
        let data = words.as_ptr().cast_mut().cast();
        // SAFETY: `new` emits a function that reads `words_a_lap` words a lap, and writes nothing.
        unsafe { self.routine.call(laps, data, null(), null()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_visits_every_block_once() {
        let order = [2, 0, 3, 1];
        let emit = chain(&order, 16);
        let jump = |from: usize, to: usize| {
            let mut emit = Emit::default();
            emit.seek(from).jump(to);
            emit.code()[from..].to_vec()
        };
        let begin = Emit::default().begin().here();
        let places = order.map(|place| BLOCKS + 16 * place);
        let from = [begin].into_iter().chain(places);
        for (from, to) in from.zip(places.into_iter().chain([BLOCKS + 16 * order.len()])) {
            assert_eq!(emit.code()[from..from + JUMP], jump(from, to), "{from} to {to}");
        }
    }
}
