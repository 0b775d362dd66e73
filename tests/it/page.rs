//! The page in a real browser: it renders from a file, without a network and without errors, whole at
//! every width, in both themes, on paper and by keyboard.
//!
//! Screenshots of what was looked at are left in `page-screenshots` below `CARGO_TARGET_TMPDIR`
//! (`target/tmp`), for people to look at as well.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::common::turn::beside_others;
use crate::common::{program, recorded_card, sample_card};
use crate::judging::Machine;
use browser::Browser;

mod browser;

const WIDTHS: [u32; 3] = [360, 768, 1440];
const SCHEMES: [&str; 2] = ["light", "dark"];

/// What a page may weigh, its height at 1440 pixels with all details closed, and sheets of A4.
const MOST_BYTES: u64 = 600_000;
const MOST_HEIGHT: u64 = 12_000;
const MOST_SHEETS: usize = 12;

/// Lists, by what is wrong, the texts that are cut or lie on others, and what makes the page scroll.
/// A box is as tall as the font's longest letters; two texts touch where its middle half does.
const FAULTS: &str = r#"(() => {
  const faults = [];
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) faults.push("the page scrolls");
  const short = text => text.trim().replace(/\s+/g, " ").slice(0, 60);
  const overlaps = (boxes, where) => boxes.forEach((a, at) => {
    for (const b of boxes.slice(at + 1))
      if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom && b.top < a.bottom)
        faults.push(where + ": " + a.words + " / " + b.words);
  });
  const box = (rect, words) => {
    const rim = rect.height / 4;
    return { words, left: rect.left, right: rect.right, top: rect.top + rim, bottom: rect.bottom - rim };
  };
  for (const svg of document.querySelectorAll("svg")) {
    const sheet = svg.getBoundingClientRect();
    if (sheet.width == 0) continue;
    const where = svg.querySelector("title")?.textContent;
    const scale = sheet.width / svg.viewBox.baseVal.width;
    const boxes = [];
    for (const text of svg.querySelectorAll("text")) {
      const rect = text.getBoundingClientRect();
      if (rect.width == 0) continue;
      if (scale * parseFloat(text.getAttribute("font-size")) < 10.9)
        faults.push(where + ": small: " + text.textContent);
      if (rect.left < sheet.left - 1 || rect.right > sheet.right + 1 || rect.top < sheet.top - 1
          || rect.bottom > sheet.bottom + 1) faults.push(where + ": cut: " + text.textContent);
      boxes.push(box(rect, text.textContent.trim()));
    }
    overlaps(boxes, where);
  }
  const boxes = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, parent = node.parentElement;
    if (!node.data.trim() || parent.closest("svg, script, style, .skip")) continue;
    if (getComputedStyle(parent).position == "absolute") continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const scrolls = parent.closest(".scroll, pre");
    for (const rect of range.getClientRects()) {
      if (rect.width == 0 || parent.closest("details:not([open]) > :not(summary)")) continue;
      if (!scrolls && (rect.left < -1 || rect.right > width + 1)
          && parent.closest("thead") == null) faults.push("cut: " + short(node.data));
      if (!scrolls) boxes.push(box(rect, short(node.data)));
    }
  }
  boxes.sort((a, b) => a.top - b.top);
  boxes.forEach((a, at) => {
    for (let i = at + 1; i < boxes.length && boxes[i].top < a.bottom; i++)
      if (a.left < boxes[i].right - 1 && boxes[i].left < a.right - 1)
        faults.push("over: " + a.words + " / " + boxes[i].words);
  });
  return faults;
})()"#;

