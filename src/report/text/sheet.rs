//! Lines of cells and wrapped paragraphs for a terminal of a given width.

use card::clean;
use console::{Alignment, pad_str, truncate_str};

/// Columns that a text takes.
pub(super) use console::measure_text_width as columns;

/// How a piece of text stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Bold,
    Dim,
    Red,
    Yellow,
    Green,
}

impl Style {
    /// The text in this style, which only a terminal understands.
    fn apply(self, text: &str) -> String {
        let style = console::Style::new().force_styling(true);
        let style = match self {
            Style::Plain => style,
            Style::Bold => style.bold(),
            Style::Dim => style.dim(),
            Style::Red => style.red(),
            Style::Yellow => style.yellow(),
            Style::Green => style.green(),
        };
        style.apply_to(text).to_string()
    }
}

/// Text in a column of fixed width; what does not fit ends, or begins, with an ellipsis.
#[derive(Clone)]
pub(super) struct Cell {
    text: String,
    width: usize,
    style: Style,
    align: Alignment,
}

impl Cell {
    pub(super) fn left(text: &str, width: usize, style: Style) -> Cell {
        Cell { text: head(&clean::line(text), width), width, style, align: Alignment::Left }
    }

    pub(super) fn right(text: &str, width: usize, style: Style) -> Cell {
        Cell { align: Alignment::Right, ..Cell::left(text, width, style) }
    }

    /// For ids, whose ends tell them apart.
    pub(super) fn tail(text: &str, width: usize, style: Style) -> Cell {
        Cell { text: tail(&clean::line(text), width), ..Cell::left(text, width, style) }
    }
}

/// Text that is being laid out.
pub(super) struct Sheet {
    width: usize,
    color: bool,
    out: String,
}

impl Sheet {
    pub(super) fn new(width: usize, color: bool) -> Sheet {
        Sheet { width, color, out: String::new() }
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    pub(super) fn finish(self) -> String {
        self.out
    }

    pub(super) fn blank(&mut self) {
        self.out.push('\n');
    }

    /// A section's name on a rule across the sheet.
    pub(super) fn heading(&mut self, name: &str) {
        let name = head(&clean::line(name), self.width - 4);
        let rule = "─".repeat(self.width - columns(&name) - 1);
        self.blank();
        self.put(&name, Style::Bold);
        self.put(&format!(" {rule}"), Style::Dim);
        self.blank();
    }

    /// Cells side by side, one blank between them, none at the end of the line.
    pub(super) fn row(&mut self, cells: &[Cell]) {
        let last = cells.iter().rposition(|c| !c.text.is_empty()).map_or(0, |i| i + 1);
        let padded = |cell: &Cell| {
            let text = self.styled(&cell.text, cell.style);
            pad_str(&text, cell.width, cell.align, None).into_owned()
        };
        let line = cells[..last].iter().map(padded).collect::<Vec<String>>().join(" ");
        self.out.push_str(line.trim_end());
        self.blank();
    }

    /// A paragraph behind `mark`, its further lines indented as far as the first.
    pub(super) fn wrapped(&mut self, mark: &str, text: &str, style: Style) {
        let indent = columns(mark);
        let room = self.width - indent;
        for (i, line) in lines(&clean::line(text), room).iter().enumerate() {
            if i == 0 {
                self.put(mark, style);
            } else {
                self.out.push_str(&" ".repeat(indent));
            }
            self.put(line, style);
            self.blank();
        }
    }

    fn put(&mut self, text: &str, style: Style) {
        let text = self.styled(text, style);
        self.out.push_str(&text);
    }

    fn styled(&self, text: &str, style: Style) -> String {
        if self.color { style.apply(text) } else { text.to_owned() }
    }
}

fn head(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.trim_end().to_owned();
    }
    format!("{}…", truncate_str(text, width.saturating_sub(1), "").trim_end())
}

fn tail(text: &str, width: usize) -> String {
    let reversed = |text: &str| text.chars().rev().collect::<String>();
    reversed(&head(&reversed(text), width))
}

/// Breaks at blanks; a word wider than the line is cut.
fn lines(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let word = head(word, width);
        match lines.last_mut() {
            Some(line) if columns(line) + 1 + columns(&word) <= width => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_hang_and_stay_within_the_width() {
        let mut sheet = Sheet::new(12, false);
        sheet.wrapped("! ", "one two three four", Style::Yellow);
        assert_eq!(sheet.finish(), "! one two\n  three four\n");
    }

    #[test]
    fn cells_are_cut_where_it_hurts_least() {
        assert_eq!(head("abcdefgh", 5), "abcd…");
        assert_eq!(tail("context_switch.pipe", 8), "…ch.pipe");
        assert_eq!(head("日本語", 5), "日本…");
    }

    #[test]
    fn rows_have_no_trailing_blanks() {
        let mut sheet = Sheet::new(40, false);
        let cell = |text| Cell::left(text, 6, Style::Plain);
        sheet.row(&[cell("a"), Cell::right("b", 4, Style::Bold), cell("")]);
        assert_eq!(sheet.finish(), "a         b\n");
    }
}
