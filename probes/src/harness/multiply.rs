//! How many cycles a multiplication takes: what the two-chain clock must know of a core, found out
//! without knowing the core. Three on most x86 cores, two to six on others and on Arm.
//!
//! Undisturbed, it is a whole number of dependent additions. A hyperthread sibling at work delays
//! additions and multiplications alike (Zen: 2.91 for 3), or multiplications alone, whose unit it
//! shares (an Intel Xeon: 3.2 to 3.5 for 3, between windows at 2.99 to 3.00). So a look of 64 short
//! windows is believed if the quotient of the shortest times is near a whole number, windows were seen
//! there, and none at another one; else it is repeated for a while.

use std::fmt;

/// Cycles of one dependent addition.
pub const ADD_CYCLES: f64 = 1.0;

/// What a multiplication takes on a core.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Multiply {
    /// Cycles: the whole number that was seen, or the nearest one.
    pub cycles: f64,
    /// Why that cannot be relied upon, where none was seen, or several.
    pub doubt: Option<Doubt>,
}

/// Additions in the time of a multiplication: of the shortest times of both in one look, and of the
/// window with most of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Doubt {
    shortest: f64,
    longest: f64,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Doubt { shortest, longest } = self;
        write!(
            f,
            "a multiplication took the time of {shortest:.2} to {longest:.2} additions, which leaves \
             open how many cycles it has"
        )
    }
}

/// Times of an addition and of a multiplication, one after the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// ns.
    pub add: f64,
    /// ns.
    pub mul: f64,
}

impl Window {
    fn ratio(&self) -> f64 {
        self.mul / self.add
    }
}

/// No 64-bit multiplication in a current core takes fewer, and none in print more (14 on the first
/// Atom).
const LEAST: u32 = 2;
const MOST: u32 = 16;

/// Windows in a look, some 3 ms together.
const WINDOWS: usize = 64;

/// A tenth of an addition: what a sibling that works without a break takes off on Zen, and no more
/// than a drifting clock does.
const NEAR: f64 = 0.1;

/// Share of the windows that must be near the number; four in ten were, while compilers had the whole
/// machine.
const SEEN: f64 = 0.125;

/// So many near another number are another core: one that a virtual CPU moved to.
const OTHER: f64 = 0.25;

impl Multiply {
    /// Looks at windows, unless they were disturbed, until a look leaves no doubt or it is told not
    /// to go on.
    pub fn find(
        mut window: impl FnMut() -> Option<Window>,
        mut goes_on: impl FnMut() -> bool,
    ) -> Multiply {
        loop {
            let look: Vec<Window> = (0..WINDOWS).filter_map(|_| window()).collect();
            let found = Multiply::of(&look);
            if found.doubt.is_none() || !goes_on() {
                return found;
            }
        }
    }

