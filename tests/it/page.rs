//! The page in a real browser: it renders from a file, without a network and without errors.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::common::turn::beside_others;
use crate::common::{program, sample_card};

const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .flat_map(|dir| BROWSERS.map(|name| dir.join(name)))
        .find(|p| p.is_file())
}

/// What the browser makes of the page: its document after loading, and what it logged.
fn rendered(browser: &Path, page: &Path, width: u32) -> (String, String) {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--enable-logging=stderr", "--v=0", "--virtual-time-budget=3000", "--dump-dom"])
        .arg(format!("--window-size={width},2000"))
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// The page of the sample card, drawn once.
static SAMPLE_PAGE: LazyLock<PathBuf> = LazyLock::new(|| {
    let card = sample_card();
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sample-page");
    let mut command = Command::new(program());
    command.arg("report").arg(card).arg("--force").arg("--out").arg(&dir);
    assert!(command.output().unwrap().status.success());
    dir.join("report.html")
});

/// A copy of the page of the sample card, and the browser to look at it; none where there is no browser, which
/// continuous integration does not accept.
fn sample_page(dir: &Path) -> Option<(PathBuf, PathBuf)> {
    let Some(browser) = browser() else {
        assert!(std::env::var_os("PROBECARD_REQUIRE_BROWSER").is_none(), "no browser on the PATH");
        eprintln!("skipped: no browser ({}) on the PATH", BROWSERS.join(", "));
        return None;
    };
    let page = dir.join("report.html");
    fs::copy(&*SAMPLE_PAGE, &page).unwrap();
    Some((browser, page))
}

#[test]
fn the_reader_chooses_the_year_of_the_list() {
    let _turn = beside_others();
    let dir = tempfile::tempdir().unwrap();
    let Some((browser, page)) = sample_page(dir.path()) else { return };
    let html = fs::read_to_string(&page).unwrap();
    // A reader's click, and what can be seen after it.
    let click = |year: &str| {
        format!(
            "<script>document.querySelector('input[value=\"{year}\"]').click();\
             const seen = [...document.querySelectorAll('.ladder .year')]\
             .filter(e => e.getClientRects().length > 0)\
             .map(e => [...e.classList].find(name => name.startsWith('of-')));\
             document.body.dataset.seen = [...new Set(seen)].join();</script></body>"
        )
    };
    for year in ["2002", "2007", "2012", "2024"] {
        fs::write(&page, html.replace("</body>", &click(year))).unwrap();
        let (document, _) = rendered(&browser, &page, 1280);
        assert!(document.contains(&format!("data-seen=\"of-{year}\"")), "{year}");
    }
}

#[test]
fn the_page_of_a_run_renders_from_a_file() {
    let _turn = beside_others();
    let dir = tempfile::tempdir().unwrap();
    let Some((browser, page)) = sample_page(dir.path()) else { return };
    for width in [390, 1280] {
        let (document, log) = rendered(&browser, &page, width);
        for part in ["Latency numbers", "L1 cache reference", "<svg", "memory.latency.l1"] {
            assert!(document.contains(part), "{part} at {width}");
        }
        let errors: Vec<&str> = log.lines().filter(|l| l.contains("CONSOLE")).collect();
        assert!(errors.is_empty(), "{errors:?}");
    }
    // Self-contained: nothing is fetched from anywhere.
    let html = fs::read_to_string(&page).unwrap();
    for fetch in ["src=\"http", "href=\"http://fonts", "url(http", "@import", "<link "] {
        assert!(!html.contains(fetch), "{fetch}");
    }
}

/// Loads every face, and then asks each text of a picture for its box: `data-fonts` is how the faces
/// came out, `data-cut` the texts that their picture cuts, `data-over` those that lie on another, `data-least`
/// the smallest text in pixels.
/// A box is as tall as the font's longest letters; two texts touch where its middle half does.
const LETTERS: &str = r#"<script>
Promise.allSettled([...document.fonts].map(face => face.load())).then(() => {
  const seen = document.body.dataset;
  seen.fonts = [...document.fonts].map(face => face.weight + " " + face.status).join();
  const cut = [], over = [];
  let least = 99;
  for (const svg of document.querySelectorAll("figure .picture svg")) {
    const sheet = svg.getBoundingClientRect();
    if (sheet.width == 0) continue;
    const where = svg.querySelector("title").textContent + ": ";
    const scale = sheet.width / svg.viewBox.baseVal.width;
    for (const text of svg.querySelectorAll("text"))
      least = Math.min(least, scale * parseFloat(text.getAttribute("font-size")));
    const texts = [...svg.querySelectorAll("text")].map(text => {
      const box = text.getBoundingClientRect();
      const rim = box.height / 4;
      return { words: text.textContent.trim(), left: box.left, right: box.right,
               top: box.top + rim, bottom: box.bottom - rim };
    }).filter(text => text.right > text.left);
    texts.forEach((a, at) => {
      if (a.left < sheet.left - 1 || a.right > sheet.right + 1 || a.top < sheet.top - 1
          || a.bottom > sheet.bottom + 1) cut.push(where + a.words);
      for (const b of texts.slice(at + 1))
        if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom && b.top < a.bottom)
          over.push(where + a.words + " / " + b.words);
    });
  }
  seen.least = least.toFixed(1);
  seen.cut = cut.join("; ");
  seen.over = over.join("; ");
});
</script></body>"#;

#[test]
fn the_fonts_of_the_page_load_and_no_label_is_cut_or_covered() {
    let _turn = beside_others();
    let dir = tempfile::tempdir().unwrap();
    let Some((browser, page)) = sample_page(dir.path()) else { return };
    let html = fs::read_to_string(&page).unwrap();
    fs::write(&page, html.replace("</body>", LETTERS)).unwrap();
    // Just above and below the width at which pictures change, too.
    for width in [1440, 890, 870, 500] {
        let (document, _) = rendered(&browser, &page, width);
        let seen = |name: &str| {
            let (_, rest) =
                document.split_once(&format!("data-{name}=\"")).expect("the script ran");
            rest.split_once('"').unwrap().0.to_owned()
        };
        assert_eq!(seen("fonts"), "400 loaded,500 700 loaded");
        assert_eq!(seen("cut"), "", "at {width}");
        assert_eq!(seen("over"), "", "at {width}");
        assert!(seen("least").parse::<f64>().unwrap() >= 11.0, "{} at {width}", seen("least"));
    }
}
