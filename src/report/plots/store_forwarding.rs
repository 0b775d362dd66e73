//! Store forwarding: what a load costs that reads what was just stored, by where in the line both
//! begin, and in the cases that matter.

use card::declare::Unit;
use plotters::backend::DrawingBackend;

use super::canvas::{Canvas, Drawing, wrap};
use super::frame::{LEFT, WIDTH, heading};
use super::heat::{Heat, values_of};
use super::scale::Axis;
use super::theme::{Align, BLUE, BODY, INK, SMALL, VERMILION};
use super::{Picture, notes, picture};
use card::format;
use card::series::{self, Setting};
use card::summary::Summary;

const TITLE: &str = "Store forwarding: reading what was just written";
const PROBE: &str = "store-forwarding";
const HEIGHT: f64 = 640.0;
const TOP: f64 = 128.0;
/// Left edge and side of the matrix.
const MATRIX: f64 = 66.0;
const SIDE: f64 = 420.0;
/// Left edge of the bars, and the end of the longest.
const BARS: f64 = 560.0;
const LONGEST: f64 = 824.0;
const ROW: f64 = 40.0;
const LINE_BYTES: i64 = 64;

/// The data of the picture.
pub(super) struct StoreForwarding {
    matrix: Option<Heat>,
    /// How many offsets lie below each line border, by rows and columns.
    borders: (Vec<usize>, Vec<usize>),
    cases: Vec<(String, f64)>,
    unit: Unit,
    /// What a load loses that only seems to read what was stored.
    alias: Option<f64>,
    note: String,
    machine: String,
}

impl StoreForwarding {
    /// `None` when the card has neither matrix nor cases.
    pub(super) fn of(summary: &Summary) -> Option<StoreForwarding> {
        let forward = series::settings(&summary.card, PROBE, "forward");
        let case = series::settings(&summary.card, PROBE, "forward_case");
        // Without the clock beside every point, times must do.
        let cycles = forward.iter().chain(&case).all(|s| s.cycles.is_some());
        let unit = if cycles { Unit::Cycles } else { Unit::Ns };
        let y = |s: &Setting| if cycles { s.cycles } else { Some(s.value) };
        let matrix = Heat::over(&forward, ("store_offset", "load_offset"), y, unit);
        let borders = |name| line_borders(&values_of(&forward, name));
        let borders = (borders("store_offset"), borders("load_offset"));
        let mut cases: Vec<(String, f64)> = case
            .iter()
            .filter_map(|s| Some((words(&s.params.get("case")?.to_string())?, y(s)?)))
            .collect();
        cases.sort_by(|a, b| a.1.total_cmp(&b.1));
        (matrix.is_some() || !cases.is_empty()).then(|| StoreForwarding {
            matrix,
            borders,
            cases,
            unit,
            alias: alias(summary, unit),
            note: notes(&[forward, case].concat()),
            machine: summary.card.header.machine.title(),
        })
    }

    pub(super) fn picture(self) -> Picture {
        let alias = self.alias.map_or(String::new(), |extra| {
            let extra = format::quantity(extra, self.unit);
            format!(
                " A load 4096 bytes from an unrelated store looks like one of the same address at \
                 first, and takes {extra} longer (4K aliasing)."
            )
        });
        let caption = format!(
            "A store of eight bytes is followed at once by a load of eight bytes; the matrix is the \
             time of such a pair, by the offsets at which both begin. On the diagonal the load reads \
             exactly what was stored and gets it straight from the store buffer; beside it, it reads \
             a part of that and has to wait until the store is done; far from it, the two have \
             nothing to do with each other. The lines mark the border of a cache line, which accesses \
             that begin less than eight bytes before it cross.{alias}{}",
            self.note
        );
        picture("store_forwarding", TITLE, caption, self)
    }
}

/// A load 4096 bytes from a store looks at first like one of the same address.
fn alias(summary: &Summary, unit: Unit) -> Option<f64> {
    let unit = if unit == Unit::Cycles { "cycles" } else { "ns" };
    let value = summary.metrics.get(&format!("store_forward.alias_4k_{unit}"))?;
    format::believable(value)
}

/// A case as readers understand it; `None` for those that are only there to be subtracted.
fn words(case: &str) -> Option<String> {
    let words = match case {
        "multiply" => return None,
        case if case.ends_with("_and_multiply") => return None,
        "same" => "the same 8 bytes",
        "same_in_small_loop" => "the same, in a small loop",
        "narrow_at_start" => "the first 4 of 8 bytes stored",
        "narrow_at_end" => "the last 4 of 8 bytes stored",
        "load_wider" => "8 bytes, 4 of them just stored",
        "load_4_later" => "8 bytes that begin 4 later",
        "load_4_earlier" => "8 bytes that begin 4 earlier",
        "two_stores" => "8 bytes of two stores",
        "line_crossing" => "the same, across a line border",
        "page_crossing" => "the same, across a page border",
        "vector_16" => "the same 16 bytes, as a vector",
        "vector_32" => "the same 32 bytes, as a vector",
        other => return Some(other.replace('_', " ")),
    };
    Some(words.to_owned())
}

