//! A small function inlined, called, and called through a pointer or an object.
//!
//! All ways run the same loop over a list of numbers; the number says which of 16 functions is
//! called where there is a choice. The list is of one number, or random and new for each sample. Each
//! loop and each function begins a line of code.

use std::cell::{Cell, RefCell};
use std::hint::black_box;

use super::{HOW, interleave, plan, times, way};
use crate::harness::bench::Bench;
use crate::kernel::begin_line;
use card::declare::{Declare, NoiseClass};

pub(super) fn declare(d: &mut Declare) {
    let call = times(d, "call");
    let ways = [
        ("idioms.call_inlined", "inlined", "inlined call: one loop iteration"),
        (
            "idioms.call_direct",
            "direct",
            "direct call: one loop iteration, two predicted taken branches more",
        ),
        ("idioms.call_indirect", "indirect", "indirect call, one target: predicted"),
        ("idioms.call_dyn", "dyn", "dyn call, one type: two loads before a predicted call"),
        (
            "idioms.call_indirect_unpredicted",
            "indirect_random",
            "indirect call, 16 random targets: 15 of 16 mispredicted",
        ),
        (
            "idioms.call_dyn_unpredicted",
            "dyn_random",
            "dyn call, 16 random types: 15 of 16 mispredicted",
        ),
    ];
    for (stem, how, summary) in ways {
        d.cost(stem, NoiseClass::T2, call.with(HOW, how), summary);
    }
}

/// More than a predictor could guess right by luck.
const TARGETS: usize = 16;

/// What makes the functions different ones, so that the compiler cannot merge them.
const KEYS: [u64; TARGETS] = [
    0x9e37, 0x79b9, 0x7f4a, 0x7c15, 0xbf58, 0x476d, 0x1ce4, 0xe5b9, 0x94d0, 0x49bb, 0x1331, 0x11eb,
    0x2545, 0xf491, 0x4f6c, 0xdd1d,
];

/// Which target is called where it is always the same.
const ONE: u8 = 5;

#[inline(always)]
fn step(x: u64, number: u8, key: u64) -> u64 {
    x.wrapping_add(u64::from(number)) ^ key
}

#[inline(never)]
fn inlined(numbers: &[u8]) -> u64 {
    begin_line();
    numbers.iter().fold(0, |x, &number| step(x, number, KEYS[ONE as usize]))
}

#[inline(never)]
fn one_function(x: u64, number: u8) -> u64 {
    begin_line();
    step(x, number, KEYS[ONE as usize])
}

#[inline(never)]
fn direct(numbers: &[u8]) -> u64 {
    begin_line();
    numbers.iter().fold(0, |x, &number| one_function(x, number))
}

type Function = fn(u64, u8) -> u64;

fn function<const N: usize>(x: u64, number: u8) -> u64 {
    begin_line();
    step(x, number, KEYS[N])
}

#[inline(never)]
fn indirect(functions: &[Function; TARGETS], numbers: &[u8]) -> u64 {
    begin_line();
    numbers.iter().fold(0, |x, &number| functions[number as usize % TARGETS](x, number))
}

trait Step {
    fn step(&self, x: u64, number: u8) -> u64;
}

struct Object<const N: usize>;

impl<const N: usize> Step for Object<N> {
    fn step(&self, x: u64, number: u8) -> u64 {
        begin_line();
        step(x, number, KEYS[N])
    }
}

#[inline(never)]
fn dynamic(objects: &[Box<dyn Step>; TARGETS], numbers: &[u8]) -> u64 {
    begin_line();
    numbers.iter().fold(0, |x, &number| objects[number as usize % TARGETS].step(x, number))
}

macro_rules! all_targets {
    ($of:ident) => {
        [
            $of!(0),
            $of!(1),
            $of!(2),
            $of!(3),
            $of!(4),
            $of!(5),
            $of!(6),
            $of!(7),
            $of!(8),
            $of!(9),
            $of!(10),
            $of!(11),
            $of!(12),
            $of!(13),
            $of!(14),
            $of!(15),
        ]
    };
}

