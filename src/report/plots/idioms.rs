//! What advice is worth: for each pair a dot as advised and one otherwise, on one axis of time, with
//! the ratio and the reason in the hardware.

use card::declare::{Better, Unit};
use plotters::backend::DrawingBackend;

use super::canvas::{Canvas, Drawing, text_width};
use super::frame::{LEFT, WIDTH, heading, time_label};
use super::scale::{Axis, decades};
use super::theme::{Align, BLUE, BODY, FAINT, GRID, INK, MUTED, SMALL, TICK, VERMILION};
use super::{Picture, notes, picture};
use card::format;
use card::series::{self, Setting};
use card::summary::Summary;

const TITLE: &str = "What the advice of performance guides is worth here";
const PROBE: &str = "idioms";
const TOP: f64 = 116.0;
const ROW: f64 = 38.0;
/// The plot's ends: left of it the words, right of it the ratio.
const PLOT: (f64, f64) = (404.0, 790.0);
const RATIO: f64 = 880.0;
/// Room for the numbers beside the outermost dots.
const MARGIN: f64 = 54.0;

/// A pair: the quantity, the way that guides warn of and the one they advise, in words, and why.
struct Pair {
    quantity: &'static str,
    ways: [&'static str; 2],
    name: &'static str,
    why: &'static str,
}

const fn pair(
    quantity: &'static str,
    ways: [&'static str; 2],
    name: &'static str,
    why: &'static str,
) -> Pair {
    Pair { quantity, ways, name, why }
}

const PAIRS: [Pair; 19] = [
    pair(
        "call",
        ["direct", "inlined"],
        "a small function called, or inlined",
        "two taken branches more",
    ),
    pair(
        "call",
        ["dyn", "direct"],
        "dyn with one type, or called directly",
        "loads of the table, and a branch that is predicted",
    ),
    pair(
        "call",
        ["indirect_random", "indirect"],
        "pointers to 16 functions mixed, or to one",
        "15 of 16 calls are mispredicted",
    ),
    pair(
        "call",
        ["dyn_random", "dyn"],
        "dyn with 16 types mixed, or with one",
        "15 of 16 calls are mispredicted",
    ),
    pair(
        "alloc",
        ["heap_64", "pool_64"],
        "64 bytes from the heap, or from a pool",
        "the allocator keeps books; a pool swaps pointers",
    ),
    pair(
        "alloc",
        ["heap_64", "stack_64"],
        "64 bytes from the heap, or on the stack",
        "on the stack there is nothing to do",
    ),
    pair(
        "alloc",
        ["heap_4k", "pool_4k"],
        "4 KiB from the heap, or from a pool",
        "beyond what allocators keep ready for a thread",
    ),
    pair(
        "vector",
        ["grown", "reserved"],
        "a vector that grows, or has room for 1000",
        "nine times: reallocate and copy",
    ),
    pair(
        "string",
        ["copied", "appended"],
        "256 pieces: a new string each, or a buffer",
        "128 bytes copied for each byte that is added",
    ),
    pair(
        "once",
        ["once", "plain"],
        "a value made on first use, or simply there",
        "one load and a predicted branch more",
    ),
    pair(
        "write",
        ["unbuffered", "buffered"],
        "single bytes written, or 8 KiB at a time",
        "a system call for each",
    ),
    pair(
        "io_lock",
        ["held", "released"],
        "a lock held while writing, or before it",
        "threads write one after the other, and sleep",
    ),
    pair(
        "map",
        ["text", "int"],
        "map in cache: text keys, or integers",
        "20 bytes to hash and to compare",
    ),
    pair(
        "map",
        ["int_dram", "int"],
        "map, integer keys: beyond the caches, or in",
        "two misses in a row, the tag and the entry",
    ),
    pair(
        "map",
        ["text_dram", "text"],
        "map, text keys: beyond the caches, or in",
        "a third miss, where the text of the key is",
    ),
    pair(
        "matrix",
        ["columns", "rows"],
        "a matrix beyond the caches by columns, or by rows",
        "each number on another line and page; L2 has the line next time",
    ),
    pair(
        "field",
        ["structs", "arrays"],
        "one field of structs, or an array of its own",
        "a line of 64 bytes for each 8",
    ),
    pair(
        "packed",
        ["packed", "padded"],
        "records in cache: packed, or aligned",
        "one load in 9 crosses a line: that is all",
    ),
    pair(
        "packed",
        ["padded_dram", "packed_dram"],
        "records beyond the caches: aligned, or packed",
        "16 bytes to fetch instead of 9",
    ),
];

struct Row {
    pair: &'static Pair,
    /// Time in ns of both ways.
    ns: [f64; 2],
    /// How many times as long the first one takes, round by round.
    ratio: f64,
}

/// The data of the picture.
pub(super) struct Idioms {
    rows: Vec<Row>,
    note: String,
    machine: String,
}

impl Idioms {
    /// `None` when the card has no pair.
    pub(super) fn of(summary: &Summary) -> Option<Idioms> {
        let mut noted = Vec::new();
        let mut row = |pair: &'static Pair| {
            let settings = series::settings(&summary.card, PROBE, pair.quantity);
            let find = |how: &str| settings.iter().find(|s: &&Setting| s.is("how", how));
            let both = (find(pair.ways[0])?, find(pair.ways[1])?);
            noted.extend([both.0.clone(), both.1.clone()]);
            let ratio =
                both.0.with(both.1, Better::Lower, |warned, advised| warned / advised)?.value;
            Some(Row { pair, ns: [both.0.value, both.1.value], ratio })
        };
        let rows: Vec<Row> = PAIRS.iter().filter_map(&mut row).collect();
        let machine = summary.card.header.machine.title();
        (!rows.is_empty()).then(|| Idioms { rows, note: notes(&noted), machine })
    }

    pub(super) fn picture(self) -> Picture {
        let caption = format!(
            "Each line is one piece of advice: the orange dot is the program without it, the blue one \
             the same program with it, further right is slower, and the number at the right says how \
             many times as long it takes without, as the rounds say it: each of the three numbers is \
             that of its own middle round, so that the ratio need not be that of the two times. Times \
             are per call, block, lookup, element, piece, byte or write.{}",
            self.note
        );
        picture("idioms", TITLE, caption, self)
    }

    fn axis(&self) -> (Axis, Vec<f64>) {
        let times = || self.rows.iter().flat_map(|row| row.ns);
        let low = times().fold(f64::INFINITY, f64::min) * 0.9;
        let high = times().fold(0.0, f64::max) * 1.1;
        let axis = Axis::log((low, high.max(low * 10.0)), (PLOT.0 + MARGIN, PLOT.1 - MARGIN));
        (axis, decades(low, high))
    }

    fn bottom(&self) -> f64 {
        TOP + ROW * self.rows.len() as f64
    }
}

impl Drawing for Idioms {
    fn size(&self) -> (f64, f64) {
        (WIDTH, self.bottom() + 44.0)
    }

