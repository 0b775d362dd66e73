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
    let files = fs::read_dir(in_repository("reports/sample")).unwrap();
    let mut paths = files.map(|entry| entry.unwrap().path());
    paths.find(|p| p.to_string_lossy().ends_with(".card.jsonl.zst")).expect("a sample card")
}

/// The card of another machine, of this architecture.
pub(crate) fn recorded_card(architecture: &str) -> PathBuf {
    in_repository(&format!("card/tests/cards/{architecture}.card.jsonl.zst"))
}

/// A file or directory of the repository.
pub(crate) fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
