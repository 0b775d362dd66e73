//! Atomic read-modify-writes, in each form that the CPU has instructions for.

use std::sync::atomic::AtomicU32;

use super::arch;

/// A kind of instructions that change memory atomically: holding one proves that the CPU has them.
#[derive(Clone, Copy, Debug)]
pub struct Form(arch::atomic::Form);

impl Form {
    /// The names of those that this architecture can have, whether this CPU has them or not.
    pub const fn declared() -> &'static [&'static str] {
        arch::atomic::Form::DECLARED
    }

    /// Those of this CPU, the one that a compiler would choose for it first.
    pub fn all() -> Vec<Form> {
        arch::atomic::Form::detect().into_iter().map(Form).collect()
    }

    /// The one that a compiler would choose for this CPU.
    #[inline(always)]
    pub fn usual() -> Form {
        Form(arch::atomic::Form::usual())
    }

    /// The name in parameters.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// Adds one, and returns what was there.
    #[inline(always)]
    pub fn add_one(self, word: &AtomicU32) -> u32 {
        self.0.add_one(word)
    }

    /// Replaces `from` by `to`; `false` where something else was there. What this thread did before
    /// is done for whoever sees the new value, and nothing after it begins before.
    #[inline(always)]
    pub fn replace(self, word: &AtomicU32, from: u32, to: u32) -> bool {
        self.0.replace(word, from, to)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn every_form_adds_and_replaces_and_the_usual_one_is_first() {
        let forms = Form::all();
        assert_eq!(forms[0].name(), Form::usual().name());
        assert!(forms.iter().all(|form| Form::declared().contains(&form.name())));
        for form in forms {
            let word = AtomicU32::new(41);
            assert_eq!(form.add_one(&word), 41);
            assert!(!form.replace(&word, 41, 7), "{}", form.name());
            assert_eq!(word.load(Ordering::Relaxed), 42);
            assert!(form.replace(&word, 42, 7), "{}", form.name());
            assert_eq!(word.into_inner(), 7);
        }
    }

    #[test]
    fn no_addition_is_lost_between_threads() {
        for form in Form::all() {
            let word = AtomicU32::new(0);
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| (0..20_000).for_each(|_| _ = form.add_one(&word)));
                }
            });
            assert_eq!(word.into_inner(), 60_000, "{}", form.name());
        }
    }
}