    fn of(look: &[Window]) -> Multiply {
        let least = |of: fn(&Window) -> f64| look.iter().map(of).fold(f64::INFINITY, f64::min);
        let quotient = least(|w| w.mul) / least(|w| w.add);
        let near = |ratio: f64, cycles: f64| (ratio - cycles).abs() <= NEAR;
        let seen = |cycles: f64| {
            let there = look.iter().filter(|w| near(w.ratio(), cycles)).count();
            there as f64 / look.len() as f64
        };
        let wholes = || (LEAST..=MOST).map(f64::from);
        // Where the quotient is none, the distance is not the least of any.
        let distance = |cycles: &f64| (quotient - cycles).abs();
        let nearest = wholes().min_by(|a, b| distance(a).total_cmp(&distance(b)));
        let cycles = nearest.unwrap_or(f64::from(LEAST));
        let sure = near(quotient, cycles) && seen(cycles) >= SEEN;
        let others = wholes().filter(|&other| other != cycles).any(|other| seen(other) >= OTHER);
        let longest = look.iter().map(Window::ratio).fold(quotient, f64::max);
        let doubt = (!sure || others).then_some(Doubt { shortest: quotient, longest });
        Multiply { cycles, doubt }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How a sibling at work disturbs.
    #[derive(Clone, Copy, Debug)]
    enum Sibling {
        /// Each operation alike, as on Zen.
        Alike,
        /// Multiplications alone, as on a Xeon.
        Multiplications,
    }

    const SIBLINGS: [Sibling; 2] = [Sibling::Alike, Sibling::Multiplications];

    /// A core whose multiplication takes `cycles`, with a sibling that delays it so in each window.
    fn core(
        cycles: f64,
        sibling: Sibling,
        delay: impl Fn(usize) -> f64,
    ) -> impl FnMut() -> Option<Window> {
        let mut n = 0;
        move || {
            n += 1;
            // No delay is even.
            let (noise, even) = ((n as f64 * 12.9898).sin(), (n as f64 * 78.233).sin());
            let d = delay(n) * (1.0 + 0.1 * even);
            let add = match sibling {
                Sibling::Alike => 1.0 + d,
                Sibling::Multiplications => 1.0,
            };
            Some(Window { add, mul: (cycles + d) * (1.0 + 1e-4 * noise) })
        }
    }

    fn quiet(cycles: f64) -> impl FnMut() -> Option<Window> {
        core(cycles, Sibling::Alike, |_| 0.0)
    }

    /// What is found there with patience for so many looks.
    fn found(window: impl FnMut() -> Option<Window>, looks: usize) -> Multiply {
        let mut left = looks;
        Multiply::find(window, || {
            left -= 1;
            left > 0
        })
    }

    const DESIGNS: [f64; 5] = [2.0, 3.0, 4.0, 5.0, 6.0];

    #[test]
    fn a_core_of_its_own_tells_at_the_first_look() {
        for cycles in DESIGNS {
            assert_eq!(found(quiet(cycles), 1), Multiply { cycles, doubt: None });
        }
    }

    #[test]
    fn a_sibling_that_works_most_of_the_time_is_waited_for() {
        for cycles in DESIGNS {
            for sibling in SIBLINGS {
                for delay in [0.045, 0.1, 0.2] {
                    // Quiet in one stretch of three, which may begin late.
                    let window = core(cycles, sibling, |n| if n % 900 > 600 { 0.0 } else { delay });
                    let multiply = found(window, 20);
                    assert_eq!(multiply, Multiply { cycles, doubt: None }, "{sibling:?} {delay}");
                }
            }
        }
    }

    #[test]
    fn a_sibling_that_rests_for_single_windows_hides_nothing() {
        // As on a Xeon while compilers had the whole machine: four windows of ten are quiet.
        for cycles in DESIGNS {
            let delays = [0.0, 0.25, 0.0, 0.4, 0.45];
            let window = core(cycles, Sibling::Multiplications, |n| delays[n % 5]);
            assert_eq!(found(window, 1), Multiply { cycles, doubt: None });
        }
    }

    #[test]
    fn where_a_sibling_never_rests_a_little_is_seen_through_and_more_leaves_a_doubt() {
        let never = |sibling, delay| found(core(3.0, sibling, move |_| delay), 3);
        for sibling in SIBLINGS {
            assert_eq!(never(sibling, 0.045), Multiply { cycles: 3.0, doubt: None }, "{sibling:?}");
            let multiply = never(sibling, 0.3);
            assert_eq!(multiply.cycles, 3.0, "{sibling:?}");
            assert!(multiply.doubt.is_some(), "{sibling:?}");
        }
        let why = never(Sibling::Multiplications, 0.3).doubt.unwrap().to_string();
        assert!(why.contains("the time of 3.27 to 3.33 additions"), "{why}");
    }

    #[test]
    fn a_virtual_cpu_between_two_kinds_of_cores_leaves_a_doubt() {
        let (mut fast, mut slow, mut n) = (quiet(3.0), quiet(5.0), 0);
        let window = || {
            n += 1;
            if n % 40 < 20 { fast() } else { slow() }
        };
        let why = found(window, 10).doubt.unwrap().to_string();
        assert!(why.contains("3.00 to 5.00 additions"), "{why}");
    }

    #[test]
    fn interrupted_windows_are_outvoted_and_disturbed_ones_left_out() {
        let (mut of_itself, mut n) = (quiet(4.0), 0);
        let window = || {
            n += 1;
            match n % 16 {
                0 => of_itself().map(|w| Window { mul: w.mul * 7.0, ..w }),
                1 => None,
                _ => of_itself(),
            }
        };
        assert_eq!(found(window, 1), Multiply { cycles: 4.0, doubt: None });
    }

    #[test]
    fn an_emulated_core_can_be_anywhere() {
        for mul in [1.0, 1.3, 77.0, f64::NAN] {
            let multiply = found(|| Some(Window { add: 1.0, mul }), 2);
            assert!(multiply.doubt.is_some(), "{mul}");
            assert!((2.0..=16.0).contains(&multiply.cycles), "{mul}: {}", multiply.cycles);
        }
        assert!(found(|| None, 2).doubt.is_some());
    }

    proptest! {
        #[test]
        fn no_sibling_makes_three_cycles_another_number(
            delays in proptest::collection::vec(0.0..0.45, 1..6),
            alone in any::<bool>(),
        ) {
            let sibling = SIBLINGS[usize::from(alone)];
            let multiply = found(core(3.0, sibling, |n| delays[n / 32 % delays.len()]), 5);
            prop_assert!(multiply.doubt.is_some() || multiply.cycles == 3.0, "{:?}", multiply);
        }
    }
}
