//! Every CPU by itself, ranked.

use super::sheet::{Cell, Sheet, Style};
use crate::report::view::each_cpu::table;
use card::file::Card;

const NAME: usize = 12;
const NUMBER: usize = 9;
const PACE: usize = 14;

pub(super) fn draw(sheet: &mut Sheet, card: &Card) {
    let Some(table) = table(card) else { return };
    sheet.heading("Every CPU");
    let heads: Vec<String> =
        table.heads.iter().zip('a'..).map(|(head, letter)| format!("{letter}: {head}")).collect();
    sheet.wrapped("", &format!("{} {}.", table.legend, heads.join("; ")), Style::Dim);
    let mut head = vec![Cell::left("", NAME, Style::Dim)];
    let letters = table.heads.iter().zip('a'..).map(|(_, letter)| letter.to_string());
    head.extend(letters.map(|letter| Cell::right(&letter, NUMBER, Style::Dim)));
    sheet.row(&head);
    for row in &table.rows {
        let style = if row.is_bad { Style::Red } else { Style::Plain };
        let mut cells = vec![Cell::left(&row.name, NAME, style)];
        cells.extend(row.cells.iter().map(|cell| Cell::right(cell, NUMBER, style)));
        // What is between the slowest and the fastest has no numbers.
        cells.push(Cell::right(&row.pace, PACE, style));
        sheet.row(&cells);
    }
}
