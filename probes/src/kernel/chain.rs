//! Two chains of dependent integer operations with known latencies: the core's own clock.

use std::sync::OnceLock;

use super::{arch, timer, whole_blocks};

/// Operations per unrolled block; counts are rounded up to whole blocks.
pub const BLOCK: u64 = 256;

/// Cycles of one dependent addition.
pub const ADD_CYCLES: f64 = 1.0;

/// Cycles of one dependent 64-bit multiplication: three on x86. On Arm two to five by the design, and
/// then a whole number of additions is what it takes when nobody disturbs either: the quotient of the
/// shortest of many tries, rounded. What that assumes is that both chains once run undisturbed at one
/// clock, within half a cycle.
pub fn mul_cycles() -> f64 {
    static SEEN: OnceLock<f64> = OnceLock::new();
    arch::chain::MUL_CYCLES.unwrap_or_else(|| {
        *SEEN.get_or_init(|| {
            let shortest = |work: fn(u64) -> u64| {
                let ticks = |_| {
                    let start = timer::fenced_ticks();
                    std::hint::black_box(work(TRIED));
                    timer::fenced_ticks().saturating_sub(start)
                };
                (0..TRIES).map(ticks).min().unwrap_or_default() as f64
            };
            let (add, mul) = (shortest(add), shortest(mul));
            nearest(mul / add)
        })
    })
}

/// Operations in a try, 8 µs or more, and tries.
const TRIED: u64 = 96 * BLOCK;
const TRIES: u32 = 100;

/// The number of cycles that the quotient of the times stands for. An emulated core can be anywhere.
fn nearest(quotient: f64) -> f64 {
    let cycles = quotient.round();
    // A NaN is not more than the least.
    if cycles > 2.0 { cycles.min(6.0) } else { 2.0 }
}

/// Runs dependent additions; the sum is the number of operations really done.
#[inline(always)]
pub fn add(ops: u64) -> u64 {
    arch::chain::add(whole_blocks(ops, BLOCK))
}

/// Runs dependent multiplications; the product is 3 to the number of operations done.
#[inline(always)]
pub fn mul(ops: u64) -> u64 {
    arch::chain::mul(whole_blocks(ops, BLOCK))
}

/// Instructions of that many operations of either chain: a counter and a jump close each block.
pub fn instructions(ops: u64) -> u64 {
    whole_blocks(ops, BLOCK).get() * (BLOCK + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cycles_are_whole_numbers() {
        assert!((2.0..=6.0).contains(&mul_cycles()) && mul_cycles().fract() == 0.0);
        for (quotient, cycles) in
            [(3.98, 4.0), (2.6, 3.0), (0.9, 2.0), (77.0, 6.0), (f64::NAN, 2.0), (-1.0, 2.0)]
        {
            assert_eq!(nearest(quotient), cycles, "{quotient}");
        }
    }

    #[test]
    fn the_chains_do_as_many_operations_as_they_say() {
        for (ops, blocks) in [(0, 1), (1, 1), (BLOCK, 1), (3 * BLOCK, 3), (10 * BLOCK + 1, 11)] {
            let done = blocks * BLOCK;
            assert_eq!(add(ops), done);
            assert_eq!(mul(ops), 3_u64.wrapping_pow(u32::try_from(done).unwrap()));
        }
    }
}
