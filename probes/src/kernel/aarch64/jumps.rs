//! Code made of many jumps, branches or calls, at places of our choice.

use core::arch::asm;
use std::io;
use std::ptr::{null, null_mut};

use super::emit::{COUNT, Emit, JUMP, Routine};

/// Where blocks begin: in a line of their own, behind what is done once.
const BLOCKS: usize = 64;
const LINE: usize = 64;

/// Blocks `spacing` bytes apart, each of which is a jump to the block whose place comes next in an
/// order.
#[derive(Debug)]
pub(in crate::kernel) struct Chain(Routine);

impl Chain {
    pub(in crate::kernel) const LEAST_SPACING: usize = JUMP;

    pub(in crate::kernel) fn new(order: &[usize], spacing: usize) -> io::Result<Chain> {
        Ok(Chain(chain(order, spacing).finish()?))
    }

    /// Returns the number of laps.
    pub(in crate::kernel) fn run(&self, laps: u64) -> u64 {
        // SAFETY: `chain` emits a function that changes x0 and x4 and touches no memory.
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
    emit.seek(tail).put(&[COUNT]).repeat(first).leave();
    emit
}

/// Branches on rows of outcomes, one byte for each branch, which is taken if the byte is 0. From
/// the last row the code goes on with the first by a conditional select.
#[derive(Debug)]
pub(in crate::kernel) struct Rows {
    routine: Routine,
    branches: usize,
}

impl Rows {
    /// So many branches a row, fewer than 4096, which displacements reach.
    pub(in crate::kernel) fn new(branches: usize) -> io::Result<Rows> {
        let displaced = |instruction: u32, bytes: usize| match u32::try_from(bytes) {
            Ok(bytes @ 0..4096) => instruction | bytes << 10,
            _ => panic!("{bytes} bytes are too far"),
        };
        let mut emit = Emit::default();
        emit.begin().align(LINE);
        let top = emit.here();
        for branch in 0..branches {
            // ldrb w8, [x1, #branch]; cbz w8, over: add x0, x0, #1; nop
            emit.put(&[displaced(0x3940_0028, branch), 0x3400_0048, COUNT]).align(16);
        }
        // add x1, x1, #branches; cmp x1, x3; csel x1, x2, x1, hs
        emit.put(&[displaced(0x9100_0021, branches), 0xEB03_003F, 0x9A81_2041]);
        emit.repeat(top).leave();
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
        // end of the range, from its beginning; it writes nothing and changes x0, x1, x4 and x8.
        unsafe { self.routine.call(rows, row, range.start, range.end) }
    }
}

/// Functions each of which calls the next one from a place of its own; the last one counts.
#[derive(Debug)]
pub(in crate::kernel) struct Calls(Routine);

impl Calls {
    pub(in crate::kernel) fn new(depth: usize) -> io::Result<Calls> {
        // str x30, [sp, #-16]!, and ldr x30, [sp], #16.
        const SAVE: u32 = 0xF81F_0FFE;
        const RESTORE: u32 = 0xF841_07FE;
        let at = |function: usize| BLOCKS + LINE * function;
        let last = depth.saturating_sub(1);
        let mut emit = Emit::default();
        emit.put(&[SAVE]).begin();
        let top = emit.here();
        emit.call(at(0)).repeat(top).put(&[RESTORE]).leave();
        for function in 0..last {
            emit.seek(at(function)).put(&[SAVE]).call(at(function + 1)).put(&[RESTORE]).leave();
        }
        emit.seek(at(last)).put(&[COUNT]).leave();
        Ok(Calls(emit.finish()?))
    }

    /// Goes down and up again so often; returns how often the last function was reached.
    pub(in crate::kernel) fn run(&self, times: u64) -> u64 {
        // SAFETY: `new` emits a function that changes x0 and x4, puts x30 back, and changes no
        // memory but 16 bytes of stack for each call.
        unsafe { self.0.call(times, null_mut(), null(), null()) }
    }
}

/// Blocks of three lines: a branch on the next bit of a word, the highest first, and the two lines
/// that it goes to, which both lead to the next block. Counts the clear bits.
#[derive(Debug)]
pub(in crate::kernel) struct Forks {
    routine: Routine,
    blocks: usize,
}

impl Forks {
    /// One block for each three places in `order`; if `full`, with as many more instructions as fit
    /// into each line.
    pub(in crate::kernel) fn new(order: &[usize], full: bool) -> io::Result<Forks> {
        // mov w9, w10, which leaves the flags alone; the head of a block needs four instructions.
        let fill = [0x2A0A_03E9].repeat(if full { LINE / 4 - 4 } else { 0 });
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
                // ldr x8, [x1], #8
                emit.put(&[0xF840_8428]);
            }
            // adds x8, x8, x8
            emit.put(&[0xAB08_0108]).put(&fill).jump_if_carry(set).jump(clear);
            emit.seek(set).put(&fill).jump(next);
            emit.seek(clear).put(&[COUNT]).put(&fill).jump(next);
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
        // SAFETY: `new` emits a function that reads `words_a_lap` words a lap, writes nothing, and
        // changes x0, x1, x4, x8 and x9.
        unsafe { self.routine.call(laps, data, null(), null()) }
    }
}

/// Targets of [`indirect`].
pub(in crate::kernel) const TARGETS: u64 = 16;

/// For each byte: an indirect jump to the target of that number, which must be below [`TARGETS`].
/// Every target adds its number; returns the sum.
///
/// The targets lie 64 bytes apart, so that the address is computed and no table is needed.
///
/// # Panics
/// If there is no such target.
pub(in crate::kernel) fn indirect(targets: &[u8]) -> u64 {
    let mut sum = 0_u64;
    assert!(targets.iter().all(|&t| u64::from(t) < TARGETS), "no such target");
    if targets.is_empty() {
        return sum;
    }
    // SAFETY: `next` walks `count` bytes of the slice, and each is the number of a target.
    unsafe {
        asm!(
            "adr {base}, 4f",
            ".p2align 6",
            "2:",
            "ldrb {to:w}, [{next}], #1",
            "add {to}, {base}, {to}, lsl #6",
            "br {to}",
            ".p2align 6",
            "4:",
            ".irp t, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
            ".p2align 6",
            "add {sum}, {sum}, #\\t",
            "subs {count}, {count}, #1",
            "b.ne 2b",
            "b 3f",
            ".endr",
            "3:",
            base = out(reg) _,
            to = out(reg) _,
            next = inout(reg) targets.as_ptr() => _,
            count = inout(reg) targets.len() => _,
            sum = inout(reg) sum,
            options(readonly, nostack),
        );
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_visits_every_block_once() {
        let order = [2, 0, 3, 1];
        let emit = chain(&order, 16);
        let code = emit.words();
        let target = |at: usize| {
            assert_eq!(code[at / 4] >> 26, 0x14000000 >> 26, "a jump at {at}");
            let words = (code[at / 4] << 6).cast_signed() >> 6;
            at.wrapping_add_signed(words as isize * 4)
        };
        let mut at = target(8);
        for place in order {
            assert_eq!(at, BLOCKS + 16 * place);
            at = target(at);
        }
        assert_eq!(at, BLOCKS + 16 * order.len());
    }
}
