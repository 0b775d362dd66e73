//! What hardware counters say of a card, for the terminal and the page: whether each number is what
//! it is called, and what went on in the core meanwhile.

use card::counters::{CounterSupport, Event, Unavailable};
use card::machine::human_bytes;
use card::record::Param;

use card::file::Card;
use card::format;
use card::metrics::counters::{self, ClockRatio, Row, Slots};
use card::metrics::proofs;

/// Events that happen more seldom than this in an operation say nothing of it.
const SELDOM: f64 = 0.001;

/// Those of the kernel come from elsewhere too: they matter where they are part of the operation.
const SELDOM_IN_KERNEL: f64 = 0.05;

/// A column of a table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::report) enum Column {
    Ns,
    Cycles,
    Ipc,
    Count(Event),
    Share(Part),
}

/// Where a slot went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::report) enum Part {
    Retired,
    Frontend,
    Backend,
    Rest,
}

impl Part {
    const ALL: [Part; 4] = [Part::Retired, Part::Frontend, Part::Backend, Part::Rest];

    fn share(self, slots: &Slots) -> Option<f64> {
        match self {
            Part::Retired => slots.retired,
            Part::Frontend => slots.frontend,
            Part::Backend => slots.backend,
            Part::Rest => slots.rest,
        }
    }
}

impl Column {
    /// Events that have a column of their own, in the order of the columns.
    const EVENTS: [Event; 13] = [
        Event::Instructions,
        Event::Branches,
        Event::Mispredicts,
        Event::L1dMisses,
        Event::L2Misses,
        Event::LlcMisses,
        Event::DtlbMisses,
        Event::DtlbWalks,
        Event::StoreForwardBlocks,
        Event::RemoteFills,
        Event::ContextSwitches,
        Event::Migrations,
        Event::Faults,
    ];

    fn all() -> impl Iterator<Item = Column> {
        [Column::Ns, Column::Cycles, Column::Ipc]
            .into_iter()
            .chain(Column::EVENTS.map(Column::Count))
            .chain(Part::ALL.map(Column::Share))
    }

    /// Its head, as short as the figures below it.
    pub(in crate::report) fn head(self) -> &'static str {
        match self {
            Column::Ns => "ns",
            Column::Cycles => "cycles",
            Column::Ipc => "IPC",
            Column::Count(event) => match event {
                Event::Instructions => "instr",
                Event::Mispredicts => "mispred",
                Event::L1dMisses => "L1D",
                Event::L2Misses => "L2",
                Event::LlcMisses => "LLC",
                Event::DtlbMisses => "TLB",
                Event::DtlbWalks => "walks",
                Event::StoreForwardBlocks => "blocks",
                Event::RemoteFills => "fills",
                Event::ContextSwitches => "switch",
                Event::Migrations => "moves",
                Event::Faults => "faults",
                Event::Branches => "branch",
                other => other.title(),
            },
            Column::Share(Part::Retired) => "retired",
            Column::Share(Part::Frontend) => "front",
            Column::Share(Part::Backend) => "back",
            Column::Share(Part::Rest) => "rest",
        }
    }

    /// What the head stands for, where it does not say so itself.
    pub(in crate::report) fn meaning(self) -> Option<&'static str> {
        Some(match self {
            Column::Ipc => "instructions per cycle",
            Column::Count(Event::Instructions) => "instructions",
            Column::Count(Event::Mispredicts) => "branch mispredicts",
            Column::Count(Event::L1dMisses) => "L1D misses",
            Column::Count(Event::L2Misses) => "L2 misses",
            Column::Count(Event::LlcMisses) => "misses of the last-level cache",
            Column::Count(Event::DtlbMisses) => "L1 DTLB misses",
            Column::Count(Event::DtlbWalks) => "page walks",
            Column::Count(Event::StoreForwardBlocks) => "loads blocked by failed store forwarding",
            Column::Count(Event::RemoteFills) => "lines from another core's cache",
            Column::Count(Event::ContextSwitches) => "context switches",
            Column::Count(Event::Migrations) => "CPU migrations",
            _ => return None,
        })
    }

    /// The figure of a row; `None` where it was not counted.
    pub(in crate::report) fn figure(self, row: &Row, survey: &CounterSupport) -> Option<f64> {
        match self {
            Column::Ns => row.ns,
            Column::Cycles if survey.counts_core() => row.count(Event::CoreCycles),
            Column::Cycles => row.clock_cycles,
            Column::Ipc => row.ipc(),
            Column::Count(event) => row.count(event),
            Column::Share(part) => {
                part.share(&row.slots(survey.slots_per_cycle?)?).map(|share| 100.0 * share)
            }
        }
    }

    /// As text: nothing where nothing was counted.
    pub(in crate::report) fn text(self, row: &Row, survey: &CounterSupport) -> String {
        match (self, self.figure(row, survey)) {
            (_, None) => String::new(),
            (Column::Share(_), Some(share)) => format!("{share:.0}"),
            (Column::Ipc, Some(ipc)) if ipc < 0.1 => format!("{ipc:.3}"),
            (Column::Ipc, Some(ipc)) => format!("{ipc:.2}"),
            (Column::Count(_), Some(n)) if n > 0.0 && n < SELDOM => format!("<{SELDOM}"),
            (_, Some(figure)) => short(figure),
        }
    }

    /// Whether some row has something to say in it.
    fn speaks(self, rows: &[Row], survey: &CounterSupport) -> bool {
        let least = match self {
            Column::Count(event) if event.is_software() => SELDOM_IN_KERNEL,
            Column::Count(_) => SELDOM,
            _ => 0.0,
        };
        rows.iter().any(|row| self.figure(row, survey).is_some_and(|figure| figure >= least))
    }
}

