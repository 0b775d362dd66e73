//! Code made of many jumps, branches or calls, at places of our choice.

use core::arch::asm;
use std::io;
use std::ptr::{null, null_mut};

use super::emit::{Emit, JUMP, Routine};

/// Where blocks begin: in a line of their own, behind what is done once.
const BLOCKS: usize = 64;
const LINE: usize = 64;

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
        // SAFETY: `chain` emits a function that changes rax and rdi and touches no memory.
        unsafe { self.0.call(laps, null_mut(), null(), null()) }
    }
}

fn chain(order: &[usize], spacing: usize) -> Emit {
    let at = |place: usize| BLOCKS + place * spacing;
    let tail = at(order.len());
    let first = order.first().map_or(tail, |&place| at(place));
    let mut emit = Emit::default();
    // xor eax, eax
    emit.put(&[0x31, 0xC0]).jump(first);
    order.windows(2).for_each(|pair| {
        emit.seek(at(pair[0])).jump(at(pair[1]));
    });
    order.last().into_iter().for_each(|&last| {
        emit.seek(at(last)).jump(tail);
    });
    // inc rax
    emit.seek(tail).put(&[0x48, 0xFF, 0xC0]).repeat(first).leave();
    emit
}

/// Branches on rows of outcomes, one byte for each branch, which is taken if the byte is 0. From
/// the last row the code goes on with the first by a conditional move.
#[derive(Debug)]
pub(in crate::kernel) struct Rows {
    routine: Routine,
    branches: usize,
}

impl Rows {
    pub(in crate::kernel) fn new(branches: usize) -> io::Result<Rows> {
        let mut emit = Emit::default();
        // xor eax, eax
        emit.put(&[0x31, 0xC0]).align(LINE);
        let top = emit.here();
        for branch in 0..branches {
            // cmp byte ptr [rsi + branch], 0; je over: inc rax; nop
            emit.put(&[0x80, 0xBE]).number(branch.cast_signed()).put(&[0x00, 0x74, 0x03]);
            emit.put(&[0x48, 0xFF, 0xC0]).align(16);
        }
        // add rsi, branches; cmp rsi, rcx; cmovae rsi, rdx
        emit.put(&[0x48, 0x81, 0xC6]).number(branches.cast_signed());
        emit.put(&[0x48, 0x39, 0xCE]).put(&[0x48, 0x0F, 0x43, 0xF2]);
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
        // end of the range, from its beginning; it writes nothing and changes rax, rsi and rdi.
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
        // xor eax, eax
        emit.put(&[0x31, 0xC0]);
        let top = emit.here();
        emit.call(at(0)).repeat(top).leave();
        for function in 0..last {
            emit.seek(at(function)).call(at(function + 1)).leave();
        }
        // inc rax
        emit.seek(at(last)).put(&[0x48, 0xFF, 0xC0]).leave();
        Ok(Calls(emit.finish()?))
    }

    /// Goes down and up again so often; returns how often the last function was reached.
    pub(in crate::kernel) fn run(&self, times: u64) -> u64 {
        // SAFETY: `new` emits a function that changes rax and rdi, and no memory but 8 bytes of
        // stack for each call.
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
        // mov edx, ecx, which leaves the flags alone; the head of a block needs 21 bytes.
        let fill = [0x89, 0xCA].repeat(if full { (LINE - 21) / 2 } else { 0 });
        let at = |place: usize| BLOCKS + LINE * place;
        let tail = at(order.len());
        let blocks = order.len() / 3;
        let head = |block: usize| order.get(3 * block).map_or(tail, |&place| at(place));
        let mut emit = Emit::default();
        // xor eax, eax
        emit.put(&[0x31, 0xC0]).jump(head(0));
        for (block, places) in order.chunks_exact(3).enumerate() {
            let (set, clear, next) = (at(places[1]), at(places[2]), head(block + 1));
            emit.seek(head(block));
            if block.is_multiple_of(64) {
                // mov r8, [rsi]; add rsi, 8
                emit.put(&[0x4C, 0x8B, 0x06]).put(&[0x48, 0x83, 0xC6, 0x08]);
            }
            // shr r8
            emit.put(&[0x49, 0xD1, 0xE8]).put(&fill).jump_if_carry(set).jump(clear);
            emit.seek(set).put(&fill).jump(next);
            // inc rax
            emit.seek(clear).put(&[0x48, 0xFF, 0xC0]).put(&fill).jump(next);
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
        // changes rax, rdx, rsi, rdi and r8.
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
            "lea {base}, [rip + 4f]",
            ".p2align 6",
            "2:",
            "movzx {to:e}, byte ptr [{next}]",
            "inc {next}",
            "shl {to}, 6",
            "add {to}, {base}",
            "jmp {to}",
            ".p2align 6",
            "4:",
            ".irp t, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
            ".p2align 6",
            "add {sum}, \\t",
            "dec {count}",
            "jnz 2b",
            "jmp 3f",
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
        let code = emit.bytes();
        let target = |at: usize| {
            assert_eq!(code[at], 0xE9, "a jump at {at}");
            let distance: [u8; 4] = code[at + 1..at + JUMP].try_into().unwrap();
            at.wrapping_add(JUMP).wrapping_add_signed(i32::from_le_bytes(distance) as isize)
        };
        let mut at = target(2);
        for place in order {
            assert_eq!(at, BLOCKS + 16 * place);
            at = target(at);
        }
        assert_eq!(at, BLOCKS + 16 * order.len());
    }
}
