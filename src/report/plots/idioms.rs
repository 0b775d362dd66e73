//! What advice is worth: for each pair how many times as long the program takes without it.

use card::declare::{Better, Unit};
use card::metrics::Value;
use card::series::{self, Setting};
use card::summary::Summary;

use super::canvas::Symbol;
use super::chart::{Chart, Panel};
use super::curves::{Scale, ends};
use super::measured::{self, listed, metric, number, text};
use super::notes;
use super::rows::{Cell, Dot, Group, Row, Rows};
use super::theme::BLUE;
use card::format;

const PROBE: &str = "idioms";
/// Below this, advice is not worth following for speed.
const NEGLIGIBLE: f64 = 1.1;

/// A program in two ways: the quantity, the way that guides warn of and the one they advise, what to
/// do and instead of what.
struct Pair {
    quantity: &'static str,
    ways: [&'static str; 2],
    advised: &'static str,
    warned: &'static str,
}

const fn pair(
    quantity: &'static str,
    ways: [&'static str; 2],
    advised: &'static str,
    warned: &'static str,
) -> Pair {
    Pair { quantity, ways, advised, warned }
}

const PAIRS: [Pair; 19] = [
    pair("call", ["direct", "inlined"], "inline a small function", "a direct call"),
    pair("call", ["dyn", "direct"], "a direct call", "dyn with one type"),
    pair("call", ["indirect_random", "indirect"], "calls to one target", "16 at random"),
    pair("call", ["dyn_random", "dyn"], "dyn with one type", "16 types at random"),
    pair("alloc", ["heap_64", "pool_64"], "64 bytes from a pool", "the heap"),
    pair("alloc", ["heap_64", "stack_64"], "64 bytes on the stack", "the heap"),
    pair("alloc", ["heap_4k", "pool_4k"], "4 KiB from a pool", "the heap"),
    pair("vector", ["grown", "reserved"], "reserve room for 1000 pushes", "a vector that grows"),
    pair(
        "string",
        ["copied", "appended"],
        "append 256 pieces to one buffer",
        "a new string for each",
    ),
    pair("once", ["once", "plain"], "a plain value", "a value made on first use"),
    pair("write", ["unbuffered", "buffered"], "buffer 1-byte writes (8 KiB)", "unbuffered"),
    pair("io_lock", ["held", "released"], "write outside the lock", "holding it"),
    pair("map", ["text", "int"], "integer keys, map in cache", "keys of 20 bytes"),
    pair("map", ["int_dram", "int"], "a map in cache, integer keys", "a map in DRAM"),
    pair("map", ["text_dram", "text"], "a map in cache, text keys", "a map in DRAM"),
    pair("matrix", ["columns", "rows"], "walk a matrix in DRAM by rows", "by columns"),
    pair("field", ["structs", "arrays"], "an array for one field", "64-byte structs"),
    pair("packed", ["packed", "padded"], "align records in cache", "9 bytes packed"),
    pair("packed", ["padded_dram", "packed_dram"], "pack records in DRAM", "16 bytes padded"),
];

/// The metric of a pair, which speaks for it.
fn ratio_id(pair: &Pair) -> Option<&'static str> {
    Some(match (pair.quantity, pair.ways[0]) {
        ("vector", _) => "idioms.vec_grow_ratio",
        ("string", _) => "idioms.string_concat_ratio",
        ("write", _) => "idioms.write_unbuffered_ratio",
        ("io_lock", _) => "idioms.lock_around_io_ratio",
        ("matrix", _) => "idioms.column_order_ratio",
        ("field", _) => "idioms.array_of_structs_ratio",
        ("packed", "packed") => "idioms.packed_ratio",
        _ => return None,
    })
}

/// The metric of a way's time.
fn time_id(way: &str) -> Option<&'static str> {
    Some(match way {
        "inlined" => "idioms.call_inlined_ns",
        "direct" => "idioms.call_direct_ns",
        "indirect" => "idioms.call_indirect_ns",
        "dyn" => "idioms.call_dyn_ns",
        "indirect_random" => "idioms.call_indirect_unpredicted_ns",
        "dyn_random" => "idioms.call_dyn_unpredicted_ns",
        "heap_64" => "idioms.alloc_64b_ns",
        "pool_64" => "idioms.alloc_pooled_ns",
        "stack_64" => "idioms.alloc_stack_ns",
        "heap_4k" => "idioms.alloc_4k_ns",
        "pool_4k" => "idioms.alloc_4k_pooled_ns",
        "int" => "idioms.map_int_key_ns",
        "text" => "idioms.map_string_key_ns",
        "int_dram" => "idioms.map_int_key_dram_ns",
        "text_dram" => "idioms.map_string_key_dram_ns",
        "once" => "idioms.once_ns",
        _ => return None,
    })
}

