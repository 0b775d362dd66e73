//! What the tests of the real program share.

use std::fs;
use std::path::{Path, PathBuf};

/// The program under test.
pub(crate) fn program() -> PathBuf {
    assert_cmd::cargo::cargo_bin("probecard")
}

/// The card that a run left in this directory.
pub(crate) fn card_in(dir: &Path) -> Option<PathBuf> {
    fs::read_dir(dir)
        .ok()?
        .filter_map(|e| Some(e.ok()?.path()))
        .find(|p| p.to_string_lossy().ends_with(".card.jsonl"))
}