    fn draw<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>) {
        heading(c, TITLE, &self.machine);
        legend(c);
        let (axis, ticks) = self.axis();
        for ns in ticks {
            let x = axis.at(ns);
            c.line((x, TOP), (x, self.bottom()), 1.0, GRID);
            c.text((x, self.bottom() + 22.0), &time_label(ns), TICK.align(Align::Center));
        }
        for (i, row) in self.rows.iter().enumerate() {
            draw_row(c, &axis, row, TOP + ROW * (i as f64 + 0.5));
        }
    }
}

fn legend<DB: DrawingBackend>(c: &Canvas<'_, DB>) {
    let mut x = PLOT.0 + MARGIN;
    for (ink, text) in [(BLUE, "as advised"), (VERMILION, "not so")] {
        c.dot((x, TOP - 24.0), 5.0, ink);
        c.text((x + 10.0, TOP - 19.5), text, SMALL.ink(INK));
        x += text_width(text, SMALL) + 40.0;
    }
    c.text((RATIO, TOP - 19.5), "times as long", SMALL.align(Align::Right));
}

fn draw_row<DB: DrawingBackend>(c: &Canvas<'_, DB>, axis: &Axis, row: &Row, y: f64) {
    c.line((LEFT, y + ROW / 2.0), (RATIO, y + ROW / 2.0), 1.0, GRID);
    c.text((LEFT, y - 1.5), row.pair.name, BODY);
    c.text((LEFT, y + 14.0), row.pair.why, SMALL);
    let [warned, advised] = row.ns.map(|ns| axis.at(ns));
    c.line((warned, y), (advised, y), 2.0, FAINT);
    c.dot((warned, y), 5.0, VERMILION);
    c.dot((advised, y), 5.0, BLUE);
    // Outside of the two dots there is always room.
    let right_first = warned >= advised;
    for (x, ns, right) in [(warned, row.ns[0], right_first), (advised, row.ns[1], !right_first)] {
        let (at, align) = if right { (x + 9.0, Align::Left) } else { (x - 9.0, Align::Right) };
        c.text((at, y + 4.5), &format::quantity(ns, Unit::Ns), SMALL.align(align));
    }
    let ink = if row.ratio < NEGLIGIBLE { MUTED } else { INK };
    let text = format!("{}×", format::plain(two_digits(row.ratio)));
    c.text((RATIO, y + 5.0), &text, BODY.bold().ink(ink).align(Align::Right));
}

