//! What was learned of the noise of each metric, on machines like this one.
//!
//! A table of text: `id`, `tier`, `spread` (the standard deviation of the logarithm over the rounds of
//! one run; of a group's median over runs) and the number of `rounds` that it comes of. Rows whose id
//! begins with `between:` are of what sessions differ by, in a class or in a group. Lines that begin
//! with `#` say where it was learned.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::LazyLock;

const ZEN4_GUEST: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../reports/reference/prior/zen4-guest.tsv"));

/// First line of a table.
const TITLE: &str = "id\ttier\tspread\trounds";

/// Groups stand beside metrics under this.
const GROUP: &str = "group:";

/// What sessions differ by stands beside what runs do under these.
const BETWEEN_CLASS: &str = "between:class:";
const BETWEEN_GROUP: &str = "between:group:";

/// The tier whose runs are the most like others.
const USUAL_TIER: &str = "standard";

/// What was learned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prior {
    /// Where, in lines for people.
    pub notes: Vec<String>,
    learned: HashMap<(String, String), Learned>,
}

/// Of one metric in one tier.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Learned {
    /// The standard deviation of the logarithm.
    pub spread: f64,
    /// Rounds that it comes of; runs of a group; sessions.
    pub rounds: u32,
}

/// Why a table cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}; a prior is what `probecard learn` prints")]
pub struct NoPrior {
    line: usize,
    what: String,
}

impl Prior {
    /// Nothing yet, of machines that are described so.
    pub fn about(notes: Vec<String>) -> Prior {
        Prior { notes, ..Prior::default() }
    }

