//! What the tests of the formats share.

use card::fixture;
use card::judge::{Standing, Verdict};
use card::machine::Fact;
use card::summary::Summary;

use super::judged::{Group, Judged, Metric};

/// What would end a string, a line, an element or a comment somewhere, and what steers terminals.
pub(super) const HOSTILE: &str =
    "a\"b'c\\d\ne\r|f<g>&amp;]]>{h=\"i\"}\u{1b}[31m\u{0}\u{202e}\u{ffff},;%s$(j)é\t# EOF\\n";

/// A card with a failed round that came to its end.
pub(super) fn whole() -> Summary {
    let summary = fixture::summary();
    assert!(summary.card.is_complete());
    summary
}

/// A card with that text wherever a text from outside has a place, and numbers that are none.
pub(super) fn hostile(text: &str) -> Summary {
    let mut summary = whole();
    let header = &mut summary.card.header;
    header.id = text.into();
    header.start = text.into();
    header.tool.version = text.into();
    header.tool.revision = text.into();
    header.plan.tier = text.into();
    header.machine.host.name = Fact::Known(text.into());
    header.machine.cpu.brand = Fact::Known(text.into());
    header.machine.cpu.microcode = Fact::Known(text.into());
    header.machine.kernel.release = Fact::Known(text.into());
    for fail in &mut summary.card.fails {
        (fail.how, fail.stderr) = (text.into(), text.into());
    }
    summary.card.rounds[0].probe = text.into();
    let impossible = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e308, -0.0, 5e-324];
    for (value, number) in
        summary.metrics.0.iter_mut().step_by(3).zip(impossible.into_iter().cycle())
    {
        value.value = Some(number);
        (value.low, value.high) = (Some(number), Some(number));
    }
    for value in summary.metrics.0.iter_mut().step_by(5) {
        (value.summary, value.reason) = (text.into(), Some(text.into()));
    }
    // The same name several times over, and one of ours.
    for value in summary.metrics.0.iter_mut().skip(1).step_by(100) {
        value.id = text.into();
    }
    summary.metrics.0.last_mut().unwrap().id = "build_info".into();
    summary
}

/// A judgement of that verdict, of branches.
pub(super) fn judged(verdict: Verdict) -> Judged {
    let confirmed = verdict == Verdict::Worse;
    let standing = Standing::Worse;
    Judged {
        verdict,
        headline: "SUSPECT: branches".into(),
        runs: vec![fixture::recorded().card.header.start],
        groups: vec![
            Group { id: "branch".into(), change: Some(0.25), standing, confirmed },
            Group {
                id: "os".into(),
                change: None,
                standing: Standing::NotJudged,
                confirmed: false,
            },
        ],
        metrics: vec![Metric { id: "branch.mispredict_cycles".into(), standing, confirmed }],
    }
}

/// What a text between quotes stands for; `None` where it breaks off.
pub(super) fn unescaped(quoted: &str) -> Option<String> {
    let mut text = String::new();
    let mut rest = quoted.chars();
    while let Some(c) = rest.next() {
        text.push(match c {
            '"' => return None,
            '\\' => match rest.next()? {
                'n' => '\n',
                same => same,
            },
            c => c,
        });
    }
    Some(text)
}
