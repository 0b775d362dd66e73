//! Memory nodes: latency and bandwidth from each node's CPUs to each node's memory. Of one node, a
//! line says everything.

use card::declare::Unit;

use super::chart::{Chart, Panel};
use super::heat::Heat;
use super::measured::{metric, text_of, told};
use super::notes;
use super::table::{Cell, Table};
use card::series;
use card::summary::Summary;

const PROBE: &str = "numa";
/// Whose CPUs ask, and whose memory answers.
const NODES: (&str, &str) = ("cpu_node", "memory_node");

/// `None` where there is at most one node.
pub(super) fn chart(summary: &Summary) -> Option<Chart> {
    let latency = series::settings(&summary.card, PROBE, "latency");
    let bandwidth = series::settings(&summary.card, PROBE, "time_per_byte");
    (latency.len() > 1).then_some(())?;
    let titled = |heat: Heat, title: &str| {
        heat.titled(title, "NUMA node of the CPUs", "NUMA node of the memory")
    };
    let first = Heat::over(&latency, NODES, |s| Some(s.value), Unit::Ns)?;
    let second = Heat::over(&bandwidth, NODES, |s| Some(1.0 / s.value), Unit::Gbs);
    let block = first.block();
    let blocks = if block > 1 {
        format!("Each cell is the median of {block} by {block} nodes.")
    } else {
        String::new()
    };
    let second = second.map(|heat| titled(heat, "Bandwidth of one thread, GB/s"));
    let panels = [titled(first, "Latency, ns")].into_iter().chain(second);
    let title = title(summary);
    Some(Chart {
        name: "numa",
        says: format!("{title}."),
        title,
        subtitle: "From the CPUs of each node to the memory of each node".into(),
        caption: format!("{blocks}{}", notes(summary, PROBE, &["latency"])).trim().to_owned(),
        machine: summary.card.header.machine.title(),
        panels: panels.map(Panel::Heat).collect(),
    })
}

/// What there is to say of one node.
pub(super) fn table(summary: &Summary) -> Option<Table> {
    if chart(summary).is_some() {
        return None;
    }
    let mut table = Table::new("numa", "One NUMA node".into(), &["", "Latency", "One thread"]);
    let cells = [metric(summary, "numa.local_ns"), metric(summary, "numa.local_gbs")];
    let cells = cells.iter().any(Option::is_some).then(|| cells.map(Cell::of).to_vec());
    table.row("", "local node", cells);
    table.filled()
}

fn title(summary: &Summary) -> String {
    let local = text_of(summary, "numa.local_ns");
    let remote = metric(summary, "numa.remote_ns").map(told);
    match (local, remote) {
        (Some(local), Some(remote)) => format!("Remote memory {remote}, local {local}"),
        _ => "Latency and bandwidth between memory nodes".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::chart::Form;
    use super::*;
    use card::{fixture, format};

    #[test]
    fn two_nodes_are_two_matrices_with_their_numbers() {
        let summary = fixture::two_nodes();
        let svg = chart(&summary).unwrap().svg(Form::File);
        for text in ["NUMA node of the CPUs", "Latency", "Bandwidth", "GB/s"] {
            assert!(svg.contains(text), "{text}");
        }
        for id in ["numa.local_ns", "numa.remote_ns"] {
            let number = format::number(summary.metrics.number(id).unwrap());
            assert!(svg.contains(&format!("\n{number}\n")), "{id}");
        }
    }

    #[test]
    fn a_node_without_cpus_has_no_row_and_a_missing_pair_no_number() {
        let mut card = fixture::two_nodes().card;
        let is = |p: &card::record::Point, cpu: &str, memory: &str| {
            p.params["cpu_node"].to_string() == cpu && p.params["memory_node"].to_string() == memory
        };
        card.points.retain(|p| p.probe == PROBE && !is(p, "1", "0"));
        let hole = chart(&Summary::of(card.clone())).unwrap().svg(Form::File);
        assert!(hole.contains("–") && !hole.contains("NaN"));
        card.points.retain(|p| is(p, "0", "0") || is(p, "0", "1"));
        card.points.retain(|p| p.quantity == "latency");
        let row = chart(&Summary::of(card)).unwrap();
        assert_eq!(row.panels.len(), 1);
        let row = row.svg(Form::Narrow);
        assert!(row.contains("Latency") && !row.contains("GB/s") && !row.contains("NaN"));
    }

    #[test]
    fn one_node_is_a_line() {
        let summary = fixture::recorded();
        assert!(chart(&summary).is_none() && table(&summary).is_some());
        assert!(chart(&fixture::empty()).is_none() && table(&fixture::empty()).is_none());
    }
}
