//! How far a core looks ahead: two slow chains that overlap only while what stands between them
//! finds room.

use std::io;
use std::ptr::{from_mut, null};

use super::arch::emit::Instruction;
use super::arch::window as kernel;
use super::generic::emit::{Emit, Routine};
use super::whole_blocks;

/// Square roots in each chain. Their 200 to 300 cycles are more than a core needs to take in all
/// that its window holds, and few enough that both chains fit into the smallest window.
pub const ROOTS: u64 = 12;

/// What stands between the chains, and so which resource is used up first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filler {
    /// Instructions that do nothing: the window itself.
    Nop,
    /// Additions of general registers: renamed integer registers.
    Integer,
    /// Shuffles of vectors: renamed vector registers.
    Vector,
    /// Loads that hit the first-level cache.
    Load,
    /// Stores to one place.
    Store,
}

impl Filler {
    /// All of them.
    pub const ALL: [Filler; 5] =
        [Filler::Nop, Filler::Integer, Filler::Vector, Filler::Load, Filler::Store];

    /// As in parameters.
    pub fn name(self) -> &'static str {
        match self {
            Filler::Nop => "nop",
            Filler::Integer => "integer",
            Filler::Vector => "vector",
            Filler::Load => "load",
            Filler::Store => "store",
        }
    }

    fn code(self) -> &'static [Instruction] {
        match self {
            Filler::Nop => kernel::NOP,
            Filler::Integer => kernel::INTEGER,
            Filler::Vector => kernel::VECTOR,
            Filler::Load => kernel::LOAD,
            Filler::Store => kernel::STORE,
        }
    }
}

/// Where fillers load and store: a line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line([u64; 8]);

/// The two chains with so many fillers between them.
#[derive(Debug)]
pub struct Window {
    code: Routine,
    right: bool,
}

impl Window {
    /// Makes the code: square roots of 1, each of which waits for the one before; fillers; as many
    /// square roots of another chain; and what waits for both chains, before it begins again.
    ///
    /// # Errors
    /// If there is no memory, or where nothing that was written may be executed.
    pub fn new(filler: Filler, fillers: u64) -> io::Result<Window> {
        let mut emit = Emit::default();
        emit.put(kernel::BEGIN).align(64);
        let top = emit.here();
        emit.put(&[kernel::FIRST_ROOT; ROOTS as usize]);
        for &instruction in filler.code().iter().cycle().take(fillers as usize) {
            emit.put(&[instruction]);
        }
        emit.put(&[kernel::SECOND_ROOT; ROOTS as usize]);
        emit.put(kernel::JOIN).repeat(top).put(kernel::RESULT).leave();
        Ok(Window { code: emit.finish()?, right: true })
    }

    /// Both chains, so many times.
    pub fn run(&mut self, times: u64) {
        let mut line = Line::default();
        let data = from_mut(&mut line.0[0]).cast();
        // SAFETY: the function emitted by `new` touches no memory but the 8 bytes at `data`, which
        // are ours, and changes general and vector registers that the calling convention gives it.
        let bits = unsafe { self.code.call(whole_blocks(times, 1).get(), data, null(), null()) };
        self.right &= f64::from_bits(bits) == 1.0;
    }

    /// Whether the roots came out right.
    pub fn is_right(&self) -> bool {
        self.right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_filler_leaves_the_chains_alone() {
        for filler in Filler::ALL {
            for fillers in [0, 1, 7, 1000] {
                let mut window = Window::new(filler, fillers).unwrap();
                window.run(0);
                window.run(10);
                assert!(window.is_right(), "{fillers} of {filler:?}");
            }
        }
    }
}
