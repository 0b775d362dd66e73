//! Context switches: what one of them takes, by mechanism and place.

use card::declare::Unit;

use super::canvas::Symbol;
use super::chart::{Chart, Panel};
use super::curves::{Scale, ends, time};
use super::measured::{self, metric, number, told};
use super::rows::{Dot, Group, Key, Row, Rows};
use super::theme::{BLUE, BLUE_DEEP, BLUE_LIGHT, Ink};
use card::format;
use card::metrics::Value;
use card::summary::Summary;

/// Places in ids, and for readers.
const PLACES: [(&str, &str); 3] =
    [("same_cpu", "On one CPU"), ("sibling", "To an SMT sibling"), ("other_cpu", "To another CPU")];

const MECHANISMS: [(&str, &str); 4] =
    [("pipe", "pipe"), ("futex", "futex"), ("eventfd", "eventfd"), ("yield", "sched_yield")];

/// Switches that the kernel knows nothing of: ids, and for readers.
const WITHOUT: [(&str, &str); 4] = [
    ("user_ns", "stack switch, indirect jump"),
    ("user_return_ns", "stack switch, ret"),
    ("coroutine_ns", "coroutine"),
    ("async_ns", "async task"),
];

/// Wake-ups of a thread on another CPU.
const WAKING: [(&str, &str); 2] =
    [("wakeup_ns", "asleep for 50 µs"), ("wakeup_idle_ns", "CPU idle for 1 ms")];

/// Who is switched to.
#[derive(Clone, Copy, PartialEq)]
enum Who {
    Thread,
    Process,
    Spinning,
}

impl Who {
    fn look(self) -> (Symbol, Ink) {
        match self {
            Who::Thread => (Symbol::Dot, BLUE),
            Who::Process => (Symbol::Diamond, BLUE_DEEP),
            Who::Spinning => (Symbol::Ring, BLUE_LIGHT),
        }
    }
}

/// Of a metric, as a part of it: half a round trip is one switch.
struct One<'a> {
    who: Who,
    value: &'a Value,
    part: f64,
}

impl One<'_> {
    fn ns(&self) -> f64 {
        number(self.value).unwrap_or_default() * self.part
    }

    fn ends(&self) -> (f64, f64) {
        let ns = self.ns();
        let (low, high) = format::spread(self.value);
        let end = |v: f64| (v * self.part).max(ns / 1e3);
        (end(low).min(ns), end(high).max(ns))
    }

    fn text(&self) -> String {
        let said = format::within(self.ns(), self.ends(), Unit::Ns);
        [measured::mark(self.value), &said].join(" ").trim().to_owned()
    }

    fn dot(&self) -> Dot {
        let (symbol, ink) = self.who.look();
        Dot { at: self.ns(), range: Some(self.ends()), symbol, ink, layer: None }
    }
}

fn one<'a>(summary: &'a Summary, id: &str, who: Who, part: f64) -> Option<One<'a>> {
    metric(summary, &format!("context_switch.{id}")).map(|value| One { who, value, part })
}

/// A row: its name, and what is drawn of it.
type Named<'a> = (String, Vec<One<'a>>);

/// `None` when no switch was measured.
pub(super) fn chart(summary: &Summary) -> Option<Chart> {
    let alone = |list: &[(&str, &str)]| -> Vec<Named<'_>> {
        let row = |(id, name): &(&str, &str)| {
            Some(((*name).to_owned(), vec![one(summary, id, Who::Thread, 1.0)?]))
        };
        list.iter().filter_map(row).collect()
    };
    let places = PLACES.into_iter().map(|(place, name)| {
        let rows = MECHANISMS.into_iter().filter_map(|how| row(summary, how, place)).collect();
        (name, rows)
    });
    let groups: Vec<(&str, Vec<Named<'_>>)> = [("User level", alone(&WITHOUT))]
        .into_iter()
        .chain(places)
        .chain([("Cross-CPU wake-up", alone(&WAKING))])
        .filter(|(_, rows)| !rows.is_empty())
        .collect();
    let all = || groups.iter().flat_map(|g| &g.1).flat_map(|row| &row.1);
    let (low, high) = ends(all().flat_map(|one| [one.ends().0, one.ends().1]));
    let has = |who: Who| all().any(|one| one.who == who);
    let key = |who: Who, text: &str| {
        let (symbol, ink) = who.look();
        has(who).then(|| Key { symbol, ink, text: text.into(), layer: None })
    };
    let keys = [
        key(Who::Thread, "thread"),
        key(Who::Process, "process, where it differs"),
        key(Who::Spinning, "thread that spins instead of sleeping"),
    ];
    let says: Vec<String> = groups
        .iter()
        .flat_map(|(place, rows)| {
            rows.iter().map(move |(name, ones)| format!("{place}, {name}: {}", ones[0].text()))
        })
        .collect();
    let rows = |rows: &[Named<'_>]| -> Vec<Row> {
        rows.iter().map(|(name, ones)| drawn(name, ones)).collect()
    };
    (!groups.is_empty()).then(|| Chart {
        name: "switches",
        title: title(summary),
        subtitle: "Time of one context switch, half a round trip, by mechanism and place".into(),
        says: says.join("; "),
        caption: "System calls included. Lines reach from the fastest to the slowest round.".into(),
        machine: summary.card.header.machine.title(),
        panels: vec![Panel::Rows(Rows {
            x: Scale::log("time of one switch, log", (low / 1.5, high.max(low * 4.0) * 1.5), time),
            value: "",
            keys: keys.into_iter().flatten().collect(),
            columns: Vec::new(),
            groups: groups
                .iter()
                .map(|(head, of)| Group { head: (*head).to_owned(), rows: rows(of) })
                .collect(),
        })],
    })
}

