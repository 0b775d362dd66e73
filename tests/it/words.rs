//! What people read: in the field's terms, and each fact with one number wherever it stands.

use std::fs;

use card::format;
use card::summary::Summary;
use probecard::report::{plots, text};

use crate::common::{in_repository, recorded_card, sample_card};

/// Words of our own for what manuals have a noun for. Whoever needs one of them in a text that people
/// read looks for the noun first.
const HOME_MADE: [&str; 50] = [
    "jumps that the core follows",
    "calls within calls",
    "in work at a time",
    "results in general registers",
    "something on the same core",
    "was at work",
    "at work ÷",
    "quiet sibling",
    "busy sibling",
    "busy hyperthread",
    "hyperthread sibling",
    "a line's way",
    "one way of a line",
    "way of a cache line",
    "visits",
    "come along",
    "comes along",
    "neighbours of a line",
    "come with their neighbours",
    "pad what different",
    "times as long",
    "honest scalar",
    "honest code",
    "scalar code that is",
    "naive loop",
    "from result to result",
    "completed in a core cycle",
    "a multiply-add counts two",
    "too small to be a normal number",
    "guessed wrong",
    "guess wrong",
    "the next ones overlapping",
    "by heart",
    "decoded each time",
    "past the caches",
    "past caches",
    "bytes that the code asks for",
    "prefetched by instructions",
    "in straight lines",
    "that the host had to find",
    "whoever has it",
    "whoever plays",
    "one of the guests that",
    "no one else wants",
    "change hands",
    "changes hands",
    "claims to rotate",
    "price list",
    "line border",
    "border of a line",
];

/// A card as people see it: name of the place, and what is read there.
fn places(summary: &Summary) -> Vec<(String, String)> {
    let mut all = vec![
        ("terminal".to_owned(), text::card(summary, 200, false)),
        ("brief".to_owned(), text::brief(summary, "x.card.jsonl", 100, false)),
        ("ticket".to_owned(), text::markdown(summary)),
    ];
    let findings: Vec<String> = summary.findings.iter().map(|f| f.text()).collect();
    all.push(("findings".to_owned(), findings.join("\n")));
    all.extend(
        text::codes(summary).into_iter().filter_map(|code| {
            Some((format!("why {code}"), text::why(summary, code, 200, false)?))
        }),
    );
    for picture in plots::all(summary) {
        let plots::Picture { title, subtitle, caption, svg, .. } = picture;
        all.push((picture.name.to_owned(), [title, subtitle, caption, svg].join("\n")));
    }
    for table in plots::tables(summary) {
        let rows = table.groups.iter().flat_map(|group| &group.rows);
        let cells = rows.flat_map(|row| {
            [row.name.clone()].into_iter().chain(row.cells.iter().map(|cell| cell.text.clone()))
        });
        let mut texts = vec![table.title.clone(), table.caption.clone()];
        texts.extend(table.heads.iter().cloned().chain(cells));
        all.push((table.name.to_owned(), texts.join("\n")));
    }
    all
}

fn sample() -> Summary {
    Summary::read(&sample_card()).unwrap()
}

#[test]
fn what_people_read_is_in_the_terms_of_the_field() {
    let files = ["card/src/declarations.json", "README.md", "CONTRIBUTING.md"];
    let mut all: Vec<(String, String)> = files
        .map(|file| (file.to_owned(), fs::read_to_string(in_repository(file)).unwrap()))
        .into();
    all.extend(places(&sample()));
    for architecture in ["x86_64", "aarch64"] {
        all.extend(places(&Summary::read(&recorded_card(architecture)).unwrap()));
    }
    let mut found = Vec::new();
    for (place, text) in &all {
        // Lines are broken anywhere.
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for words in HOME_MADE.iter().filter(|words| text.contains(**words)) {
            let at = text.find(words).unwrap_or_default();
            let around: String = text[at..].chars().take(80).collect();
            found.push(format!("{place}: {around}"));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// Metrics with places that show them. What is none of spread beyond a quarter has its number there,
/// as it is everywhere.
const FACTS: [(&str, &[&str]); 12] = [
    ("memory.latency.dram_ns", &["terminal", "brief", "findings", "levels", "staircase", "ladder"]),
    ("memory.latency.dram_4k_ns", &["terminal", "brief", "findings", "levels", "staircase"]),
    ("memory.latency.l2_ns", &["terminal", "brief", "ticket", "levels", "ladder"]),
    ("memory.bandwidth.read.dram_gbs", &["brief", "findings", "levels", "parallelism"]),
    ("core_to_core.median_ns", &["terminal", "brief", "ladder"]),
    ("idioms.column_order_ratio", &["terminal", "brief", "findings", "idioms"]),
    ("idioms.map_string_key_dram_ns", &["terminal", "idioms"]),
    ("store_forward.ok_cycles", &["terminal", "store_forwarding"]),
    ("context_switch.per_switch_ns", &["terminal", "findings", "switches"]),
    ("context_switch.direct_ns", &["terminal", "brief", "ladder", "switches"]),
    ("branch.btb_l2_entries", &["terminal", "findings", "structures", "branch"]),
    ("storage.read_4k_random_ns", &["terminal", "brief", "findings", "ladder", "storage"]),
];

#[test]
fn a_fact_has_one_number_wherever_it_stands() {
    let summary = sample();
    let places = places(&summary);
    let at = |name: &str| &places.iter().find(|place| place.0 == name).expect(name).1;
    for (id, shown) in FACTS {
        let number = format::measured(summary.metrics.get(id).unwrap());
        for place in shown {
            assert!(at(place).contains(&number), "{place}: {id} is {number}\n{}", at(place));
        }
    }
    // A size whose rounds scatter is a range.
    let l3 = format::size(summary.metrics.get("cache.l3_effective_bytes").unwrap());
    assert!(l3.contains('–'), "{l3}");
    for place in ["brief", "findings", "ticket", "levels", "staircase"] {
        assert!(at(place).contains(&l3), "{place}: L3 is {l3}\n{}", at(place));
    }
    // Four things are called a switch: each says which.
    for (place, words) in [
        ("ladder", "Context switch, direct"),
        ("findings", "thread switch with system calls"),
        ("findings", "context switch with 256 KiB footprint each"),
        ("switches", "without its system calls"),
    ] {
        assert!(at(place).contains(words), "{place}: {words}\n{}", at(place));
    }
}
