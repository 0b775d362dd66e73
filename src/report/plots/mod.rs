//! The pictures of a card, each as SVG and as PNG, and what is a table instead; one file per picture.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use base64::Engine;
use canvas::Sheet;
use chart::{Chart, Form};
use summary_card::Claims;
use table::Table;

pub(super) use measured::{mark, spread_mark};

use card::summary::Summary;

mod bandwidth;
pub mod beside;
mod branch;
mod canvas;
mod chart;
mod core_to_core;
mod curves;
mod heat;
mod idioms;
mod ladder;
mod loaded_latency;
mod measured;
mod noise;
mod numa;
mod parallelism;
mod rows;
mod scale;
mod scaling;
mod staircase;
pub mod summary_card;
mod switches;
pub mod table;
mod tables;
mod theme;
mod tlb;

/// Roboto Regular, for measuring texts and for PNGs.
const REGULAR: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/reports/fonts/Roboto-Regular.ttf"));
/// Roboto Medium.
const MEDIUM: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/reports/fonts/Roboto-Medium.ttf"));

/// The same for browsers, which fall back to other fonts letter by letter: a seventh of the bytes, made
/// by `scripts/fonts.sh`. With the weights that they stand for.
const WEB_FONTS: [(&str, &[u8]); 2] = [
    (
        "400",
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/reports/fonts/Roboto-Regular.woff2")),
    ),
    (
        "500 700",
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/reports/fonts/Roboto-Medium.woff2")),
    ),
];

/// The fonts as CSS, for the page and for pictures that stand alone.
pub(super) fn font_faces() -> String {
    let face = |(weight, font): &(&str, &[u8])| {
        let encoded = base64::engine::general_purpose::STANDARD.encode(font);
        format!(
            "@font-face {{ font-family: \"Roboto\"; font-weight: {weight}; \
             src: url(\"data:font/woff2;base64,{encoded}\") format(\"woff2\"); }}\n"
        )
    };
    WEB_FONTS.iter().map(face).collect()
}

/// A finished picture.
pub struct Picture {
    /// Stem of its files.
    pub name: &'static str,
    /// What it states.
    pub title: String,
    /// What is plotted.
    pub subtitle: String,
    /// What has to be known beyond that; may be empty.
    pub caption: String,
    /// As a file of its own, with the fixed light palette.
    pub svg: String,
    /// For the page, below its title.
    pub wide: String,
    /// The same for narrow screens.
    pub narrow: String,
    /// Drawing pixels takes many times as long as writing SVG, and the page has no need of them.
    sheet: Sheet,
}

impl Picture {
    fn of(chart: Chart) -> Picture {
        let sheet = chart.sheet(Form::File);
        let svg = sheet.svg(&chart.title, &chart.says);
        Picture {
            svg: svg.replacen("</desc>", &format!("</desc>\n<style>{}</style>", font_faces()), 1),
            wide: chart.svg(Form::Wide),
            narrow: chart.svg(Form::Narrow),
            sheet,
            name: chart.name,
            title: chart.title,
            subtitle: chart.subtitle,
            caption: chart.caption,
        }
    }
}

fn charts(summary: &Summary) -> impl Iterator<Item = Chart> {
    [
        ladder::chart(summary),
        staircase::chart(summary),
        noise::chart(summary),
        bandwidth::chart(summary),
        tlb::chart(summary),
        parallelism::chart(summary),
        loaded_latency::chart(summary),
        numa::chart(summary),
        core_to_core::chart(summary),
        scaling::chart(summary),
        branch::chart(summary),
        switches::chart(summary),
        idioms::chart(summary),
    ]
    .into_iter()
    .flatten()
}

/// Whether there is something to show in [`files`]' one picture of the card.
pub(super) fn has_card(summary: &Summary) -> bool {
    summary_card::sheet(summary, &Claims::default()).is_some()
}

