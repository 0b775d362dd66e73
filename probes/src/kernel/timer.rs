//! Reading the CPU's own time counter (TSC, CNTVCT), and looking for holes in it.

use super::arch;

/// The counter, serialised: work before the call is done, work after it has not begun.
#[inline(always)]
pub fn fenced_ticks() -> u64 {
    arch::timer::fenced_ticks()
}

/// The counter as it is: for loops that do nothing but read it.
#[inline(always)]
pub fn ticks() -> u64 {
    arch::timer::ticks()
}

/// Holes in a thread's time.
#[derive(Clone, Debug, Default)]
pub struct Gaps {
    /// Length in ticks of every hole above the threshold, up to the capacity asked for.
    pub lengths: Vec<u64>,
    /// Ticks from the first to the last reading.
    pub observed: u64,
    /// Ticks in holes above the threshold, kept or not.
    pub lost: u64,
}

/// Reads a clock in a tight loop for `window` units and keeps every step longer than `threshold`:
/// an interrupt, another thread, or the hypervisor had the CPU meanwhile.
pub fn gaps(now: impl Fn() -> u64, window: u64, threshold: u64, capacity: usize) -> Gaps {
    let mut gaps = Gaps { lengths: Vec::with_capacity(capacity), ..Gaps::default() };
    let start = now();
    let mut last = start;
    while last - start < window {
        let at = now();
        let step = at.saturating_sub(last);
        if step > threshold {
            gaps.lost += step;
            if gaps.lengths.len() < capacity {
                gaps.lengths.push(step);
            }
        }
        last = at.max(last);
    }
    gaps.observed = last - start;
    gaps
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn the_counter_goes_forward() {
        let first = fenced_ticks();
        assert!(fenced_ticks() > first);
    }

    #[test]
    fn steps_above_the_threshold_are_gaps() {
        // A clock that steps by 1, but by 50 at every tenth reading.
        let (time, calls) = (Cell::new(0), Cell::new(0));
        let clock = || {
            calls.set(calls.get() + 1);
            time.set(time.get() + if calls.get() % 10 == 0 { 50 } else { 1 });
            time.get()
        };
        let gaps = gaps(clock, 590, 10, 4);
        assert_eq!(gaps.lengths, [50; 4], "no more than the capacity");
        assert_eq!(gaps.lost, 500, "but all of them are counted");
        assert_eq!(gaps.observed, 590);
    }

    #[test]
    fn a_clock_that_steps_back_is_no_gap() {
        let readings = Cell::new(0_u64);
        let clock = || {
            readings.set(readings.get() + 1);
            if readings.get() == 5 { 3 } else { readings.get() }
        };
        assert_eq!(gaps(clock, 20, 10, 4).lost, 0);
    }
}