/// What was counted of a probe.
#[derive(Clone, Debug)]
pub(in crate::report) struct Table {
    pub(in crate::report) probe: String,
    pub(in crate::report) columns: Vec<Column>,
    /// Those that metrics and proofs rest on, the proofs' first.
    rows: Vec<Row>,
    /// Events of the core that were counted and hardly ever happened.
    pub(in crate::report) seldom: Vec<&'static str>,
}

impl Table {
    /// The first `most` rows, settings of one quantity below each other, and how many there are
    /// beside them.
    pub(in crate::report) fn first(&self, most: usize) -> (Vec<&Row>, usize) {
        let mut rows: Vec<&Row> = self.rows.iter().take(most).collect();
        let quantity = |row: &Row| self.rows.iter().position(|r| r.quantity == row.quantity);
        rows.sort_by_key(|row| (quantity(row), &row.params));
        (rows, self.rows.len().saturating_sub(most))
    }
}

/// A proof that could be decided.
#[derive(Clone, Debug)]
pub(in crate::report) struct Decided {
    pub(in crate::report) holds: bool,
    pub(in crate::report) text: String,
}

/// The tables of all probes that something was counted of.
pub(in crate::report) fn tables(card: &Card) -> Vec<Table> {
    card.header
        .declarations
        .iter()
        .filter_map(|d| {
            let mut rows = counters::rows(card, d);
            let survey = &card.header.counters;
            let of_core = |row: &Row| row.counts.keys().any(|event| !event.is_software());
            // Times alone stand elsewhere.
            let in_kernel = |row: &Row| row.counts.values().any(|n| *n >= SELDOM_IN_KERNEL);
            rows.retain(|row| of_core(row) || in_kernel(row));
            let (columns, silent): (Vec<Column>, Vec<Column>) =
                Column::all().partition(|column| column.speaks(&rows, survey));
            let seldom = |column: Column| match column {
                Column::Count(event) if !event.is_software() => {
                    rows.iter().any(|row| row.count(event).is_some()).then(|| event.title())
                }
                _ => None,
            };
            let seldom = silent.into_iter().filter_map(seldom).collect();
            (!rows.is_empty()).then(|| Table { probe: d.probe.to_string(), columns, rows, seldom })
        })
        .collect()
}

