//! Memory nodes: latency and bandwidth from each node's CPUs to each node's memory.

use card::declare::Unit;
use plotters::backend::DrawingBackend;

use super::canvas::{Canvas, Drawing};
use super::frame::{WIDTH, heading};
use super::heat::Heat;
use super::theme::{BODY, SMALL};
use super::{Picture, notes, picture};
use card::series;
use card::summary::Summary;

const TITLE: &str = "Memory nodes: how far is whose memory?";
const PROBE: &str = "numa";
/// Whose CPUs ask, and whose memory answers.
const NODES: (&str, &str) = ("cpu_node", "memory_node");
const TOP: f64 = 132.0;
/// A cell, and a matrix of many.
const CELL: f64 = 110.0;
const SIDE: f64 = 330.0;
/// Left edges of the two matrices.
const EDGES: [f64; 2] = [66.0, 516.0];

/// The data of the picture.
pub(super) struct Numa {
    latency: Heat,
    bandwidth: Option<Heat>,
    note: String,
    machine: String,
}

impl Numa {
    /// `None` where there is at most one node, of which a line says everything.
    pub(super) fn of(summary: &Summary) -> Option<Numa> {
        let latency = series::settings(&summary.card, PROBE, "latency");
        let bandwidth = series::settings(&summary.card, PROBE, "time_per_byte");
        (latency.len() > 1).then_some(())?;
        Some(Numa {
            bandwidth: Heat::over(&bandwidth, NODES, |s| Some(1.0 / s.value), Unit::Gbs),
            note: notes(&latency),
            latency: Heat::over(&latency, NODES, |s| Some(s.value), Unit::Ns)?,
            machine: summary.card.header.machine.title(),
        })
    }

    pub(super) fn picture(self) -> Picture {
        let block = self.latency.block();
        let blocks = if block > 1 {
            format!(" Each cell is the median of {block} by {block} nodes.")
        } else {
            String::new()
        };
        let caption = format!(
            "A row is the node whose CPUs ask, a column the node whose memory answers; the diagonal \
             is a node's own memory. Time per dependent load, and what one thread reads per \
             second.{blocks}{}",
            self.note
        );
        picture("numa", TITLE, caption, self)
    }
}

impl Numa {
    /// Width and height of a matrix.
    fn side(&self) -> (f64, f64) {
        let (rows, columns) = self.latency.size();
        let cell = (SIDE / rows.max(columns) as f64).min(CELL);
        (cell * columns as f64, cell * rows as f64)
    }
}

impl Drawing for Numa {
    fn size(&self) -> (f64, f64) {
        (WIDTH, (TOP + self.side().1 + 100.0).ceil())
    }

    fn draw<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>) {
        heading(c, TITLE, &self.machine);
        let (width, height) = self.side();
        let titled = [("Latency", Some(&self.latency)), ("Bandwidth", self.bandwidth.as_ref())];
        for ((title, heat), left) in titled.into_iter().zip(EDGES) {
            let Some(heat) = heat else { continue };
            c.text((left, TOP - 34.0), title, BODY.bold());
            c.text((left - 46.0, TOP - 12.0), "node of the CPUs", SMALL);
            heat.draw(c, (left, TOP), (width, height));
            c.text((left, TOP + height + 36.0), "node of the memory", SMALL);
            heat.legend(c, (left, TOP + height + 56.0), 270.0, heat.unit().symbol());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plots::canvas::svg;
    use card::{fixture, format};

    #[test]
    fn two_nodes_are_two_matrices_with_their_numbers() {
        let summary = fixture::two_nodes();
        let svg = svg(&Numa::of(&summary).unwrap(), TITLE);
        for text in ["node of the CPUs", "Latency", "Bandwidth", "GB/s"] {
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
        let hole = svg(&Numa::of(&Summary::of(card.clone())).unwrap(), TITLE);
        assert!(hole.contains("–") && !hole.contains("NaN"));
        card.points.retain(|p| is(p, "0", "0") || is(p, "0", "1"));
        card.points.retain(|p| p.quantity == "latency");
        let row = Numa::of(&Summary::of(card)).unwrap();
        assert_eq!(row.latency.size(), (1, 2));
        let row = svg(&row, TITLE);
        assert!(row.contains("Latency") && !row.contains("Bandwidth") && !row.contains("NaN"));
    }

    #[test]
    fn one_node_is_no_picture() {
        assert!(Numa::of(&fixture::recorded()).is_none());
        assert!(Numa::of(&fixture::empty()).is_none());
    }
}
