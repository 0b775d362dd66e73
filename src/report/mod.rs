//! What people and programs read: the card in the terminal, the page with its pictures, JSON.
//! Everything is computed from a [card](card::file::Card); nothing here measures or knows a probe's code.

use std::fs;
use std::path::{Path, PathBuf};

use crate::files;
use anyhow::Context;
use card::findings::Group;
use card::judge::prior::Prior;
use card::judge::{self, Judgement};
use card::summary::Summary;
use card::verdict::Verdict;
use plots::summary_card::Claims;

pub mod page;
pub mod plots;
pub mod text;
mod view;

/// Writes `report.html`, the card in one picture, and each picture as SVG and PNG into `dir`, which is made if need be.
/// Returns the files in the order in which a reader wants them, the page first.
/// Nothing is overwritten unless `force`.
///
/// # Errors
///
/// A file exists and `force` is not given, or `dir` or a file cannot be written.
pub fn write(dir: &Path, summary: &Summary, force: bool) -> anyhow::Result<Vec<PathBuf>> {
    make(dir)?;
    let pictures = plots::all(summary);
    let page = page::html(summary, &pictures)?;
    let mut contents = vec![("report.html".to_owned(), page.into_bytes())];
    let verdict = Verdict::of(summary);
    let word = verdict.word.to_string();
    let claims = summary.findings.iter().filter(|f| f.group == Group::Claim);
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let claims = Claims {
        verdict: &word,
        sentence: &verdict.sentence,
        failed: claims.map(|f| (text(&f.claimed), text(&f.measured))).collect(),
    };
    contents.extend(plots::files(summary, pictures, &claims));
    // All are looked at before the first is written.
    contents.iter().try_for_each(|(name, _)| not_over(&dir.join(name), force))?;
    contents.iter().map(|(name, bytes)| save(dir, name, bytes)).collect()
}

/// Writes `comparison.html` into `dir`: the first card, and each of the others held against it.
///
/// # Errors
///
/// Two cards are of the same run, the file exists and `force` is not given, or it cannot be written.
pub fn write_comparison(dir: &Path, cards: &[Summary], force: bool) -> anyhow::Result<PathBuf> {
    let Some((first, others)) = cards.split_first() else { anyhow::bail!("no card to compare") };
    for (i, card) in cards.iter().enumerate() {
        let same = |other: &&Summary| other.card.header.id == card.card.header.id;
        if let Some(at) = cards[..i].iter().position(|other| same(&other)) {
            let [a, b] = [at, i].map(plots::beside::letter);
            anyhow::bail!("{a} and {b} are the same run: give each card once");
        }
    }
    let prior = Prior::embedded();
    let against =
        |other| judge::compare(std::slice::from_ref(first), std::slice::from_ref(other), prior);
    let judgements: Vec<Judgement> = others.iter().map(against).collect();
    let page = page::comparison(cards, &judgements)?;
    make(dir)?;
    not_over(&dir.join("comparison.html"), force)?;
    save(dir, "comparison.html", page.as_bytes())
}

fn make(dir: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| {
        format!("cannot make the folder {}: choose another one with --out", dir.display())
    })
}

fn not_over(path: &Path, force: bool) -> anyhow::Result<()> {
    anyhow::ensure!(
        force || !path.exists(),
        "{} exists: add --force to overwrite it, or choose another folder with --out",
        path.display()
    );
    Ok(())
}

fn save(dir: &Path, name: &str, bytes: &[u8]) -> anyhow::Result<PathBuf> {
    let path = dir.join(name);
    files::write(&path, bytes)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use card::fixture;

    #[test]
    fn files_are_written_page_first() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("new/folder");
        let written = write(&out, &fixture::empty(), false).unwrap();
        assert_eq!(written, [out.join("report.html")]);
        let error = write(&out, &fixture::empty(), false).unwrap_err().to_string();
        assert!(error.contains("--force"), "{error}");
        write(&out, &fixture::empty(), true).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named_with_a_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let blocked = dir.path().join("file");
        fs::write(&blocked, "").unwrap();
        let error = format!("{:#}", write(&blocked, &fixture::empty(), false).unwrap_err());
        assert!(error.contains("file") && error.contains("--out"), "{error}");
    }
}