/// The page of a card, or of several side by side, in a folder of its own.
fn page_of(cards: &[&Path], dir: &Path) -> PathBuf {
    let mut command = Command::new(program());
    command.arg("report").args(cards).arg("--force").arg("--out").arg(dir);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    dir.join(if cards.len() > 1 { "comparison.html" } else { "report.html" })
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

/// One browser looks at one page from all sides: starting it takes longer than any of them.
#[test]
fn the_page_of_a_run_is_whole_in_a_browser() {
    let _turn = beside_others();
    let Some(browser) = Browser::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let page = page_of(&[&sample_card()], dir.path());
    let size = fs::metadata(&page).unwrap().len();
    assert!(size <= MOST_BYTES, "{size} bytes");
    assert_eq!(browser.open(&page), [""; 0]);
    let fonts = browser.value("[...document.fonts].map(f => f.weight + ' ' + f.status)");
    assert_eq!(texts(&fonts), ["400 loaded", "500 700 loaded"]);
    is_whole_at_every_width(&browser, "sample");
    headings_are_in_order(&browser);
    is_used_by_keyboard(&browser);
    metrics_are_found(&browser);
    the_reader_chooses_the_year(&browser);
    fits_on_paper(&browser);
}

fn is_whole_at_every_width(browser: &Browser, name: &str) {
    let shots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page-screenshots");
    fs::create_dir_all(&shots).unwrap();
    for width in WIDTHS {
        for scheme in SCHEMES {
            browser.look(width, scheme);
            let picture = shots.join(format!("{name}-{width}-{scheme}.png"));
            fs::write(picture, browser.picture()).unwrap();
            let paper = browser.value("getComputedStyle(document.body).backgroundColor");
            let dark = paper == json!("rgb(18, 21, 24)");
            assert_eq!(dark, scheme == "dark", "{paper}");
        }
        if width == 1440 {
            let height = browser.value("document.documentElement.scrollHeight").as_u64().unwrap();
            assert!(height <= MOST_HEIGHT, "{name}: {height} px");
        }
        // All there is, too.
        for open in [false, true] {
            browser.value(&format!(
                "document.querySelectorAll('details').forEach(d => d.open = {open})"
            ));
            let faults = browser.value(FAULTS);
            assert_eq!(texts(&faults), [""; 0], "{name} at {width}, details open: {open}");
        }
        browser.value("document.querySelectorAll('details').forEach(d => d.open = false)");
    }
    // Just above and below the width at which pictures change.
    for width in [890, 870, 500] {
        browser.look(width, "light");
        assert_eq!(texts(&browser.value(FAULTS)), [""; 0], "{name} at {width}");
    }
}

fn headings_are_in_order(browser: &Browser) {
    let levels =
        browser.value("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => h.localName)");
    let levels = texts(&levels);
    assert_eq!(levels[0], "h1");
    assert!(
        levels
            .windows(2)
            .all(|w| w[1] <= w[0] || (w[0], w[1]) == ("h1", "h2") || (w[0], w[1]) == ("h2", "h3")),
        "{levels:?}"
    );
    assert_eq!(levels.iter().filter(|level| **level == "h2").count(), 7);
    let nav = browser.value("[...document.querySelectorAll('nav a')].filter(a => document.querySelector(a.hash)).length");
    assert_eq!(nav, json!(7));
}

/// Tab by tab through what can be used: the skip link first, then as the document goes.
fn is_used_by_keyboard(browser: &Browser) {
    browser.look(1440, "light");
    browser.value("document.activeElement.blur(); window.scrollTo(0, 0)");
    let stops = "[...document.querySelectorAll('a, [type=radio]:checked, [type=search], summary, \
                 .scroll')].filter(stop => stop.checkVisibility())";
    let place = format!("({stops}).indexOf(document.activeElement)");
    let all = browser.value(&format!("({stops}).length")).as_i64().unwrap();
    let reached = (0..all).map(|_| {
        browser.press("Tab", 9, "");
        let outline = browser.value("getComputedStyle(document.activeElement).outlineStyle");
        let place = browser.value(&place).as_i64().unwrap();
        assert_ne!(outline, json!("none"), "stop {place} cannot be seen");
        place
    });
    assert!(reached.eq(0..all), "the order of the document");
    assert_eq!(browser.value(&format!("({stops})[0].className")), json!("skip"));
    browser.value("document.querySelector('summary').focus()");
    browser.press("Enter", 13, "\r");
    assert_eq!(browser.value("document.querySelector('details').open"), json!(true));
    browser.press("Enter", 13, "\r");
}

fn metrics_are_found(browser: &Browser) {
    let rows = "[...document.querySelectorAll('.metrics tbody tr')].filter(r => r.checkVisibility()).length";
    assert_eq!(browser.value(rows), json!(0));
    browser.value("document.querySelector('.search input').focus()");
    for letter in "latency l1".chars() {
        browser.press(&letter.to_string(), letter.to_ascii_uppercase().into(), &letter.to_string());
    }
    let few = browser.value(rows).as_u64().unwrap();
    assert!((2..40).contains(&few), "{few} rows");
    browser.value("document.querySelector('.search input').select()");
    browser.press("Delete", 46, "");
    assert!(browser.value(rows).as_u64().unwrap() > 200);
    // Without a horizontal scroll all columns are in sight.
    let right = "Math.max(...[...document.querySelectorAll('.metrics td')].map(c => c.getBoundingClientRect().right))";
    assert!(browser.value(right).as_f64().unwrap() < 1440.0);
    browser.value("document.getElementById('metrics').open = false");
}

/// One drawing has all years, of which one is seen, without a script.
fn the_reader_chooses_the_year(browser: &Browser) {
    browser.value("document.querySelector('input[value=\"2012\"]').focus()");
    browser.value("document.querySelectorAll('details').forEach(d => d.open = true)");
    let seen = "[...new Set([...document.querySelectorAll('.ladder .year')].filter(e => e.getClientRects().length).map(e => [...e.classList].find(n => n.startsWith('of-'))))]";
    assert_eq!(texts(&browser.value(seen)), ["of-2012"]);
    browser.press("ArrowUp", 38, "");
    let year = browser.value("document.querySelector('.years input:checked').value");
    assert_ne!(year, json!("2012"));
    assert_eq!(texts(&browser.value(seen)), [format!("of-{}", year.as_str().unwrap())]);
    for year in ["2002", "2007", "2012", "2024"] {
        browser.value(&format!("document.querySelector('input[value=\"{year}\"]').click()"));
        assert_eq!(texts(&browser.value(seen)), [format!("of-{year}")]);
    }
    browser.value("document.querySelectorAll('details').forEach(d => d.open = false)");
}

/// Light, whole, and on few sheets, whatever the screen is like.
fn fits_on_paper(browser: &Browser) {
    // A4 less its margins, at 96 pixels an inch.
    browser.look(703, "dark");
    browser.media("print", "dark");
    let colors = "['--paper', '--ink'].map(v => getComputedStyle(document.documentElement).getPropertyValue(v))";
    assert_eq!(texts(&browser.value(colors)), ["#ffffff", "#1a1d21"]);
    let wide = "[...document.querySelectorAll('table, svg, p, li')].filter(e => e.checkVisibility() && e.getBoundingClientRect().right > 704).map(e => e.textContent.slice(0, 40))";
    assert_eq!(texts(&browser.value(wide)), [""; 0]);
    let seen = |of: &str| {
        browser.value(&format!(
            "document.querySelector('{of}').checkVisibility({{ contentVisibilityAuto: true }})"
        ))
    };
    assert_eq!(seen(".ladder table"), json!(true));
    assert_eq!(seen(".rates"), json!(true));
    assert_eq!(seen(".on-paper"), json!(true));
    assert_eq!(seen(".metrics"), json!(false));
    let pdf = browser.printed();
    let pages = pdf.windows(11).filter(|w| w == b"/Type /Page").count()
        - pdf.windows(12).filter(|w| w == b"/Type /Pages").count();
    assert!((5..=MOST_SHEETS).contains(&pages), "{pages} sheets");
}

/// Markup, and what steers a terminal or turns the direction of writing.
const EVIL: &str = "<script>window.evil = 1</script><img src=x onerror='window.evil = 1'>\" \
                    onload=\"window.evil = 1\" \u{202e}\u{2067}\u{9b}\u{1b}[31m\u{5d0}\u{5d1}";

/// A card from someone who means harm: evil texts, names of 10 kB, numbers that no machine has, 512
/// CPUs, curves without points.
fn hostile_card(to: &Path) {
    let text = fs::read(recorded_card("x86_64")).unwrap();
    let text = String::from_utf8(zstd::decode_all(&text[..]).unwrap()).unwrap();
    let long = format!("{EVIL}{}", "endless".repeat(1500));
    let lines = text.lines().enumerate().map(|(at, line)| {
        let mut record: Value = serde_json::from_str(line).unwrap();
        spoil(&mut record, &long, at);
        record.to_string()
    });
    fs::write(to, lines.collect::<Vec<_>>().join("\n")).unwrap();
}

fn spoil(value: &mut Value, long: &str, line: usize) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match (key.as_str(), value) {
                    ("summary" | "family" | "need" | "tier", Value::String(text)) => {
                        *text = EVIL.to_owned();
                    }
                    (
                        "note" | "reason" | "remedy" | "brand" | "kernel" | "cpu_reason"
                        | "revision",
                        Value::String(text),
                    ) => *text = long.to_owned(),
                    ("online" | "allowed_cpus", cpus) => *cpus = (0..512).collect(),
                    ("samples", samples) => match line % 8 {
                        1 => *samples = json!([]),
                        3 => *samples = json!([1e308, -5.0, 0.0, 1e-300]),
                        _ => {}
                    },
                    (_, value) => spoil(value, long, line),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| spoil(value, long, line)),
        _ => {}
    }
}

