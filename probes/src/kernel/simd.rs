//! Arithmetic in registers: chains of one instruction, of two in turn, and instructions on numbers
//! too small to be normal.
//!
//! Every chain goes on where it began: what it holds stays near 1 and finite however long it runs,
//! and is known beforehand from a scalar twin that takes the same steps one by one.

use std::mem::offset_of;

use super::arch;
use super::arch::simd::Assist;
use super::generic::simd::Loop;

/// Instructions in a block.
const BLOCK: u64 = 240;

/// Chains that there is room for.
const MOST_CHAINS: usize = 24;

/// Numbers in the table that gathers read.
const TABLE: usize = 1024;

/// Bytes of the widest register.
const LANES: usize = 64;

/// What a lane holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// 32-bit floating point.
    F32,
    /// 64-bit floating point.
    F64,
    /// 32-bit integers.
    I32,
}

impl Type {
    /// The name in parameters and ids.
    pub fn name(self) -> &'static str {
        match self {
            Type::F32 => "f32",
            Type::F64 => "f64",
            Type::I32 => "i32",
        }
    }

    /// Bytes of a lane.
    pub fn bytes(self) -> usize {
        if self == Type::F64 { 8 } else { 4 }
    }
}

/// An instruction, or two in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// An addition, then the subtraction that undoes it.
    Add,
    /// Doubling, then halving.
    Mul,
    /// x·c + d, which settles at 1; where the instruction adds to its target, x + c·d, then x − c·d.
    Fma,
    /// Lanes in reverse order within 128 bits.
    Shuffle,
    /// Loads from a small table at the indices in a register.
    Gather,
    /// Fused multiply-adds and additions on chains of their own.
    FmaAdd,
    /// Multiplications and additions on chains of their own.
    MulAdd,
}

impl Op {
    /// Says that the loop chooses the number of chains.
    pub const OWN_CHAINS: u64 = 0;

    /// The name in parameters and ids.
    pub fn name(self) -> &'static str {
        match self {
            Op::Add => "add",
            Op::Mul => "mul",
            Op::Fma => "fma",
            Op::Shuffle => "shuffle",
            Op::Gather => "gather",
            Op::FmaAdd => "fma_add",
            Op::MulAdd => "mul_add",
        }
    }
}

/// A width of registers that this CPU has, proven by holding it.
#[derive(Clone, Copy, Debug)]
pub struct Width(pub(super) arch::width::Width);

impl Width {
    /// Those of this CPU, narrow first.
    pub fn detect() -> Vec<Width> {
        arch::width::Width::detect().into_iter().map(Width).collect()
    }

    /// The name in parameters and ids.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// Numbers of that type in a register.
    pub fn lanes(self, of: Type) -> usize {
        self.0.bytes().map_or(1, |bytes| bytes / of.bytes())
    }
}

/// One step of a chain.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// x + d, then x − d.
    AddSub,
    /// d − x.
    Reflect,
    /// x·c, then x·d, which are inverses.
    Scale,
    /// −x.
    Negate,
    /// x·c + d.
    Settle,
    /// x·d + d.
    SettleByOne,
    /// x + c·d, then x − c·d.
    Accumulate,
    /// x + c in integers.
    Count,
    /// Reversal of four lanes.
    Reverse,
    /// The entry of the table at x.
    Follow,
    /// The same of the last chain alone; the others stay.
    LookUp,
}

/// Registers of the chains and the constants, as the loops load and store them.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(super) struct State {
    chains: [[u8; LANES]; MOST_CHAINS],
    c: [u8; LANES],
    d: [u8; LANES],
    table: [u32; TABLE],
}

// The loops name these places by their numbers.
const _: () = {
    assert!(offset_of!(State, chains) == 0 && LANES == 64);
    assert!(offset_of!(State, c) == 1536 && offset_of!(State, d) == 1600);
    assert!(offset_of!(State, table) == 1664);
};

/// Chains of an instruction, ready to run.
#[derive(Debug)]
pub struct Chains {
    op: Op,
    of: Type,
    width: Width,
    run: Loop,
    /// The step of each chain, and how many of them a block takes.
    steps: Vec<(Step, u64)>,
    begin: State,
    state: State,
    blocks: u64,
}