/// A pair as measured.
struct Measured {
    pair: &'static Pair,
    ratio: f64,
    ends: (f64, f64),
    mark: &'static str,
    /// Without the advice, and with it.
    times: [String; 2],
}

fn measured(summary: &Summary, pair: &'static Pair) -> Option<Measured> {
    let settings = series::settings(&summary.card, PROBE, pair.quantity);
    let find = |how: &str| settings.iter().find(|s: &&Setting| s.is("how", how));
    let both = [find(pair.ways[0])?, find(pair.ways[1])?];
    let time = |setting: &Setting, way: &str| {
        let own = time_id(way).and_then(|id| metric(summary, id));
        let said = || format::within(setting.value, (setting.low, setting.high), Unit::Ns);
        own.map_or_else(said, text)
    };
    let times = [time(both[0], pair.ways[0]), time(both[1], pair.ways[1])];
    let own = ratio_id(pair).and_then(|id| summary.metrics.get(id));
    if let Some(value) = own {
        return of_metric(pair, value, times);
    }
    let spread = both[0].with(both[1], Better::Lower, |warned, advised| warned / advised)?;
    let differ = (spread.high - spread.low) / spread.value;
    let mark = if differ <= 0.05 {
        ""
    } else if differ <= 0.25 {
        "~"
    } else {
        "?"
    };
    Some(Measured { pair, ratio: spread.value, ends: (spread.low, spread.high), mark, times })
}

fn of_metric(pair: &'static Pair, value: &Value, times: [String; 2]) -> Option<Measured> {
    let ratio = number(value)?;
    let ends = format::spread(value);
    Some(Measured { pair, ratio, ends, mark: measured::mark(value), times })
}

/// `34×`
fn times(ratio: f64, ends: (f64, f64)) -> String {
    // Below a tenth it would be in per cent.
    format!("{}×", format::within(ratio.max(0.1), ends, Unit::Ratio))
}

/// `None` when the card has no pair.
pub(super) fn chart(summary: &Summary) -> Option<Chart> {
    let mut all: Vec<Measured> = PAIRS.iter().filter_map(|pair| measured(summary, pair)).collect();
    all.sort_by(|a, b| b.ratio.total_cmp(&a.ratio));
    let (gain, none): (Vec<Measured>, Vec<Measured>) =
        all.into_iter().partition(|pair| pair.ratio >= NEGLIGIBLE);
    let none: Vec<String> = none.iter().map(|m| m.pair.advised.to_owned()).collect();
    let (_, high) = ends(gain.iter().flat_map(|m| [m.ends.1, m.ratio]));
    let first = gain.first()?;
    let says: Vec<String> = gain
        .iter()
        .map(|m| format!("{} instead of {}: {}", m.pair.advised, m.pair.warned, m.factor()))
        .collect();
    let no_gain =
        if none.is_empty() { String::new() } else { format!("No gain here: {}.", listed(&none)) };
    Some(Chart {
        name: "idioms",
        title: format!(
            "{} of {} pieces of advice pay here, at most {}",
            gain.len(),
            gain.len() + none.len(),
            first.factor()
        ),
        subtitle: "Slowdown of the same program without the advice".into(),
        says: says.join("; "),
        caption: format!("{no_gain}{}", notes(summary, PROBE, &PAIRS.map(|pair| pair.quantity)))
            .trim()
            .to_owned(),
        machine: summary.card.header.machine.title(),
        panels: vec![Panel::Rows(Rows {
            x: Scale::log("slowdown, log", (1.0, high.max(10.0) * 1.2), |v| {
                format!("{}×", format::plain(v))
            }),
            value: "factor",
            keys: Vec::new(),
            columns: vec![vec![Cell { text: "without, with".into(), layer: None }]],
            groups: vec![Group {
                head: String::new(),
                rows: gain.iter().map(Measured::row).collect(),
            }],
        })],
    })
}

