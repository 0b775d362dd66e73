//! The pictures of a card, each as SVG and as PNG; one file per picture.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use card::series::Setting;
use card::summary::Summary;

mod bandwidth;
mod branch_history;
mod branch_targets;
mod bytes_per_cycle;
mod canvas;
mod clock;
mod core_to_core;
mod core_window;
mod false_sharing;
mod frame;
mod heat;
mod idioms;
mod ladder;
mod loaded_latency;
mod noise;
mod numa;
mod os_and_locks;
mod parallelism;
mod scale;
mod scaling;
mod speed_up;
mod staircase;
mod storage;
mod store_forwarding;
mod switch_ring;
mod switches;
mod theme;
mod tlb;
mod vectors;

/// Roboto Regular, for pictures and page.
pub(super) const REGULAR: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/reports/fonts/Roboto-Regular.ttf"));
/// Roboto Medium.
pub(super) const MEDIUM: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/reports/fonts/Roboto-Medium.ttf"));

/// A finished picture.
pub struct Picture {
    /// Stem of its files.
    pub name: &'static str,
    /// What it shows.
    pub title: String,
    /// How to read it.
    pub caption: String,
    /// The drawing, in page units, with the fixed light palette.
    pub svg: String,
    /// Drawing pixels takes many times as long as writing SVG, and the page has no need of them.
    png: Box<dyn Fn() -> Vec<u8> + Send + Sync>,
}

impl Picture {
    /// The drawing at twice the page's resolution.
    pub fn png(&self) -> Vec<u8> {
        (self.png)()
    }
}

/// The pictures for which the card has data, in the order of the page.
pub fn all(summary: &Summary) -> Vec<Picture> {
    [
        ladder::Ladder::of(summary).map(|d| d.picture()),
        staircase::Staircase::of(summary).map(|d| d.picture()),
        bandwidth::Bandwidth::of(summary).map(|d| d.picture()),
        bytes_per_cycle::BytesPerCycle::of(summary).map(|d| d.picture()),
        loaded_latency::LoadedLatency::of(summary).map(|d| d.picture()),
        parallelism::Parallelism::of(summary).map(|d| d.picture()),
        tlb::Tlb::of(summary).map(|d| d.picture()),
        store_forwarding::StoreForwarding::of(summary).map(|d| d.picture()),
        numa::Numa::of(summary).map(|d| d.picture()),
        false_sharing::FalseSharing::of(summary).map(|d| d.picture()),
        core_to_core::CoreToCore::of(summary).map(|d| d.picture()),
        branch_history::BranchHistory::of(summary).map(|d| d.picture()),
        branch_targets::BranchTargets::of(summary).map(|d| d.picture()),
        core_window::CoreWindow::of(summary).map(|d| d.picture()),
        switches::Switches::of(summary).map(|d| d.picture()),
        switch_ring::SwitchRing::of(summary).map(|d| d.picture()),
        vectors::Vectors::of(summary).map(|d| d.picture()),
        speed_up::SpeedUp::of(summary).map(|d| d.picture()),
        os_and_locks::Prices::of(summary, &os_and_locks::LOCKS).map(|d| d.picture()),
        os_and_locks::Prices::of(summary, &os_and_locks::OS).map(|d| d.picture()),
        storage::Storage::of(summary).map(|d| d.picture()),
        idioms::Idioms::of(summary).map(|d| d.picture()),
        scaling::Scaling::of(summary).map(|d| d.picture()),
        clock::Clock::of(summary).map(|d| d.picture()),
        noise::Noise::of(summary).map(|d| d.picture()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Pixels of so many pictures at a time: a large one takes 20 MB.
const AT_A_TIME: usize = 4;

/// The pictures as PNG, in their order, drawn by as many threads as there are CPUs, or fewer where no
/// more can be started.
pub(super) fn pngs(pictures: &[Picture]) -> Vec<Vec<u8>> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(AT_A_TIME);
    let next = AtomicUsize::new(0);
    let draw = || {
        let mine = std::iter::from_fn(|| {
            let at = next.fetch_add(1, Ordering::Relaxed);
            Some((at, pictures.get(at)?.png()))
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

/// The ladder beside each version of the list, by its year; the pictures have one of them.
pub(super) fn ladders(summary: &Summary) -> Vec<(u16, String)> {
    let years = card::reference::ladder().years().into_iter();
    let others = years.filter(|y| *y != card::reference::LATEST);
    others
        .filter_map(|year| Some((year, ladder::Ladder::of(summary)?.beside(year).svg())))
        .collect()
}

/// An SVG with its palette replaced by the page's variables, so that it follows the page's theme.
pub(super) fn themed(svg: &str) -> String {
    theme::palette().fold(svg.to_owned(), |svg, ink| {
        svg.replace(&format!("\"{}\"", ink.hex), &format!("\"var({})\"", ink.variable))
    })
}

/// What the card notes on the points of a picture, as a sentence for its caption.
fn notes(settings: &[Setting]) -> String {
    let mut all: Vec<&str> = settings.iter().filter_map(|s| s.note.as_deref()).collect();
    all.sort_unstable();
    all.dedup();
    match all[..] {
        [] => String::new(),
        _ => format!(" The card notes: {}.", all.join("; ")),
    }
}

fn picture(
    name: &'static str,
    title: &str,
    caption: String,
    drawing: impl canvas::Drawing + Send + Sync + 'static,
) -> Picture {
    Picture {
        name,
        title: title.to_owned(),
        caption,
        svg: canvas::svg(&drawing, title),
        png: Box::new(move || canvas::png(&drawing)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use card::fixture;

    fn names(summary: &Summary) -> Vec<&'static str> {
        all(summary).iter().map(|p| p.name).collect()
    }

    #[test]
    fn each_probe_alone_has_its_own_pictures() {
        let all = fixture::two_nodes().card;
        let alone = |probe: &str| {
            let mut card = all.clone();
            card.points.retain(|p| p.probe == probe);
            // The ladder has a line of almost every probe.
            let mut names = names(&Summary::of(card));
            names.retain(|name| *name != "ladder");
            names
        };
        assert_eq!(alone("memory-bandwidth"), ["bandwidth", "bytes_per_cycle"]);
        assert_eq!(alone("loaded-latency"), ["loaded_latency"]);
        assert_eq!(alone("memory-parallelism"), ["parallelism"]);
        assert_eq!(alone("store-forwarding"), ["store_forwarding"]);
        assert_eq!(alone("tlb"), ["tlb"]);
        assert_eq!(alone("numa"), ["numa"]);
        assert_eq!(alone("branch"), ["branch_history", "branch_targets"]);
        assert_eq!(alone("core-window"), ["core_window"]);
        assert_eq!(alone("cache-structure"), [] as [&str; 0]);
        assert_eq!(alone("locks"), ["locks"]);
        assert_eq!(alone("os"), ["os"]);
        assert_eq!(alone("context-switch"), ["switches", "switch_ring"]);
        assert_eq!(alone("storage"), ["storage"]);
        assert_eq!(alone("simd-compute"), ["vectors"]);
        assert_eq!(alone("simd-memory"), ["speed_up"]);
        assert_eq!(alone("idioms"), ["idioms"]);
        assert_eq!(alone("scaling"), ["scaling"]);
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
        let pictures = all(summary);
        let ladders = ladders(summary).into_iter().map(|ladder| ("ladder", ladder.1));
        for (name, svg) in pictures.into_iter().map(|p| (p.name, p.svg)).chain(ladders) {
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