impl Chains {
    /// So many chains, or as many as the instructions are made for. `None` where the CPU has no
    /// such instruction at this width, or there is no loop for so many chains.
    pub fn new(width: Width, op: Op, of: Type, chains: u64) -> Option<Chains> {
        let run = width.0.chains(op, of, chains)?;
        let steps = steps(width, op, of, chains);
        let begin = begin(op, of);
        Some(Chains { op, of, width, run, steps, state: begin.clone(), begin, blocks: 0 })
    }

    /// Instructions in the smallest run.
    pub fn block(&self) -> u64 {
        match self.op {
            // Seven groups of eight and eight, twice.
            Op::FmaAdd if self.steps.len() == 15 => 224,
            _ => BLOCK,
        }
    }

    /// Floating-point operations in a block; 0 of integers.
    pub fn flops(&self) -> u64 {
        let lanes = self.width.lanes(self.of) as u64;
        match (self.op, self.of) {
            (_, Type::I32) => 0,
            (Op::Fma, _) => 2 * lanes * self.block(),
            (Op::FmaAdd, _) => 3 * lanes * self.block() / 2,
            _ => lanes * self.block(),
        }
    }

    /// Runs so many blocks from the beginning of the chains.
    #[inline]
    pub fn run(&mut self, blocks: u64) {
        self.blocks = blocks.max(1);
        self.state.chains = self.begin.chains;
        // SAFETY: the width was detected (its token), and so was what the width does not imply
        // (there is no loop without its proof); every index in the table and in the chains of a
        // gather is below the table's length (`begin`).
        unsafe { (self.run)(&mut self.state, self.blocks) };
    }

    /// Whether the last run left in every lane what the scalar twin says.
    ///
    /// # Errors
    /// What is wrong: what there is and what there should be.
    pub fn check(&self) -> Result<(), String> {
        if self.blocks == 0 {
            return Ok(());
        }
        let lanes = self.width.lanes(self.of);
        for (chain, &(step, each)) in self.steps.iter().enumerate() {
            let is = &self.state.chains[chain];
            let should = self.begin.after(chain, step, each * self.blocks, self.of, lanes);
            if is[..lanes * self.of.bytes()] != should[..lanes * self.of.bytes()] {
                return Err(format!(
                    "{} {} {}: chain {chain} holds {is:x?} after {} steps and should hold {should:x?}",
                    self.op.name(),
                    self.of.name(),
                    self.width.name(),
                    each * self.blocks
                ));
            }
        }
        Ok(())
    }
}

/// What each chain does, and how often a block.
fn steps(width: Width, op: Op, of: Type, chains: u64) -> Vec<(Step, u64)> {
    let all = |step, n: u64, each| vec![(step, each); n as usize];
    let alone = |step| all(step, chains, BLOCK / chains.max(1));
    match op {
        Op::Add if of == Type::I32 => alone(Step::Count),
        Op::Add => alone(Step::AddSub),
        Op::Mul => alone(Step::Scale),
        Op::Fma if arch::simd::ACCUMULATES => alone(Step::Accumulate),
        Op::Fma => alone(Step::Settle),
        Op::Shuffle => alone(Step::Reverse),
        Op::Gather if width.0.bytes().is_none() && chains > 1 => alone(Step::LookUp),
        Op::Gather => alone(Step::Follow),
        Op::FmaAdd if width.0.registers() == 32 => {
            let fma = if arch::simd::ACCUMULATES { Step::Accumulate } else { Step::SettleByOne };
            [all(fma, 12, 10), all(Step::Reflect, 12, 10)].concat()
        }
        Op::FmaAdd => [all(Step::SettleByOne, 8, 14), all(Step::Reflect, 7, 16)].concat(),
        Op::MulAdd => [all(Step::Negate, 6, 20), all(Step::AddSub, 6, 20)].concat(),
    }
}