impl Measured {
    fn factor(&self) -> String {
        [self.mark, &times(self.ratio, self.ends)].join(" ").trim().to_owned()
    }

    fn row(&self) -> Row {
        let dot = Dot {
            at: self.ratio,
            range: Some(self.ends),
            symbol: Symbol::Dot,
            ink: BLUE,
            layer: None,
        };
        Row {
            name: self.pair.advised.to_owned(),
            note: format!("instead of {}", self.pair.warned),
            value: self.factor(),
            dots: vec![dot],
            cells: vec![vec![Cell { text: self.times.join(", "), layer: None }]],
        }
    }
}

#[cfg(test)]
mod tests {
    use card::record::Param;

    use super::super::chart::Form;
    use super::*;
    use card::fixture;

    #[test]
    fn pairs_have_their_factor_and_their_times_and_the_rest_is_one_line() {
        let summary = fixture::recorded();
        let chart = chart(&summary).unwrap();
        let svg = chart.svg(Form::File);
        for id in ["idioms.write_unbuffered_ratio", "idioms.column_order_ratio"] {
            let value = metric(&summary, id).unwrap();
            let shown = times(number(value).unwrap(), format::spread(value));
            assert!(svg.contains(&shown), "{id}: {shown}");
        }
        let string = text(metric(&summary, "idioms.map_string_key_dram_ns").unwrap());
        assert!(svg.contains(&string) && svg.contains(" ns") && !svg.contains("NaN"));
        let Panel::Rows(rows) = &chart.panels[0] else { panic!("rows") };
        let shown = rows.groups[0].rows.len();
        let named = PAIRS.iter().filter(|p| chart.caption.contains(p.advised)).count();
        assert!(shown < PAIRS.len() && shown + named >= PAIRS.len(), "{shown} + {named}");
        assert!(rows.groups[0].rows.is_sorted_by(|a, b| a.dots[0].at >= b.dots[0].at));
    }

    #[test]
    fn a_pair_without_one_of_its_ways_is_left_out() {
        let mut card = fixture::recorded().card;
        let all = chart(&Summary::of(card.clone())).unwrap();
        let way = Param::from(PAIRS[10].ways[1]);
        card.points.retain(|p| p.quantity != "write" || !p.params.values().any(|v| *v == way));
        let one_less = chart(&Summary::of(card)).unwrap();
        assert!(all.says.contains("1-byte writes") && !one_less.says.contains("1-byte writes"));
    }

    #[test]
    fn every_pair_is_one_that_is_measured() {
        let declared = fixture::declared("idioms").metrics;
        let text = format!("{declared:?}");
        for pair in &PAIRS {
            for way in pair.ways {
                assert!(text.contains(pair.quantity), "{}", pair.quantity);
                // Ways without a metric of their own.
                let known = text.contains(&format!("{way:?}")) || way == "plain";
                assert!(known, "{way}");
            }
        }
    }

    #[test]
    fn factors_are_given_as_well_as_they_are_known() {
        assert_eq!(times(33.6, (32.0, 47.0)), "34×");
        assert_eq!(times(658.2, (639.0, 661.0)), "658×");
        assert_eq!(times(1.53, (1.0, 2.5)), "1.5×");
    }

    #[test]
    fn no_pair_no_picture() {
        assert!(chart(&fixture::empty()).is_none());
    }
}
