//! The pictures of a card, each as SVG and as PNG; one file per picture.

use super::Summary;
use crate::metrics::Setting;

mod bandwidth;
mod bytes_per_cycle;
mod canvas;
mod clock;
mod frame;
mod heat;
mod ladder;
mod loaded_latency;
mod noise;
mod numa;
mod parallelism;
mod scale;
mod staircase;
mod store_forwarding;
mod theme;
mod tlb;

/// Roboto Regular, for pictures and page.
pub(super) const REGULAR: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/reports/fonts/Roboto-Regular.ttf"));
/// Roboto Medium.
pub(super) const MEDIUM: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/reports/fonts/Roboto-Medium.ttf"));

/// A finished picture.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Stem of its files.
    pub name: &'static str,
    /// What it shows.
    pub title: String,
    /// How to read it.
    pub caption: String,
    /// The drawing, in page units, with the fixed light palette.
    pub svg: String,
    /// The same at twice the page's resolution.
    pub png: Vec<u8>,
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
        clock::Clock::of(summary).map(|d| d.picture()),
        noise::Noise::of(summary).map(|d| d.picture()),
    ]
    .into_iter()
    .flatten()
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
    drawing: &impl canvas::Drawing,
) -> Picture {
    Picture {
        name,
        title: title.to_owned(),
        caption,
        svg: canvas::svg(drawing, title),
        png: canvas::png(drawing),
    }
}