fn title(summary: &Summary) -> String {
    let text = |id: &str| metric(summary, &format!("context_switch.{id}")).map(told);
    let parts = [
        text("per_switch_ns").map(|t| format!("a context switch takes {t}")),
        text("direct_ns").map(|t| format!("{t} without its system calls")),
        text("wakeup_idle_ns").map(|t| format!("cross-CPU wake-up {t}")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    match parts.join(", ") {
        all if all.is_empty() => "Context switches".into(),
        all => all.replacen("a context", "A context", 1),
    }
}

/// A mechanism at a place: threads, processes where they differ, and threads that spin.
fn row<'a>(
    summary: &'a Summary,
    (how, name): (&str, &str),
    place: &str,
) -> Option<(String, Vec<One<'a>>)> {
    let at = |kind: &str, what: &str, who| {
        one(summary, &format!("{how}.{kind}.{place}.{what}"), who, 0.5)
    };
    let thread = at("thread", "round_trip_ns", Who::Thread);
    let process = at("process", "round_trip_ns", Who::Process).filter(|process| {
        let apart = |a: (f64, f64), b: (f64, f64)| a.1 < b.0 || b.1 < a.0;
        thread.as_ref().is_none_or(|thread| apart(thread.ends(), process.ends()))
    });
    let spinning = at("thread", "spinning_round_trip_ns", Who::Spinning);
    let all: Vec<One<'_>> = [thread, process, spinning].into_iter().flatten().collect();
    (!all.is_empty()).then(|| (name.to_owned(), all))
}

fn drawn(name: &str, ones: &[One<'_>]) -> Row {
    Row {
        name: name.to_owned(),
        note: String::new(),
        value: ones[0].text(),
        dots: ones.iter().rev().map(One::dot).collect(),
        cells: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::chart::Form;
    use super::*;
    use card::fixture;

    #[test]
    fn every_place_that_was_measured_has_its_rows() {
        let summary = fixture::recorded();
        let drawn = chart(&summary).unwrap().svg(Form::File);
        for text in ["On one CPU", "To another CPU", "User level", "sched_yield", "wake-up"] {
            assert!(drawn.contains(text), "{text}");
        }
        assert!(!drawn.contains("sibling") && !drawn.contains("NaN"));
        // One switch is half of the pipe's round trip, as the metric of one switch says.
        let one = metric(&summary, "context_switch.per_switch_ns").map(measured::marked).unwrap();
        assert!(drawn.contains(&format!("\n{one}\n")), "{one}");
    }

    #[test]
    fn one_round_trip_is_a_picture_and_none_is_not() {
        let mut card = fixture::recorded().card;
        let thread = |p: &card::record::Point| {
            p.probe == "context-switch"
                && p.quantity == "round_trip"
                && p.params["kind"].to_string() == "thread"
        };
        card.points.retain(thread);
        card.points.retain(|p| {
            p.params["how"].to_string() == "pipe" && p.params["place"].to_string() == "same_cpu"
        });
        let drawn = chart(&Summary::of(card)).unwrap().svg(Form::Narrow);
        assert!(drawn.contains("On one CPU") && !drawn.contains("NaN"));
        assert!(!drawn.contains("User level") && !drawn.contains("another CPU"));
        assert!(chart(&fixture::empty()).is_none());
    }
}