    /// The one that is compiled in.
    pub fn embedded() -> &'static Prior {
        static READ: LazyLock<Prior> = LazyLock::new(|| {
            Prior::parse(ZEN4_GUEST).expect("the prior is compiled in and tested")
        });
        &READ
    }

    /// Reads a table.
    ///
    /// # Errors
    /// What is wrong with which line.
    pub fn parse(text: &str) -> Result<Prior, NoPrior> {
        let mut prior = Prior::default();
        let mut titled = false;
        for (index, row) in text.lines().enumerate() {
            let no = |what: String| NoPrior { line: index + 1, what };
            if let Some(note) = row.strip_prefix('#') {
                prior.notes.push(note.trim().to_owned());
            } else if !titled {
                if row != TITLE {
                    return Err(no(format!("the columns are not {}", TITLE.replace('\t', ", "))));
                }
                titled = true;
            } else if !row.is_empty() {
                let columns: Vec<&str> = row.split('\t').collect();
                let [id, tier, spread, rounds] = columns[..] else {
                    return Err(no(format!("{} columns instead of 4", columns.len())));
                };
                let spread: Option<f64> = spread.parse().ok().filter(|s| (0.0..1e3).contains(s));
                let (Some(spread), Ok(rounds)) = (spread, rounds.parse()) else {
                    return Err(no("spread and rounds are not two numbers".into()));
                };
                prior.learn(id, tier, Learned { spread, rounds });
            }
        }
        if titled { Ok(prior) } else { Err(NoPrior { line: 1, what: "there is no table".into() }) }
    }

    /// Takes in what was learned of a metric.
    pub fn learn(&mut self, id: &str, tier: &str, learned: Learned) {
        self.learned.insert((id.to_owned(), tier.to_owned()), learned);
    }

    /// The same of a group.
    pub fn learn_group(&mut self, id: &str, tier: &str, learned: Learned) {
        self.learn(&format!("{GROUP}{id}"), tier, learned);
    }

    /// Takes in what sessions differ by in a class of metrics.
    pub fn learn_between(&mut self, class: &str, tier: &str, learned: Learned) {
        self.learn(&format!("{BETWEEN_CLASS}{class}"), tier, learned);
    }

    /// The same of the median of a group.
    pub fn learn_group_between(&mut self, id: &str, tier: &str, learned: Learned) {
        self.learn(&format!("{BETWEEN_GROUP}{id}"), tier, learned);
    }

    /// What was learned of a metric in that tier, or else in standard runs.
    pub fn of(&self, id: &str, tier: &str) -> Option<Learned> {
        let of = |tier: &str| self.learned.get(&(id.to_owned(), tier.to_owned())).copied();
        of(tier).or_else(|| of(USUAL_TIER))
    }

    /// The same of a group.
    pub fn of_group(&self, id: &str, tier: &str) -> Option<Learned> {
        self.of(&format!("{GROUP}{id}"), tier)
    }

    /// What sessions differ by in a class of metrics.
    pub fn between(&self, class: &str, tier: &str) -> Option<f64> {
        self.of(&format!("{BETWEEN_CLASS}{class}"), tier).map(|learned| learned.spread)
    }

    /// The same of the median of a group.
    pub fn group_between(&self, id: &str, tier: &str) -> Option<f64> {
        self.of(&format!("{BETWEEN_GROUP}{id}"), tier).map(|learned| learned.spread)
    }

    /// The table.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut put = |line: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{line}");
        };
        self.notes.iter().for_each(|note| put(&format!("# {note}")));
        put(TITLE);
        let mut rows: Vec<_> = self.learned.iter().collect();
        rows.sort_by_key(|row| row.0);
        for ((id, tier), Learned { spread, rounds }) in rows {
            put(&format!("{id}\t{tier}\t{spread:.5}\t{rounds}"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_wrong_with_a_table_is_said_with_its_line() {
        for (text, line) in [
            ("", 1),
            ("# only a note\n", 1),
            ("id\ttier\n", 1),
            ("# a note\nid\ttier\tspread\trounds\na\tquick\t0.1\n", 3),
            ("id\ttier\tspread\trounds\na\tquick\tmuch\t5\n", 2),
            ("id\ttier\tspread\trounds\na\tquick\tNaN\t5\n", 2),
            ("id\ttier\tspread\trounds\na\tquick\t-1\t5\n", 2),
            ("id\ttier\tspread\trounds\na\tquick\t0.1\t5.5\n", 2),
        ] {
            assert_eq!(Prior::parse(text).unwrap_err().line, line, "{text}");
        }
    }

    #[test]
    fn the_embedded_table_knows_most_of_what_is_judged() {
        let prior = Prior::embedded();
        assert!(!prior.notes.is_empty());
        for tier in ["quick", "standard"] {
            assert!(prior.of("memory.latency.l1_cycles", tier).unwrap().spread < 0.01);
            let groups = &super::super::rules::rules().groups;
            assert!(groups.iter().all(|g| prior.of_group(&g.id, tier).is_some()), "{tier}");
        }
    }

    #[test]
    fn what_sessions_differ_by_has_rows_of_its_own() {
        let mut prior = Prior::default();
        let learned = |spread| Learned { spread, rounds: 6 };
        prior.learn_group("core", "standard", learned(0.001));
        prior.learn_between("core", "standard", learned(0.002));
        prior.learn_group_between("core", "standard", learned(0.003));
        let read = Prior::parse(&prior.text()).unwrap();
        assert_eq!(read.of_group("core", "quick"), Some(learned(0.001)));
        assert_eq!(read.between("core", "quick"), Some(0.002));
        assert_eq!(read.group_between("core", "thorough"), Some(0.003));
        // A table of before has none of it.
        assert_eq!(Prior::embedded().between("core", "standard"), None);
    }

    proptest! {
        #[test]
        fn a_table_reads_as_it_was_written(
            rows in proptest::collection::vec(("[a-z._0-9]{1,20}", 0.0..9.0_f64, 1..99_u32), 0..20)
        ) {
            let mut prior = Prior { notes: vec!["somewhere".into()], ..Prior::default() };
            for (id, spread, rounds) in rows {
                // As many digits as are written.
                let spread = (spread * 1e5).round() / 1e5;
                prior.learn(&id, "standard", Learned { spread, rounds });
                prior.learn_group(&id, "quick", Learned { spread, rounds });
            }
            prop_assert_eq!(Prior::parse(&prior.text()), Ok(prior));
        }

        #[test]
        fn any_text_is_a_table_or_an_error(text in "\\PC{0,40}") {
            let _ = Prior::parse(&text);
        }
    }
}
