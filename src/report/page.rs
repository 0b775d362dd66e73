//! The page: one HTML file with everything inside, readable from disk without a network.

use anyhow::Context;
use minijinja::{AutoEscape, Environment};

use super::plots::{self, Picture};
use card::clean;
use card::judge::Judgement;
use card::summary::Summary;

mod comparison;
mod context;
mod counter_table;

const PAGE: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/reports/templates/report.html"));
const MACROS: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/reports/templates/macros.html"));
const STYLE: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/reports/templates/style.css"));

const COMPARISON: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/reports/templates/comparison.html"));
const COMPARISON_STYLE: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/reports/templates/comparison.css"));

/// The page of a card with its pictures inlined.
///
/// # Errors
///
/// The templates, which are compiled in, are broken.
pub fn html(summary: &Summary, pictures: &[Picture]) -> anyhow::Result<String> {
    let environment = environment().context("the page's template is broken: report this")?;
    let template = environment.get_template("report.html")?;
    template
        .render(minijinja::value::Serde(context::Page::of(summary, pictures)))
        .context("the page could not be filled in: report this with the card")
}

/// The page of several cards: the first, and what was judged of each of the others beside it.
///
/// # Errors
///
/// The templates, which are compiled in, are broken.
pub fn comparison(cards: &[Summary], judgements: &[Judgement]) -> anyhow::Result<String> {
    let environment = environment().context("the page's template is broken: report this")?;
    let template = environment.get_template("comparison.html")?;
    let pictures = plots::beside::pictures(&comparison::named(cards));
    template
        .render(minijinja::value::Serde(comparison::Page::of(cards, judgements, &pictures)))
        .context("the page could not be filled in: report this with the cards")
}

/// Templates that end in `.html` escape everything that comes from a card.
fn environment() -> Result<Environment<'static>, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|name| {
        if name.ends_with(".html") { AutoEscape::Html } else { AutoEscape::None }
    });
    // Before they are escaped, which leaves alone what acts on the reader's eyes.
    environment.set_formatter(|out, state, value| match value.as_str() {
        Some(text) if !value.is_safe() => {
            minijinja::escape_formatter(out, state, &clean::lines(text).into())
        }
        _ => minijinja::escape_formatter(out, state, value),
    });
    environment.set_syntax(
        minijinja::syntax::SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?,
    );
    environment.add_template("style.css", STYLE)?;
    environment.add_template("macros.html", MACROS)?;
    environment.add_template("report.html", PAGE)?;
    environment.add_template("comparison.css", COMPARISON_STYLE)?;
    environment.add_template("comparison.html", COMPARISON)?;
    environment.add_global("font_faces", plots::font_faces());
    Ok(environment)
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use card::machine::human_bytes;
    use card::{fixture, series};

    /// Drawn once, because PNGs take their time in an unoptimised build.
    fn full_page() -> &'static str {
        static PAGE: LazyLock<String> = LazyLock::new(|| page(&fixture::summary()));
        &PAGE
    }

    fn page(summary: &Summary) -> String {
        html(summary, &plots::all(summary)).unwrap()
    }

    #[test]
    fn nothing_of_a_card_becomes_markup() {
        let page = page(&fixture::hostile());
        assert!(!page.contains("<script>alert"), "a card's text was not escaped");
        assert!(!page.contains("\" onload="));
        assert!(page.contains("&lt;script&gt;alert"));
        assert!(page == clean::lines(&page), "a character that steers");
    }

    #[test]
    fn the_page_asks_nobody_for_anything() {
        let page = full_page();
        for outside in ["src=\"http", "<link", "@import", "url(http", "url(\"http"] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.len() < 600_000, "{} bytes", page.len());
    }

    /// What the web fonts lack is drawn by whatever font the reader has.
    #[test]
    fn the_web_fonts_have_every_character_that_is_written() {
        let subset = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/reports/fonts/subset.txt"));
        let others = [fixture::two_nodes(), fixture::cores(16), fixture::counted()];
        for summary in others.iter().chain([&fixture::summary()]) {
            let pictures = plots::all(summary);
            let page = html(summary, &pictures).unwrap();
            for text in pictures.iter().map(|p| &p.svg).chain([&page]) {
                let strange = text.chars().find(|c| !subset.contains(*c) && *c != '\n');
                assert_eq!(strange, None, "run scripts/fonts.sh after adding it");
            }
        }
    }

    #[test]
    fn a_link_to_the_page_has_a_preview() {
        let page = full_page();
        assert!(page.contains("<meta property=\"og:image\" content=\"card.png\">"));
        assert!(page.contains("<meta property=\"og:title\" content=\""));
        let sentence = card::verdict::Verdict::of(&fixture::summary()).sentence;
        assert!(page.contains(&format!("og:description\" content=\"{sentence}\"")), "{sentence}");
        let empty = html(&fixture::empty(), &[]).unwrap();
        assert!(!empty.contains("og:image"), "there is none");
    }

    #[test]
    fn pictures_follow_the_theme() {
        let page = full_page();
        let svg = page.split("<svg").nth(1).unwrap();
        assert!(svg.contains("var(--ink)") && !svg.contains("\"#1A1D21\""));
    }

    #[test]
    fn an_empty_card_has_a_page() {
        let page = page(&fixture::empty());
        assert!(page.contains("interrupted") && !page.contains("<svg"));
        assert!(page.contains("needs the memory-latency probe"), "the list is there anyway");
    }

    #[test]
    fn counters_are_a_table_where_there_are_any_and_a_line_where_not() {
        let html = |summary: &Summary| html(summary, &[]).unwrap();
        let summary = fixture::counted();
        let walks = series::settings(&summary.card, "memory-latency", "latency");
        let huge = walks.iter().filter(|s| s.is("variant", "random_2m"));
        let largest = huge.filter_map(|s| s.int("working_set")).max().unwrap();
        let page = html(&summary);
        for part in [
            "by the add chain: 1.00",
            "it really was main memory",
            "this refutes branch.indirect_mispredict_cycles",
            "<th scope=\"col\" class=\"number\" title=\"instructions per cycle\">IPC</th>",
            &format!("random 2m, {}", human_bytes(largest.cast_unsigned())),
            "wrong speculation (or an active SMT sibling)",
        ] {
            assert!(page.contains(part), "{part} missing");
        }
        balanced(&page);
        let page = html(&fixture::uncounted());
        assert!(page.contains("no core PMU") && page.contains("-cpu host,pmu=on"));
        assert!(!page.contains(">IPC<"), "a table of blanks");
        let mut old = fixture::uncounted();
        old.card.header.counters = Default::default();
        assert!(!html(&old).contains("<h3>Counters</h3>"));
    }

    #[test]
    fn every_opened_element_is_closed() {
        balanced(full_page());
    }

    pub(super) fn balanced(page: &str) {
        for tag in ["section", "table", "tbody", "tr", "td", "th", "figure", "svg", "details"] {
            let open = page.matches(&format!("<{tag}>")).count()
                + page.matches(&format!("<{tag} ")).count();
            let close = page.matches(&format!("</{tag}>")).count();
            assert_eq!(open, close, "<{tag}>");
        }
    }
}