/// The pictures for which the card has data that can be drawn, in the order of the page.
pub fn all(summary: &Summary) -> Vec<Picture> {
    charts(summary).map(Picture::of).collect()
}

/// What is read rather than seen, in the order of the page.
pub fn tables(summary: &Summary) -> Vec<Table> {
    [
        tables::levels(summary),
        loaded_latency::table(summary),
        numa::table(summary),
        tables::structures(summary),
        tables::store_forwarding(summary),
        tables::vectors(summary),
        tables::speed(summary),
        tables::clock(summary),
        tables::false_sharing(summary),
        scaling::table(summary),
        tables::switch_ring(summary),
        tables::prices(summary),
        tables::storage(summary),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The files of the pictures: SVG and PNG of each, and the card in one picture.
pub(super) fn files(
    summary: &Summary,
    pictures: Vec<Picture>,
    claims: &Claims<'_>,
) -> Vec<(String, Vec<u8>)> {
    let card = summary_card::sheet(summary, claims);
    let sheets: Vec<&Sheet> = card.iter().chain(pictures.iter().map(|p| &p.sheet)).collect();
    let mut pngs = pngs(&sheets).into_iter();
    let card = card.is_some().then(|| pngs.next()).flatten();
    let mut files: Vec<(String, Vec<u8>)> =
        card.into_iter().map(|png| ("card.png".to_owned(), png)).collect();
    for (picture, png) in pictures.into_iter().zip(pngs) {
        files.push((format!("{}.svg", picture.name), picture.svg.into_bytes()));
        files.push((format!("{}.png", picture.name), png));
    }
    files
}

/// Pixels of so many pictures at a time: a large one takes 20 MB.
const AT_A_TIME: usize = 4;

/// Sheets as PNG, in their order, drawn by as many threads as there are CPUs, or fewer where no more
/// can be started.
fn pngs(sheets: &[&Sheet]) -> Vec<Vec<u8>> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(AT_A_TIME);
    let next = AtomicUsize::new(0);
    let draw = || {
        let mine = std::iter::from_fn(|| {
            let at = next.fetch_add(1, Ordering::Relaxed);
            Some((at, sheets.get(at)?.png()))
        });
        mine.collect::<Vec<_>>()
    };
    let mut drawn = thread::scope(|scope| {
        let start = |_| thread::Builder::new().spawn_scoped(scope, draw).ok();
        let others: Vec<_> = (1..threads).filter_map(start).collect();
        let mut drawn = draw();
        for other in others {
            drawn.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        drawn
    });
    drawn.sort_unstable_by_key(|(at, _)| *at);
    drawn.into_iter().map(|(_, png)| png).collect()
}

/// An SVG with its palette replaced by the page's variables, so that it follows the page's theme.
pub(super) fn themed(svg: &str) -> String {
    theme::palette().fold(svg.to_owned(), |svg, ink| {
        svg.replace(&format!("\"{}\"", ink.hex), &format!("\"var({})\"", ink.variable))
    })
}

/// What the card notes on the points of some quantities, as sentences for a caption; of some rounds
/// only, in how many.
fn notes(summary: &Summary, probe: &str, quantities: &[&str]) -> String {
    let points = summary.card.points.iter();
    let own = points.filter(|p| p.probe == probe && quantities.contains(&p.quantity.as_str()));
    let mut rounds: BTreeSet<u32> = BTreeSet::new();
    let mut notes: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
    for point in own {
        rounds.insert(point.round);
        if let Some(note) = &point.note {
            notes.entry(note).or_default().insert(point.round);
        }
    }
    let sentence = |(note, of): (&str, BTreeSet<u32>)| match of.len() {
        n if n == rounds.len() => format!(" Note: {note}."),
        n => format!(" In {n} of {} rounds: {note}.", rounds.len()),
    };
    notes.into_iter().map(sentence).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use card::fixture;

    const FORMS: [Form; 3] = [Form::File, Form::Wide, Form::Narrow];

    /// Pictures and tables.
    fn names(summary: &Summary) -> BTreeSet<&'static str> {
        let pictures = all(summary).into_iter().map(|p| p.name);
        pictures.chain(tables(summary).into_iter().map(|t| t.name)).collect()
    }

    #[test]
    fn each_probe_alone_has_its_own_pictures_and_tables() {
        let all = fixture::two_nodes().card;
        let alone = |probe: &str| {
            let mut card = all.clone();
            card.points.retain(|p| p.probe == probe);
            // The ladder has a line of almost every probe.
            let mut names = names(&Summary::of(card));
            names.remove("ladder");
            Vec::from_iter(names)
        };
        assert_eq!(alone("memory-bandwidth"), ["bandwidth", "levels"]);
        assert_eq!(alone("loaded-latency"), ["loaded_latency"]);
        assert_eq!(alone("memory-parallelism"), ["parallelism"]);
        assert_eq!(alone("store-forwarding"), ["store_forwarding"]);
        assert_eq!(alone("tlb"), ["structures", "tlb"]);
        assert_eq!(alone("numa"), ["numa"]);
        assert_eq!(alone("branch"), ["branch", "structures"]);
        assert_eq!(alone("core-window"), ["structures"]);
        assert_eq!(alone("cache-structure"), [] as [&str; 0]);
        assert_eq!(alone("locks"), ["prices"]);
        assert_eq!(alone("os"), ["prices"]);
        assert_eq!(alone("context-switch"), ["switch_ring", "switches"]);
        assert_eq!(alone("storage"), ["storage"]);
        assert_eq!(alone("simd-compute"), ["vectors"]);
        assert_eq!(alone("simd-memory"), ["speed_up"]);
        assert_eq!(alone("idioms"), ["idioms"]);
        assert_eq!(alone("scaling"), ["scaling"]);
    }

    /// The cards whose pictures are looked at: what a machine has, and what a large one has.
    fn looked_at() -> Vec<Summary> {
        let mut many = fixture::recorded();
        many.card.header.machine.limits.allowed_cpus = (0..8).collect();
        let cores = [3, 4, 16, 64, 256].map(fixture::cores);
        let others = [fixture::recorded(), fixture::two_nodes(), fixture::neon(), many];
        others.into_iter().chain(cores).collect()
    }

    #[test]
    fn no_text_is_cut_or_lies_on_another() {
        for summary in looked_at() {
            for chart in charts(&summary) {
                for form in FORMS {
                    chart.sheet(form).assert_words_are_apart(chart.name);
                }
            }
        }
    }

    #[test]
    fn no_name_is_far_from_its_curve() {
        let mut leaders = 0;
        for chart in looked_at().iter().flat_map(charts) {
            for length in chart.sheet(Form::File).leaders() {
                assert!(length <= curves::LONGEST_LEADER, "{}: {length}", chart.name);
                leaders += 1;
            }
        }
        assert!(leaders > 10, "{leaders}");
    }

    #[test]
    fn every_picture_states_a_result_and_says_it_in_numbers() {
        for chart in charts(&fixture::recorded()) {
            let digits = |text: &str| text.chars().any(|c| c.is_ascii_digit());
            assert!(digits(&chart.title), "{}: {}", chart.name, chart.title);
            assert!(digits(&chart.says), "{}: {}", chart.name, chart.says);
            let words = chart.caption.split_whitespace().count();
            assert!(words <= 60, "{}: {words} words: {}", chart.name, chart.caption);
            let svg = chart.svg(Form::Wide);
            assert!(svg.contains("<title>") && svg.contains("<desc>"), "{}", chart.name);
        }
    }

    #[test]
    fn a_note_of_some_rounds_says_in_how_many() {
        let mut card = fixture::recorded().card;
        let own = card.points.iter_mut().filter(|p| p.probe == "tlb" && p.quantity == "latency");
        let rounds: BTreeSet<u32> = own.map(|p| p.round).collect();
        for (few, said) in
            [(true, format!("In 1 of {} rounds: odd.", rounds.len())), (false, "Note: odd.".into())]
        {
            let own =
                card.points.iter_mut().filter(|p| p.probe == "tlb" && p.quantity == "latency");
            own.for_each(|p| p.note = (!few || p.round == 0).then(|| "odd".into()));
            let notes = notes(&Summary::of(card.clone()), "tlb", &["latency"]);
            assert_eq!(notes.trim(), said);
        }
    }

    /// A run that ends early leaves a point or two of a sweep behind.
    #[test]
    fn the_beginning_of_a_sweep_draws_no_nonsense() {
        let (card, two_nodes) = (fixture::recorded().card, fixture::two_nodes().card);
        let probes: BTreeSet<&str> = card.points.iter().map(|p| p.probe.as_str()).collect();
        let each = probes.into_iter().map(|probe| (&card, probe));
        for (card, probe) in each.chain([(&two_nodes, "numa")]) {
            for most in [1, 2] {
                let mut few = card.clone();
                let mut seen: Vec<(String, usize)> = Vec::new();
                few.points.retain(|p| {
                    let at = seen.iter().position(|s| s.0 == p.quantity).unwrap_or_else(|| {
                        seen.push((p.quantity.clone(), 0));
                        seen.len() - 1
                    });
                    seen[at].1 += usize::from(p.probe == probe);
                    p.probe == probe && seen[at].1 <= most
                });
                makes_sense(&Summary::of(few), &NONSENSE);
            }
        }
    }

    /// What is no number, and places that are none.
    const NONSENSE: [&str; 4] = ["NaN", "inf", "2147483647", "-2147483648"];

    fn makes_sense(summary: &Summary, nonsense: &[&str]) {
        tables(summary);
        let card = summary_card::sheet(summary, &Claims::default());
        let card = card.map(|sheet| ("card", sheet.svg("", "")));
        let pictures = all(summary).into_iter();
        let drawn = pictures.flat_map(|p| [p.svg, p.wide, p.narrow].map(|svg| (p.name, svg)));
        for (name, svg) in drawn.chain(card) {
            // A font may spell anything.
            let svg = svg.rsplit("</style>").next().unwrap_or_default();
            for word in nonsense {
                assert!(!svg.contains(word), "{name}: {word}");
            }
            assert!(svg.len() < 1 << 20, "{name} has {} bytes", svg.len());
        }
    }

    /// A number as it may stand in a card: absurd or not.
    fn number() -> impl Strategy<Value = f64> {
        let extremes = vec![0.0, 5e-324, 1e100, f64::MAX, f64::MIN, -1.0];
        prop_oneof![
            proptest::sample::select(extremes).boxed(),
            any::<f64>().prop_filter("JSON has no other", |v| v.is_finite()).boxed(),
            (0.1..1000.0).boxed(),
        ]
    }

    proptest! {
        // All pictures are drawn in each case.
        #![proptest_config(ProptestConfig::with_cases(8))]

        /// One number alone makes all samples alike.
        #[test]
        fn whatever_numbers_a_card_holds_its_pictures_are_drawn(
            numbers in prop::collection::vec(number(), 1..12),
        ) {
            let mut card = fixture::recorded().card;
            card.points.retain(|p| p.round < 2);
            let mut numbers = numbers.iter().cycle();
            for point in &mut card.points {
                point.samples.truncate(5);
                let ghz = point.core_ghz.iter_mut();
                point.samples.iter_mut().chain(ghz).zip(&mut numbers).for_each(|(v, n)| *v = *n);
            }
            // Labels are lines of their own; reasons of metrics, which stand there too, are not drawn here.
            makes_sense(&Summary::of(card), &["\nNaN", "\ninf", "\n-inf", NONSENSE[2], NONSENSE[3]]);
        }
    }
}