fn functions() -> [Function; TARGETS] {
    macro_rules! of {
        ($n:literal) => {
            function::<$n> as Function
        };
    }
    all_targets!(of)
}

fn objects() -> [Box<dyn Step>; TARGETS] {
    macro_rules! of {
        ($n:literal) => {
            Box::new(Object::<$n>) as Box<dyn Step>
        };
    }
    all_targets!(of)
}

/// The numbers of one sample, and what comes of them.
struct Numbers {
    all: Vec<u8>,
    expected: u64,
}

impl Numbers {
    fn refill(&mut self, count: u64, rng: Option<&mut fastrand::Rng>) {
        self.all.clear();
        match rng {
            Some(rng) => self.all.extend((0..count).map(|_| rng.u8(..TARGETS as u8))),
            None => self.all.resize(count as usize, ONE),
        }
        let next = |x, &number: &u8| step(x, number, KEYS[number as usize]);
        self.expected = self.all.iter().fold(0, next);
    }
}

/// Goes through a list of numbers, a call each.
type Loop<'a> = &'a dyn Fn(&[u8]) -> u64;

/// Of the round.
const SHARE: f64 = 0.12;

pub(super) fn measure(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let (functions, objects) = (black_box(functions()), black_box(objects()));
    let through_pointer = |numbers: &[u8]| indirect(&functions, numbers);
    let through_object = |numbers: &[u8]| dynamic(&objects, numbers);
    let ways: [(&str, Loop<'_>, bool); 6] = [
        ("inlined", &inlined, false),
        ("direct", &direct, false),
        ("indirect", &through_pointer, false),
        ("dyn", &through_object, false),
        ("indirect_random", &through_pointer, true),
        ("dyn_random", &through_object, true),
    ];
    let right = Cell::new(true);
    let numbers = RefCell::new(Numbers { all: Vec::new(), expected: 0 });
    let rng = RefCell::new(bench.rng.fork());
    let arms = ways.iter().map(|&(how, call, random)| {
        let (numbers, right, rng) = (&numbers, &right, &rng);
        let work = move |_| {
            let numbers = numbers.borrow();
            right.set(right.get() & (call(&numbers.all) == numbers.expected));
        };
        // By the address of the code: 5 or 8 cycles on Zen 3, wherever stack and heap lie.
        let placed = "where the kernel placed the program in memory decides how well such calls are \
                      predicted: a round keeps its place";
        let note = matches!(how, "indirect" | "dyn").then(|| placed.to_owned());
        way("call", how, work).noted(note).prepared(move |ops| {
            let mut rng = rng.borrow_mut();
            numbers.borrow_mut().refill(ops, random.then_some(&mut rng));
        })
    });
    let arms = arms.collect();
    let plan = plan(bench, SHARE);
    interleave(bench, arms, plan)?;
    bench.check(right.get(), || "calls through pointers came to wrong functions".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::memory::LINE;

    #[test]
    fn all_ways_compute_the_same() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut numbers = Numbers { all: Vec::new(), expected: 0 };
        numbers.refill(1000, Some(&mut rng));
        assert!((0..TARGETS as u8).all(|n| numbers.all.contains(&n)));
        assert_eq!(indirect(&functions(), &numbers.all), numbers.expected);
        assert_eq!(dynamic(&objects(), &numbers.all), numbers.expected);
        assert_ne!(direct(&numbers.all), numbers.expected, "another function each");
        numbers.refill(1000, None);
        let all = [inlined(&numbers.all), direct(&numbers.all)];
        assert_eq!(all, [numbers.expected; 2]);
        assert_eq!(indirect(&functions(), &numbers.all), numbers.expected);
    }

    #[test]
    fn the_targets_are_different_functions_and_each_begins_a_line() {
        let at: std::collections::BTreeSet<usize> =
            functions().iter().map(|f| *f as usize).collect();
        assert_eq!(at.len(), TARGETS);
        assert!(at.iter().all(|at| at.is_multiple_of(LINE)), "{at:x?}");
    }
}
