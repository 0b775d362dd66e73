//! Those who read a card know probes by name alone: each name must be one that a probe has.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use card::file::Card;
use card::glob;
use probecard_probes::catalog;

use crate::common::{in_repository, recorded_card};

/// The ids of all metrics, on whatever architecture.
fn declared() -> BTreeSet<String> {
    let here = catalog::ALL.iter().map(|probe| probe.declaration());
    let cards = ["x86_64", "aarch64"].map(|name| Card::read(&recorded_card(name)).unwrap());
    let elsewhere = cards.into_iter().flat_map(|card| card.header.declarations);
    let metrics = here.chain(elsewhere).flat_map(|d| d.metrics);
    metrics.map(|metric| metric.id.into_owned()).collect()
}

/// Files below a directory, without those that are all tests, and without the machine's facts, which
/// name no metrics but files of the kernel.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let stem = |path: &PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
    let read = entries.filter(|path| !["fixture", "machine", "tests"].contains(&&*stem(path)));
    read.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The texts in quotes, without those of the tests at the end of a file; what is put in when the
/// program runs is a star, as in a pattern.
fn texts(file: &str) -> Vec<String> {
    let code = file.split("#[cfg(test)]\nmod tests").next().unwrap();
    let quoted = code.lines().flat_map(|line| line.split('"').skip(1).step_by(2));
    quoted.map(starred).collect()
}

fn starred(text: &str) -> String {
    let mut parts = text.split('{');
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |all, part| all + "*" + part.split_once('}').map_or("", |(_, rest)| rest))
}

#[test]
fn every_metric_that_a_reader_names_is_one_of_a_probe() {
    let declared = declared();
    let family = |id: &str| id.split('.').next().unwrap().to_owned();
    let unit = |id: &str| id.rsplit('_').next().unwrap().to_owned();
    let families: BTreeSet<String> = declared.iter().map(|id| family(id)).collect();
    let units: BTreeSet<String> = declared.iter().map(|id| unit(id)).collect();
    let is_id = |text: &str| {
        let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.*".contains(c);
        text.chars().all(letters)
            && text.contains('.')
            && families.contains(&family(text))
            && units.contains(&unit(text))
    };
    let mut named = 0;
    for dir in ["src", "card/src", "probes/src/suite", "reports/reference", "reports/templates"] {
        for path in files(&in_repository(dir)) {
            let file = fs::read_to_string(&path).unwrap();
            for id in texts(&file).into_iter().filter(|text| is_id(text)) {
                // What is declared where pages are larger.
                let pages = [("_16k_", "_4k_"), ("_64k_", "_4k_"), ("_32m_", "_2m_")];
                let here =
                    pages.iter().fold(id.clone(), |id, (there, here)| id.replace(there, here));
                let known =
                    declared.iter().any(|one| [&id, &here].iter().any(|id| glob::matches(id, one)));
                assert!(known, "{}: {id} is no metric of a probe", path.display());
                named += 1;
            }
        }
    }
    assert!(named > 300, "{named} names were found");
}
