//! The card for a ticket: verdict, claims that do not hold, the levels of memory.

use std::fmt::Write;

use card::clean;
use card::findings::Group;
use card::format;
use card::summary::Summary;
use card::verdict::Verdict;

use crate::report::view::levels::levels;

/// A text of a card within a table or a line: nothing of it is markup.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for c in clean::line(text).chars() {
        if "\\`*_{}[]<>()#+!|&~".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// The card as Markdown.
pub fn markdown(summary: &Summary) -> String {
    let header = &summary.card.header;
    let verdict = Verdict::of(summary);
    let mut text = String::new();
    let mut put = |line: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{line}");
    };
    put(format!("**{}** {}\n", verdict.word, plain(&verdict.sentence)));
    put(format!("{}  ", plain(&header.machine.title())));
    put(format!(
        "{} {} ({}), {}, {} rounds, {}\n",
        plain(&header.tool.name),
        plain(&header.tool.version),
        plain(&header.tool.revision),
        plain(&header.plan.tier),
        header.plan.rounds,
        plain(&format::moment(&header.start))
    ));
    let claims = summary.findings.iter().filter(|f| f.group == Group::Claim);
    let mut claims = claims.peekable();
    if claims.peek().is_some() {
        put("| code | claimed | measured | cause |\n|---|---|---|---|".into());
    }
    for claim in claims {
        let cell = |text: &Option<String>| plain(text.as_deref().unwrap_or_default());
        let (claimed, measured) = (cell(&claim.claimed), cell(&claim.measured));
        put(format!(
            "| {} | {claimed} | {measured} | {} |",
            plain(&claim.code),
            cell(&claim.cause)
        ));
    }
    let levels = levels(summary);
    if !levels.is_empty() {
        put("\n| level | size | claimed | latency | cycles | published | read |".into());
        put("|---|--:|--:|--:|--:|--:|--:|".into());
    }
    for level in levels {
        let number =
            |value: Option<&card::metrics::Value>| value.map(format::measured).unwrap_or_default();
        let cycles = level.cycles.and_then(format::believable).map(format::number);
        put(format!(
            "| {} | {} | {} | {} | {} | {} | {} |",
            level.name,
            level.size,
            level.claimed,
            number(level.ns),
            cycles.unwrap_or_default(),
            level.published,
            number(level.read)
        ));
    }
    let [good, fair, poor] = verdict.grades();
    put(format!(
        "\n{good} of {} values repeat within 5 %, {fair} within 25 %, {poor} do not.",
        good + fair + poor
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use card::fixture;

    #[test]
    fn rows_have_the_cells_of_their_heads_whatever_a_card_says() {
        for summary in [fixture::recorded(), fixture::hostile(), fixture::empty()] {
            let text = markdown(&summary);
            let bars = |line: &str| line.replace("\\|", "").matches('|').count();
            let mut head = 0;
            for line in text.lines().map(str::trim) {
                if !line.starts_with('|') {
                    head = 0;
                } else if head == 0 {
                    head = bars(line);
                } else {
                    assert_eq!(bars(line), head, "{line}");
                }
            }
            assert!(!text.contains("<script>"), "{text}");
        }
        assert!(markdown(&fixture::recorded()).contains("| L3\\_CAPACITY |"));
    }
}