/// Numbers that sums and differences of stay exact: multiples of a 64th, different in each lane.
fn begin(op: Op, of: Type) -> State {
    let mut state = State {
        chains: [[0; LANES]; MOST_CHAINS],
        c: [0; LANES],
        d: [0; LANES],
        table: [0; TABLE],
    };
    let part = |lane: usize| (4 + 5 * lane % 23) as f64 / 64.0;
    for lane in 0..LANES / of.bytes() {
        let (c, d) = match op {
            Op::Mul => (2.0, 0.5),
            Op::MulAdd => (-1.0, part(lane)),
            Op::Fma => (part(lane), 1.0 - part(lane)),
            _ => (part(lane), part(lane)),
        };
        put(&mut state.c, of, lane, if of == Type::I32 { (lane + 1) as f64 } else { c });
        put(&mut state.d, of, lane, d);
        for (chain, registers) in state.chains.iter_mut().enumerate() {
            let seed = (7 * lane + 3 * chain) % 32;
            let seed = if of == Type::I32 { seed as f64 } else { 1.0 + seed as f64 / 64.0 };
            put(registers, of, lane, seed);
        }
    }
    // A single cycle through all of the table: an odd factor of 1 modulo 4 and an odd addend.
    for (i, entry) in state.table.iter_mut().enumerate() {
        *entry = ((5 * i + 1) % TABLE) as u32;
    }
    state
}

fn put(register: &mut [u8; LANES], of: Type, lane: usize, value: f64) {
    let at = lane * of.bytes();
    match of {
        Type::F32 => register[at..at + 4].copy_from_slice(&(value as f32).to_ne_bytes()),
        Type::F64 => register[at..at + 8].copy_from_slice(&value.to_ne_bytes()),
        Type::I32 => register[at..at + 4].copy_from_slice(&(value as u32).to_ne_bytes()),
    }
}

/// The lane of a register.
fn get<const N: usize>(register: &[u8; LANES], lane: usize) -> [u8; N] {
    std::array::from_fn(|i| register[lane * N + i])
}

impl State {
    /// The scalar twin: what a chain that began like this holds after so many steps.
    fn after(&self, chain: usize, step: Step, steps: u64, of: Type, lanes: usize) -> [u8; LANES] {
        let begin = &self.chains[chain];
        let mut out = *begin;
        for lane in 0..lanes {
            match of {
                Type::F32 => {
                    let of = |register| f32::from_ne_bytes(get(register, lane));
                    let x = float32(step, steps, of(begin), of(&self.c), of(&self.d));
                    out[lane * 4..][..4].copy_from_slice(&x.to_ne_bytes());
                }
                Type::F64 => {
                    let of = |register| f64::from_ne_bytes(get(register, lane));
                    let x = float64(step, steps, of(begin), of(&self.c), of(&self.d));
                    out[lane * 8..][..8].copy_from_slice(&x.to_ne_bytes());
                }
                Type::I32 => {
                    let of = |register, lane| u32::from_ne_bytes(get(register, lane));
                    let x = of(begin, lane);
                    let x = match step {
                        Step::Count => x.wrapping_add(of(&self.c, lane).wrapping_mul(steps as u32)),
                        Step::Reverse if steps % 2 == 1 => of(begin, lane / 4 * 4 + 3 - lane % 4),
                        Step::Follow => (0..steps).fold(x, |x, _| self.table[x as usize]),
                        Step::LookUp if chain == 7 => self.table[x as usize],
                        _ => x,
                    };
                    out[lane * 4..][..4].copy_from_slice(&x.to_ne_bytes());
                }
            }
        }
        out
    }
}

/// The twin in one format of floating point. What settles is followed until it stands still.
macro_rules! twin {
    ($name:ident $float:ident) => {
        fn $name(step: Step, steps: u64, x: $float, c: $float, d: $float) -> $float {
            let settle = |factor: $float| {
                let mut x = x;
                for _ in 0..steps {
                    let next = x.mul_add(factor, d);
                    if next == x {
                        break;
                    }
                    x = next;
                }
                x
            };
            let odd = steps % 2 == 1;
            match step {
                Step::AddSub if odd => x + d,
                Step::Reflect if odd => d - x,
                Step::Scale if odd => x * c,
                Step::Negate if odd => -x,
                Step::Accumulate if odd => c.mul_add(d, x),
                Step::Settle => settle(c),
                Step::SettleByOne => settle(d),
                _ => x,
            }
        }
    };
}

