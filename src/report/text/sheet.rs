//! Lines of cells and wrapped paragraphs for a terminal of a given width.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

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
    fn escape(self) -> &'static str {
        match self {
            Style::Plain => "",
            Style::Bold => "\x1b[1m",
            Style::Dim => "\x1b[2m",
            Style::Red => "\x1b[31m",
            Style::Yellow => "\x1b[33m",
            Style::Green => "\x1b[32m",
        }
    }
}

/// Columns that a text takes.
pub(super) fn columns(text: &str) -> usize {
    text.width()
}

/// Text in a column of fixed width; what does not fit ends, or begins, with an ellipsis.
pub(super) struct Cell {
    text: String,
    width: usize,
    style: Style,
    right: bool,
}

impl Cell {
    pub(super) fn left(text: &str, width: usize, style: Style) -> Cell {
        Cell { text: head(&clean(text), width), width, style, right: false }
    }

    pub(super) fn right(text: &str, width: usize, style: Style) -> Cell {
        Cell { right: true, ..Cell::left(text, width, style) }
    }

    /// For ids, whose ends tell them apart.
    pub(super) fn tail(text: &str, width: usize, style: Style) -> Cell {
        Cell { text: tail(&clean(text), width), width, style, right: false }
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
        let name = head(&clean(name), self.width - 4);
        let rule = "─".repeat(self.width - columns(&name) - 1);
        self.blank();
        self.put(&name, Style::Bold);
        self.put(&format!(" {rule}"), Style::Dim);
        self.blank();
    }

    /// Cells side by side, one blank between them, none at the end of the line.
    pub(super) fn row(&mut self, cells: &[Cell]) {
        let last = cells.iter().rposition(|c| !c.text.is_empty()).map_or(0, |i| i + 1);
        for (i, cell) in cells[..last].iter().enumerate() {
            let padding = " ".repeat(cell.width.saturating_sub(columns(&cell.text)));
            if cell.right {
                self.out.push_str(&padding);
            }
            self.put(&cell.text, cell.style);
            if i + 1 < last {
                if !cell.right {
                    self.out.push_str(&padding);
                }
                self.out.push(' ');
            }
        }
        self.blank();
    }

    /// A paragraph behind `mark`, its further lines indented as far as the first.
    pub(super) fn wrapped(&mut self, mark: &str, text: &str, style: Style) {
        let indent = columns(mark);
        let room = self.width - indent;
        for (i, line) in lines(&clean(text), room).iter().enumerate() {
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
        let escape = if self.color { style.escape() } else { "" };
        self.out.push_str(escape);
        self.out.push_str(text);
        if !escape.is_empty() {
            self.out.push_str("\x1b[0m");
        }
    }
}

/// A card may come from anywhere: nothing in it may steer the terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn head(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.trim_end().to_owned();
    }
    let kept = take(text.chars(), width.saturating_sub(1));
    format!("{}…", kept.trim_end())
}

fn tail(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.trim_end().to_owned();
    }
    let kept = take(text.chars().rev(), width.saturating_sub(1));
    format!("…{}", kept.chars().rev().collect::<String>())
}

fn take(chars: impl Iterator<Item = char>, width: usize) -> String {
    let mut used = 0;
    chars
        .take_while(|c| {
            used += c.width().unwrap_or(0);
            used <= width
        })
        .collect()
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