/// Before which of the offsets a line border lies.
fn line_borders(offsets: &[i64]) -> Vec<usize> {
    let line = |offset: i64| offset.div_euclid(LINE_BYTES);
    let pairs = offsets.windows(2).enumerate();
    pairs.filter(|(_, w)| line(w[0]) != line(w[1])).map(|(i, _)| i + 1).collect()
}

impl Drawing for StoreForwarding {
    fn size(&self) -> (f64, f64) {
        let bars = TOP + ROW * self.cases.len() as f64 + 30.0;
        (WIDTH, if self.matrix.is_some() { HEIGHT.max(bars) } else { bars })
    }

    fn draw<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>) {
        heading(c, TITLE, &self.machine);
        if let Some(matrix) = &self.matrix {
            c.text((MATRIX, TOP - 34.0), "Store and load by their offsets", BODY.bold());
            c.text((LEFT, TOP - 12.0), "store begins at byte", SMALL);
            matrix.draw(c, (MATRIX, TOP), (SIDE, SIDE));
            let x_name = (MATRIX + SIDE, TOP + SIDE + 38.0);
            c.text(x_name, "load begins at byte", SMALL.align(Align::Right));
            self.draw_borders(c, matrix);
            let unit = format!("{} per pair", matrix.unit().symbol());
            matrix.legend(c, (MATRIX, TOP + SIDE + 56.0), SIDE - 110.0, &unit);
        }
        if !self.cases.is_empty() {
            self.draw_cases(c);
        }
    }
}

impl StoreForwarding {
    fn draw_borders<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>, matrix: &Heat) {
        let (rows, columns) = matrix.size();
        for (i, below) in self.borders.1.iter().enumerate() {
            let x = MATRIX + SIDE * *below as f64 / columns as f64;
            c.line((x, TOP - 6.0), (x, TOP + SIDE), 1.4, VERMILION);
            if i == 0 {
                let set = SMALL.ink(VERMILION).align(Align::Right);
                c.text((MATRIX + SIDE, TOP - 12.0), "border of a line", set);
            }
        }
        for below in &self.borders.0 {
            let y = TOP + SIDE * *below as f64 / rows as f64;
            c.line((MATRIX, y), (MATRIX + SIDE + 6.0, y), 1.4, VERMILION);
        }
    }

    fn draw_cases<DB: DrawingBackend>(&self, c: &Canvas<'_, DB>) {
        c.text((BARS, TOP - 34.0), "What the load reads", BODY.bold());
        let most = self.cases.iter().map(|case| case.1).fold(0.0, f64::max);
        let length = Axis::linear((0.0, most), (BARS, LONGEST));
        for (i, (name, value)) in self.cases.iter().enumerate() {
            let top = TOP + ROW * i as f64;
            for line in wrap(name, WIDTH - LEFT - BARS, 1, SMALL) {
                c.text((BARS, top + 12.0), &line, SMALL.ink(INK));
            }
            let end = length.at(*value);
            c.rect((BARS, top + 18.0), (end, top + 30.0), BLUE);
            let text =
                if i == 0 { format::quantity(*value, self.unit) } else { format::number(*value) };
            c.tag((end + 6.0, top + 28.5), &text, SMALL.ink(INK));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plots::canvas::svg;
    use card::fixture;

    #[test]
    fn matrix_border_cases_and_aliasing_are_drawn() {
        let forwarding = StoreForwarding::of(&fixture::recorded()).unwrap();
        let svg = svg(&forwarding, TITLE);
        for text in ["store begins", "border of a line", "cycles per pair", "across a page"] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(!svg.contains("multiply"), "what is only subtracted is no case");
        assert!(forwarding.picture().caption.contains("cycles longer (4K aliasing)"));
    }

    #[test]
    fn cases_are_told_in_words() {
        assert_eq!(words("line_crossing").unwrap(), "the same, across a line border");
        assert_eq!(words("some_new_case").unwrap(), "some new case");
        assert_eq!((words("multiply"), words("same_and_multiply")), (None, None));
    }

    #[test]
    fn line_borders_lie_where_the_line_changes() {
        assert_eq!(line_borders(&[0, 32, 60, 64, 72, 128]), [3, 5]);
        assert_eq!(line_borders(&[-8, 0, 8]), [1]);
        assert!(line_borders(&[0, 8]).is_empty() && line_borders(&[]).is_empty());
    }

    #[test]
    fn either_half_is_a_picture_and_none_is_none() {
        let mut cases = fixture::recorded().card;
        cases.points.retain(|p| p.quantity == "forward_case");
        let cases = StoreForwarding::of(&Summary::of(cases)).unwrap();
        assert!(cases.matrix.is_none() && !svg(&cases, TITLE).contains("NaN"));
        let mut matrix = fixture::recorded().card;
        matrix.points.retain(|p| p.quantity == "forward");
        // A hole in the matrix, and no clock.
        matrix.points.retain(|p| p.params.values().any(|v| v.to_string() != "8"));
        matrix.points.iter_mut().for_each(|p| p.core_ghz = Vec::new());
        let matrix = StoreForwarding::of(&Summary::of(matrix)).unwrap();
        assert!(matrix.cases.is_empty());
        assert!(svg(&matrix, TITLE).contains("ns per pair"));
        assert!(StoreForwarding::of(&fixture::empty()).is_none());
    }
}