twin!(float32 f32);
twin!(float64 f64);

/// An instruction whose operands or result may be subnormal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assisted {
    /// a + b.
    Add,
    /// a · b.
    Mul,
    /// a · b + c.
    Fma,
}

impl Assisted {
    /// All of them.
    pub const ALL: [Assisted; 3] = [Assisted::Add, Assisted::Mul, Assisted::Fma];

    /// The name in parameters and ids.
    pub fn name(self) -> &'static str {
        match self {
            Assisted::Add => "add",
            Assisted::Mul => "mul",
            Assisted::Fma => "fma",
        }
    }
}

/// Where the subnormal number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubnormalAt {
    /// Nowhere.
    Nowhere,
    /// Among the operands; the result is normal.
    Operand,
    /// In the result of normal operands.
    Result,
}

impl SubnormalAt {
    /// All of them.
    pub const ALL: [SubnormalAt; 3] =
        [SubnormalAt::Nowhere, SubnormalAt::Operand, SubnormalAt::Result];

    /// The name in parameters.
    pub fn name(self) -> &'static str {
        match self {
            SubnormalAt::Nowhere => "none",
            SubnormalAt::Operand => "input",
            SubnormalAt::Result => "output",
        }
    }
}

/// Three operands of four equal numbers.
#[derive(Clone, Debug, Default)]
#[repr(C, align(16))]
pub(super) struct Operands(pub(super) [[f32; 4]; 3]);

/// One instruction on the same operands over and over, 128 bits wide.
#[derive(Debug)]
pub struct MicrocodeAssists {
    what: Assisted,
    flush: bool,
    run: Assist,
    operands: Operands,
    result: [f32; 4],
    ran: bool,
}

impl MicrocodeAssists {
    /// Instructions in the smallest run.
    pub const BLOCK: u64 = 64;

    /// With subnormal numbers there, which are taken for zero if so asked. `None` where there is
    /// no such instruction.
    pub fn new(what: Assisted, place: SubnormalAt, flush: bool) -> Option<MicrocodeAssists> {
        let run = Assist::detect(what)?;
        let (smallest, small) = (f32::MIN_POSITIVE, 2_f32.powi(-70));
        let operands = match (what, place) {
            (_, SubnormalAt::Nowhere) => [1.5, 1.25, 1.0],
            (Assisted::Add, SubnormalAt::Operand) => [smallest / 4.0, 1.25, 0.0],
            (_, SubnormalAt::Operand) => [smallest / 4.0, 2_f32.powi(40), 1.0],
            (Assisted::Add, SubnormalAt::Result) => [smallest * 1.5, -smallest, 0.0],
            (Assisted::Mul, SubnormalAt::Result) => [small, small, 0.0],
            (Assisted::Fma, SubnormalAt::Result) => [small, -2_f32.powi(-57), smallest],
        };
        let operands = Operands(operands.map(|x| [x; 4]));
        Some(MicrocodeAssists { what, flush, run, operands, result: [0.0; 4], ran: false })
    }

    /// Runs so many blocks.
    #[inline]
    pub fn run(&mut self, blocks: u64) {
        self.result = self.run.blocks(&self.operands, blocks.max(1), self.flush);
        self.ran = true;
    }

