//! Cards by file or by directory.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use card::summary::Summary;

/// Cards of a directory that are read at most, the latest of them by name: more say no more of what
/// is normal.
const MOST: usize = 20;

/// What cards and summaries are called.
const ENDINGS: [&str; 4] = [".card.jsonl", ".card.jsonl.zst", ".summary.json", ".summary.json.zst"];

/// What is read, and what was left out with the reason.
pub(super) struct Cards {
    pub(super) cards: Vec<Summary>,
    pub(super) left_out: Vec<String>,
}

/// Reads cards: files, or directories of them.
///
/// A file that is named must be a card; one that is only in a directory may be anything.
pub(super) fn read(paths: &[PathBuf]) -> anyhow::Result<Cards> {
    let mut all = Cards { cards: Vec::new(), left_out: Vec::new() };
    for path in paths {
        if !path.is_dir() {
            all.cards.push(Summary::read(path)?);
            continue;
        }
        let files = files(path)?;
        anyhow::ensure!(
            !files.is_empty(),
            "{} holds no card (*.card.jsonl, *.summary.json, or .zst of them); put some there with `probecard \
             baseline add {0} CARD`",
            path.display()
        );
        for file in files.iter().rev().take(MOST).rev() {
            match Summary::read(file) {
                Ok(card) => all.cards.push(card),
                Err(error) => all.left_out.push(error.to_string()),
            }
        }
        if files.len() > MOST {
            let rest = files.len() - MOST;
            all.left_out.push(format!("{}: the {rest} oldest of {}", path.display(), files.len()));
        }
    }
    Ok(all)
}

/// The cards of a directory by name, each once: the compressed copy beside a card is the same.
pub(super) fn files(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let cannot = || format!("cannot read {}", dir.display());
    let mut found: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(dir).with_context(cannot)? {
        let path = entry.with_context(cannot)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if ENDINGS.iter().any(|ending| name.ends_with(ending)) {
            found.push(path);
        }
    }
    found.sort();
    let plain = found.clone();
    found.retain(|path| {
        let beside = path.to_string_lossy().strip_suffix(".zst").map(PathBuf::from);
        beside.is_none_or(|beside| !plain.contains(&beside))
    });
    Ok(found)
}
