//! Reference figures: the versions of the latency list and what is published per
//! microarchitecture. The data are TOML files compiled in; every figure has a source.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::glob;

const LATENCY_NUMBERS: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../reports/reference/latency_numbers.toml"));
const PUBLISHED: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../reports/reference/published.toml"));

/// All versions of "latency numbers every programmer should know".
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ladder {
    /// The versions, oldest first.
    #[serde(rename = "list")]
    pub lists: Vec<List>,
    /// The lines of the list, fastest first.
    #[serde(rename = "row")]
    pub rows: Vec<Row>,
    /// What machines are asked about and no list has.
    #[serde(rename = "extra")]
    pub extras: Vec<Row>,
}

/// One version of the list.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// Short id, the key of [`Row::ns`].
    pub id: String,
    /// Year the numbers speak of; unknown for some collections.
    pub year: Option<u16>,
    /// Who wrote it.
    pub author: String,
    /// Its title.
    pub title: String,
    /// Where it is.
    pub url: String,
    /// Where it was read, if not at `url`.
    pub via: Option<String>,
    /// A caveat that readers should know.
    pub note: Option<String>,
    /// A formula evaluated, not somebody's numbers.
    #[serde(default)]
    pub computed: bool,
    /// Not a version of the list, but a source of single figures.
    #[serde(default)]
    pub elsewhere: bool,
}

/// One line of the list in all its versions.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Stable id.
    pub id: String,
    /// The line's text.
    pub label: String,
    /// The same in so many letters as a narrow table has.
    pub short: String,
    /// What of a machine it speaks of; the extra lines have none.
    pub group: Option<Group>,
    /// The metric that measures it; none where no single machine can.
    pub metric: Option<String>,
    /// Where this one is measured, the other speaks of something else: of a rotating disk.
    pub unless: Option<String>,
    /// What a card without that metric would have needed.
    pub needs: String,
    /// Where versions mean different things.
    pub note: Option<String>,
    /// Nanoseconds by list id.
    pub ns: BTreeMap<String, f64>,
}

/// What of a machine a line of the list speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// A core and its own caches.
    Core,
    /// Latency of main memory.
    Memory,
    /// Bandwidth of main memory.
    Bandwidth,
    /// Disks of any kind.
    Storage,
    /// Anything on a wire.
    Network,
}

/// The year of the list that everybody quotes.
pub const QUOTED: u16 = 2012;
/// The year of Dean and Ghemawat's own latest table.
pub const LATEST: u16 = 2025;

/// A figure with the list it stands in.
#[derive(Clone, Copy, Debug)]
pub struct Quote {
    /// Nanoseconds.
    pub ns: f64,
    /// The list.
    pub list: &'static List,
}

impl Ladder {
    /// A list by id.
    pub fn list(&self, id: &str) -> Option<&List> {
        self.lists.iter().find(|l| l.id == id)
    }

    /// The years of the versions, oldest first.
    pub fn years(&self) -> Vec<u16> {
        let mut years: Vec<u16> =
            self.lists.iter().filter(|l| !l.elsewhere).filter_map(|l| l.year).collect();
        years.sort_unstable();
        years.dedup();
        years
    }

    /// The version of a year; of several the first.
    pub fn of(&self, year: u16) -> Option<&List> {
        self.lists.iter().find(|l| !l.elsewhere && l.year == Some(year))
    }
}

impl Row {
    /// The line in the version of that year, or in its twin of the same year where the first has
    /// changed it.
    pub fn of(&self, year: u16) -> Option<Quote> {
        let lists = ladder().lists.iter().filter(|l| !l.elsewhere && l.year == Some(year));
        lists.into_iter().find_map(|list| Some(Quote { ns: *self.ns.get(&list.id)?, list }))
    }

    /// The line in that version, or where that has none, in the next older one, then the next newer
    /// one that has it.
    pub fn nearest(&self, year: u16) -> Option<Quote> {
        let years = ladder().years();
        let older = years.iter().rev().filter(|y| **y <= year);
        let newer = years.iter().filter(|y| **y > year);
        older.chain(newer).find_map(|y| self.of(*y))
    }
}

/// All versions of the latency list.
pub fn ladder() -> &'static Ladder {
    static LADDER: LazyLock<Ladder> = LazyLock::new(|| {
        toml::from_str(LATENCY_NUMBERS).expect("latency_numbers.toml is compiled in and tested")
    });
    &LADDER
}

/// A value in print for a metric of one microarchitecture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Published {
    /// Lower end; equal to `high` for a single number.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// The common case, where the source names one.
    pub typical: Option<f64>,
    /// Converted or derived from what the source says.
    pub computed: bool,
    /// Where versions or conditions differ.
    pub note: Option<&'static str>,
    /// Tag of the first source.
    pub source: &'static str,
    /// Its title.
    pub title: &'static str,
    /// Its year, if known.
    pub year: Option<u16>,
}