    /// Whether the last run gave what scalar arithmetic gives.
    ///
    /// # Errors
    /// What is wrong: what there is and what there should be.
    pub fn check(&self) -> Result<(), String> {
        let flushed = |x: f32| if self.flush && x.is_subnormal() { 0.0 } else { x };
        let [a, b, c] = self.operands.0.map(|x| flushed(x[0]));
        let should = flushed(match self.what {
            Assisted::Add => a + b,
            Assisted::Mul => a * b,
            Assisted::Fma => a.mul_add(b, c),
        });
        let right = self.result.iter().all(|x| x.to_bits() == should.to_bits());
        (right || !self.ran).then_some(()).ok_or_else(|| {
            format!("{} gave {:?} and should give {should:?}", self.what.name(), self.result)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTS: [u64; 7] = [Op::OWN_CHAINS, 1, 2, 4, 8, 12, 24];
    const OPS: [Op; 7] =
        [Op::Add, Op::Mul, Op::Fma, Op::Shuffle, Op::Gather, Op::FmaAdd, Op::MulAdd];
    const TYPES: [Type; 3] = [Type::F32, Type::F64, Type::I32];

    fn all(mut visit: impl FnMut(Chains, u64)) {
        for width in Width::detect() {
            for op in OPS {
                for of in TYPES {
                    for count in COUNTS {
                        if let Some(chains) = Chains::new(width, op, of, count) {
                            visit(chains, count);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn every_loop_leaves_what_its_scalar_twin_leaves() {
        let mut seen = 0;
        all(|mut chains, _| {
            for blocks in [1, 2, 3, 10, 1001] {
                chains.run(blocks);
                chains.check().unwrap();
            }
            seen += 1;
        });
        assert!(seen >= 2 * 2 * 4, "baseline loops alone are that many: {seen}");
    }

    #[test]
    fn a_wrong_lane_is_seen_in_every_chain() {
        all(|mut chains, _| {
            chains.run(3);
            for chain in 0..chains.steps.len() {
                chains.state.chains[chain][0] ^= 1;
                assert!(chains.check().is_err(), "{:?} {:?}", chains.op, chains.of);
                chains.state.chains[chain][0] ^= 1;
            }
            chains.check().unwrap();
        });
    }

    #[test]
    fn a_block_less_is_seen_where_it_can_be() {
        all(|mut chains, _| {
            // Steps that undo each other hide whole blocks; multiply-adds settle.
            let hides = matches!(chains.op, Op::Mul | Op::Shuffle | Op::FmaAdd | Op::MulAdd);
            let hides = hides || (chains.op == Op::Add && chains.of != Type::I32);
            let looked_up = chains.op == Op::Gather && chains.width.0.bytes().is_none();
            chains.run(1);
            chains.blocks = 2;
            let settled = chains.op == Op::Fma;
            assert!(hides || looked_up || settled || chains.check().is_err(), "{:?}", chains.op);
        });
    }

    #[test]
    fn values_stay_normal_and_near_one() {
        all(|mut chains, _| {
            chains.run(5000);
            for chain in 0..chains.steps.len() {
                for lane in 0..chains.width.lanes(chains.of) {
                    let register = &chains.state.chains[chain];
                    let value = match chains.of {
                        Type::F32 => f64::from(f32::from_ne_bytes(get(register, lane))),
                        Type::F64 => f64::from_ne_bytes(get(register, lane)),
                        Type::I32 => continue,
                    };
                    assert!((0.01..4.0).contains(&value.abs()), "{:?}: {value}", chains.op);
                }
            }
        });
    }

    #[test]
    fn blocks_and_chains_agree() {
        all(|chains, count| {
            let all: u64 = chains.steps.iter().map(|s| s.1).sum();
            assert_eq!(all, chains.block(), "{:?} {count}", chains.op);
        });
    }

    #[test]
    fn subnormal_numbers_are_where_they_should_be() {
        for what in Assisted::ALL {
            for place in SubnormalAt::ALL {
                for flush in [false, true] {
                    let Some(mut assists) = MicrocodeAssists::new(what, place, flush) else {
                        continue;
                    };
                    assists.run(3);
                    assists.check().unwrap();
                    let operands = assists.operands.0.map(|x| x[0].is_subnormal());
                    let in_use = &operands[..if what == Assisted::Fma { 3 } else { 2 }];
                    let subnormal = (in_use.contains(&true), assists.result[0].is_subnormal());
                    let expected = match place {
                        SubnormalAt::Nowhere => (false, false),
                        SubnormalAt::Operand => (true, false),
                        SubnormalAt::Result => (false, !flush),
                    };
                    assert_eq!(subnormal, expected, "{what:?} {place:?} {flush}");
                    assists.result[3] = 77.0;
                    assert!(assists.check().is_err());
                }
            }
        }
    }

    #[test]
    fn arithmetic_outside_is_not_flushed() {
        let mut assists = MicrocodeAssists::new(Assisted::Add, SubnormalAt::Result, true).unwrap();
        assists.run(10);
        let half = std::hint::black_box(f32::MIN_POSITIVE) / 2.0;
        assert!(half > 0.0);
    }
}
