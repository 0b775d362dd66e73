//! What the tests of the real program share.

pub(crate) mod children;
pub(crate) mod filter;
pub(crate) mod group;
pub(crate) mod run;
pub(crate) mod turn;
pub(crate) mod user;
pub(crate) mod wait;

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

/// The first CPU that this process may use, as taskset wants it.
pub(crate) fn first_cpu() -> String {
    card::machine::Machine::detect().allowed_cpus()[0].to_string()
}

/// The card of the run in `reports/sample`.
pub(crate) fn sample_card() -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("reports/sample");
    let files = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    let mut cards = files.filter(|p| p.to_string_lossy().ends_with(".card.jsonl.zst"));
    cards.next().expect("a sample card")
}