/// A source of published values.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    title: String,
    year: Option<u16>,
    /// Read by people, not by the program.
    #[serde(rename = "url")]
    _url: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishedFile {
    sources: BTreeMap<String, Source>,
    arch: Vec<Arch>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Arch {
    key: String,
    values: Vec<Figure>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Figure {
    /// An id, or a pattern for several that are alike.
    metric: String,
    low: f64,
    high: f64,
    typical: Option<f64>,
    sources: Vec<String>,
    #[serde(default)]
    computed: bool,
    note: Option<String>,
}

fn published_file() -> &'static PublishedFile {
    static FILE: LazyLock<PublishedFile> = LazyLock::new(|| {
        toml::from_str(PUBLISHED).expect("published.toml is compiled in and tested")
    });
    &FILE
}

/// What is published for a metric of a microarchitecture, by the key of the machine's
/// identity (`zen5`, `sapphire-rapids`, …).
pub fn published(arch_key: &str, metric_id: &str) -> Option<Published> {
    let file = published_file();
    let arch = file.arch.iter().find(|a| a.key == arch_key)?;
    let figure = arch.values.iter().find(|f| glob::matches(&f.metric, metric_id))?;
    let tag = figure.sources.first()?;
    let source = file.sources.get(tag)?;
    Some(Published {
        low: figure.low,
        high: figure.high,
        typical: figure.typical,
        computed: figure.computed,
        note: figure.note.as_deref(),
        source: tag,
        title: &source.title,
        year: source.year,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn every_figure_of_the_ladder_has_a_list_with_author_and_year() {
        let ladder = ladder();
        for row in ladder.rows.iter().chain(&ladder.extras) {
            assert!(!row.needs.is_empty(), "{}", row.id);
            for (id, ns) in &row.ns {
                let list = ladder.list(id).unwrap_or_else(|| panic!("{}: list {id}", row.id));
                assert!(*ns > 0.0 && !list.author.is_empty() && list.url.starts_with("http"));
                assert!(list.year.is_some() || list.elsewhere, "{id} has no year");
            }
        }
        assert_eq!(ladder.rows.len(), 18);
        assert!(ladder.rows.iter().all(|r| r.group.is_some() && !r.ns.is_empty()));
    }

    #[test]
    fn what_measures_a_row_exists() {
        let metrics = || fixture::all_declared().iter().flat_map(|d| d.metrics.iter());
        for row in ladder().rows.iter().chain(&ladder().extras) {
            for id in row.metric.iter().chain(&row.unless) {
                assert!(metrics().any(|m| m.id == id.as_str()), "{}: no metric {id}", row.id);
            }
        }
    }

    #[test]
    fn both_drawn_versions_are_the_ones_named() {
        let mutex = ladder().rows.iter().find(|r| r.id == "mutex").unwrap();
        let (old, new) = (mutex.of(QUOTED).unwrap(), mutex.of(LATEST).unwrap());
        assert_eq!((old.ns, old.list.year), (25.0, Some(2012)));
        assert_eq!((new.ns, new.list.year), (15.0, Some(2025)));
        assert_eq!(ladder().years(), [2002, 2007, 2009, 2010, 2012, 2020, 2024, 2025]);
    }

    #[test]
    fn a_line_that_a_version_left_out_is_quoted_from_the_nearest() {
        let row = |id: &str| ladder().rows.iter().find(|r| r.id == id).unwrap();
        // The first gist of 2012 has 1 KB instead; its twin kept the line.
        assert_eq!(row("send-2k").of(2012).unwrap().list.id, "H12");
        let year = |id: &str, year| row(id).nearest(year).unwrap().list.year;
        assert_eq!(year("instruction", 2012), Some(2002));
        assert_eq!(year("network-1m", 2012), Some(2007));
        assert_eq!(year("network-1m-100g", 2012), Some(2025));
        assert_eq!(year("l1", 2010), Some(2010));
    }

    #[test]
    fn every_published_figure_has_a_source_and_an_order() {
        let file = published_file();
        for arch in &file.arch {
            for figure in &arch.values {
                let what = format!("{} {}", arch.key, figure.metric);
                assert!(!figure.sources.is_empty(), "{what} has no source");
                for tag in &figure.sources {
                    let source = file.sources.get(tag).unwrap_or_else(|| panic!("{what}: {tag}"));
                    assert!(!source.title.is_empty(), "{tag}");
                }
                assert!(figure.low > 0.0 && figure.low <= figure.high, "{what}");
                assert!(figure.typical.is_none_or(|t| t >= figure.low && t <= figure.high));
            }
        }
        assert_eq!(file.arch.len(), 13);
    }

    #[test]
    fn published_by_key_and_metric() {
        let p = published("zen5", "branch.mispredict_pipeline_cycles").unwrap();
        assert_eq!((p.low, p.high, p.typical), (12.0, 18.0, Some(15.0)));
        assert_eq!(published("zen5", "no.such_metric"), None);
        assert_eq!(published("no-such-core", "cache.l2_bytes"), None);
    }
}