/// Every proof that the card can decide, probe by probe.
pub(in crate::report) fn decided(card: &Card) -> Vec<Decided> {
    let of_probe = |d| {
        proofs::verdicts(card, d).into_iter().map(|v| Decided {
            holds: v.holds(),
            text: if v.holds() {
                format!("{}: {}", v.text(), v.shows())
            } else {
                format!("{}: this refutes {}", v.text(), v.proof.metrics.join(", "))
            },
        })
    };
    card.header.declarations.iter().flat_map(of_probe).collect()
}

/// The core clock's two witnesses in one sentence.
pub(in crate::report) fn clock(card: &Card) -> Option<String> {
    let ClockRatio { median, low, high, points } = counters::clock_ratio(card)?;
    Some(format!(
        "cycles by the counter / by the add chain: {median:.3} over {points} points ({low:.3} to \
         {high:.3} in eight of ten)"
    ))
}

/// What was not counted, why, and what would help: one sentence where nothing of the core was.
pub(in crate::report) fn obstacles(card: &Card) -> Vec<String> {
    let survey = &card.header.counters;
    if let Some((reason, remedy)) = survey.nothing(&card.header.machine) {
        return vec![format!("nothing that the core does was counted: {reason}. Remedy: {remedy}")];
    }
    let sentence = |o: Unavailable<'_>| {
        let titles: Vec<&str> = o.events.iter().map(|event| event.title()).collect();
        let (reason, remedy) = (&o.why.reason, &o.why.remedy);
        format!("not counted: {}: {reason}. Remedy: {remedy}", titles.join(", "))
    };
    // What the kernel itself counts is not missed where it does not.
    let of_core = |o: &Unavailable<'_>| o.events.iter().any(|event| !event.is_software());
    survey.unavailable().into_iter().filter(of_core).map(sentence).collect()
}

/// What the tables are.
pub(in crate::report) const LEGEND: &str =
    "Time and events of one operation, in a middle sample, at the settings that metrics rest on.";

/// Columns of any of the tables, in order.
pub(in crate::report) fn columns(tables: &[Table]) -> Vec<Column> {
    Column::all().filter(|column| tables.iter().any(|t| t.columns.contains(column))).collect()
}

/// What the shares of slots mean on this card, where it has them.
pub(in crate::report) fn slots_legend(tables: &[Table]) -> Option<String> {
    let has = |part| tables.iter().any(|t| t.columns.contains(&Column::Share(part)));
    let parts = [
        (Part::Retired, "of operations that retired", "retired operations"),
        (Part::Frontend, "left empty by the front end", "the front end"),
        (Part::Backend, "refused by the back end", "the back end"),
    ];
    let (known, unknown): (Vec<_>, Vec<_>) = parts.into_iter().partition(|(part, ..)| has(*part));
    if known.is_empty() {
        return None;
    }
    let rest: Vec<&str> = unknown
        .iter()
        .map(|(.., name)| *name)
        .chain(["wrong speculation (or an active SMT sibling)"])
        .collect();
    let words: Vec<&str> = known.iter().map(|(_, words, _)| *words).collect();
    Some(format!(
        "Slots that the core could fill, in %: {}; and the rest: {}.",
        words.join("; "),
        rest.join(", or ")
    ))
}

/// At most seven characters.
fn short(figure: f64) -> String {
    match figure {
        n if n >= 1e9 => format!("{}G", format::number(n / 1e9)),
        n if n >= 1e6 => format!("{}M", format::number(n / 1e6)),
        n => format::number(n),
    }
}

/// `latency, random 2m, 512 MiB`.
pub(in crate::report) fn label(row: &Row) -> String {
    let param = |(name, value): (&String, &Param)| match value {
        Param::Int(bytes) if name == "working_set" || name == "footprint" => {
            human_bytes(bytes.cast_unsigned())
        }
        Param::Int(n) => format!("{} {n}", name.replace('_', " ")),
        Param::Text(text) => text.replace('_', " "),
    };
    let parts = [row.quantity.replace('_', " ")].into_iter().chain(row.params.iter().map(param));
    parts.collect::<Vec<String>>().join(", ")
}