#[test]
fn a_hostile_card_is_inert_and_whole() {
    let _turn = beside_others();
    let Some(browser) = Browser::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let card = dir.path().join("hostile.card.jsonl");
    hostile_card(&card);
    let page = page_of(&[&card], dir.path());
    assert_eq!(browser.open(&page), [""; 0]);
    assert_eq!(browser.value("window.evil === undefined"), json!(true));
    assert_eq!(browser.value("document.scripts.length"), json!(1));
    assert_eq!(
        browser.value("document.querySelectorAll('img, [onload], [onerror]').length"),
        json!(0)
    );
    browser.value("document.querySelectorAll('details').forEach(d => d.open = true)");
    for width in WIDTHS {
        browser.look(width, "light");
        let scrolls = browser.value("document.documentElement.scrollWidth - innerWidth");
        assert_eq!(scrolls, json!(0), "at {width}");
    }
}

/// Two runs, and cards of machines that have little in common, one of which means harm.
#[test]
fn cards_side_by_side_are_whole_in_a_browser() {
    let _turn = beside_others();
    let Some(browser) = Browser::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let hostile = dir.path().join("hostile.card.jsonl");
    hostile_card(&hostile);
    let mut machine = Machine::new(23);
    let before = machine.runs("before", 1).remove(0);
    machine.break_down("gather");
    let after = machine.runs("after", 5);
    let aarch64 = recorded_card("aarch64");
    let many: Vec<&Path> =
        [&before].into_iter().chain(&after).chain([&aarch64, &hostile]).map(|p| &**p).collect();
    for (name, cards) in [("two", &many[..2]), ("eight", &many)] {
        assert_eq!(browser.open(&page_of(cards, dir.path())), [""; 0], "{name}");
        assert_eq!(browser.value("window.evil === undefined"), json!(true));
        assert_eq!(browser.value("document.scripts.length"), json!(0));
    }
    // Names of 10 kB lie where they may; the page does not scroll for them.
    for width in WIDTHS {
        browser.look(width, "light");
        let scrolls = browser.value("document.documentElement.scrollWidth - innerWidth");
        assert_eq!(scrolls, json!(0), "at {width}");
    }
    browser.open(&page_of(&many[..2], dir.path()));
    is_whole_at_every_width(&browser, "two");
    browser.open(&page_of(&many[..6], dir.path()));
    for width in WIDTHS {
        browser.look(width, "dark");
        assert_eq!(texts(&browser.value(FAULTS)), [""; 0], "six at {width}");
    }
}