/// Below this, advice is not worth following for speed.
const NEGLIGIBLE: f64 = 1.1;

/// 1.04, 17, 590: a ratio of two medians is not known better.
fn two_digits(ratio: f64) -> f64 {
    let digits = if ratio < 1.5 { 3.0 } else { 2.0 };
    let step = 10_f64.powf(ratio.log10().floor() + 1.0 - digits);
    (ratio / step).round() * step
}

#[cfg(test)]
mod tests {
    use card::record::Param;

    use super::*;
    use crate::report::plots::canvas::svg;
    use card::fixture;

    #[test]
    fn pairs_have_both_dots_their_ratio_and_the_reason() {
        let mut card = fixture::recorded().card;
        let all = Idioms::of(&Summary::of(card.clone())).unwrap();
        assert_eq!(all.rows.len(), PAIRS.len());
        // One of the two times of a pair is none.
        let [_, better] = PAIRS[0].ways;
        let way = Param::from(better);
        card.points
            .retain(|p| p.quantity != PAIRS[0].quantity || !p.params.values().any(|v| *v == way));
        let idioms = Idioms::of(&Summary::of(card)).unwrap();
        assert_eq!(idioms.rows.len(), PAIRS.len() - 1);
        let svg = svg(&idioms, TITLE);
        for text in ["as advised", "660×", "37×", " ns", "mispredicted", "times as long"] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(!svg.contains("NaN") && !svg.contains('…'));
    }

    #[test]
    fn every_pair_is_one_that_is_measured() {
        let declared = fixture::declared("idioms").metrics;
        for pair in &PAIRS {
            let text = format!("{declared:?}");
            for way in pair.ways {
                assert!(text.contains(pair.quantity), "{}", pair.quantity);
                // Ways without a metric of their own.
                let known = text.contains(&format!("{way:?}")) || way == "plain";
                assert!(known, "{way}");
            }
        }
    }

    #[test]
    fn words_fit_beside_the_plot() {
        for pair in &PAIRS {
            let widest = text_width(pair.name, BODY).max(text_width(pair.why, SMALL));
            assert!(LEFT + widest < PLOT.0, "{}: {widest}", pair.name);
        }
    }

    #[test]
    fn ratios_are_given_as_well_as_they_are_known() {
        let cases = [(594.2, 590.0), (17.6, 18.0), (1.044, 1.04), (0.57, 0.57), (2.46, 2.5)];
        for (ratio, rounded) in cases {
            assert!((two_digits(ratio) - rounded).abs() < 1e-9, "{ratio}");
        }
    }

    #[test]
    fn no_pair_no_picture() {
        assert!(Idioms::of(&fixture::empty()).is_none());
    }
}
