//! Who may use whom. Arrows go down: this table is the whole of it, and what is not in it is a fault
//! of the code or of the table.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A room, and the rooms that it uses.
const HOUSE: [(&str, &[&str]); 15] = [
    ("card", &[]),
    ("probes/sys", &[]),
    ("probes/kernel", &["probes/sys"]),
    ("probes/harness", &["card", "probes/kernel", "probes/sys"]),
    ("probes/threads", &["card", "probes/harness", "probes/kernel", "probes/sys"]),
    ("probes/probe", &["card", "probes/harness"]),
    (
        "probes/suite",
        &[
            "card",
            "probes/harness",
            "probes/kernel",
            "probes/probe",
            "probes/sys",
            "probes/threads",
        ],
    ),
    ("probes/catalog", &["probes/probe", "probes/suite"]),
    (
        "probes/run",
        &[
            "card",
            "probes/catalog",
            "probes/harness",
            "probes/kernel",
            "probes/probe",
            "probes/sys",
            "probes/threads",
        ],
    ),
    ("src/files", &[]),
    ("src/compress", &[]),
    ("src/archive", &["card"]),
    ("src/report", &["card", "src/files"]),
    ("src/export", &["card"]),
    // Of its commands only those that measure, or tell what can be measured, know the probes.
    (
        "src/cmd",
        &["card", "probes", "src/archive", "src/compress", "src/export", "src/files", "src/report"],
    ),
];

/// Commands that know the probes.
const MEASURING: [&str; 6] = ["child", "doctor", "list", "mod", "run", "watch"];

fn sources(of: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(of)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    found
}

/// The room of a file, and its path below `src/`.
fn room(file: &Path) -> (String, String) {
    let path = file.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_str().unwrap();
    let (krate, inside) = match path.split_once("src/").unwrap() {
        ("", inside) => ("src", inside),
        (krate, inside) => (krate.trim_end_matches('/'), inside),
    };
    let first = inside.split('/').next().unwrap().trim_end_matches(".rs");
    let room = if krate == "card" { krate.to_owned() } else { format!("{krate}/{first}") };
    (room, inside.to_owned())
}

/// What a file is made of besides its tests.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|l| l.to_owned() + "\n")
        .collect()
}

/// The rooms that a file names.
fn used(file: &Path, own: &str) -> BTreeSet<String> {
    let code = code(file);
    let after = |name: &str| -> Vec<String> {
        let path = format!("{name}::");
        let parts = code.split(&path).skip(1);
        let word =
            |part: &str| part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        parts.map(word).collect()
    };
    let krate = own.split('/').next().unwrap();
    let mut rooms = BTreeSet::new();
    if krate != "card" {
        rooms.extend(after("crate").iter().map(|first| format!("{krate}/{first}")));
        let is_card = |word: &str| {
            code.contains(&format!("{word} card::")) || code.contains(&format!("{word}card::"))
        };
        if ["use", " ", "(", "<", "&"].iter().any(|before| is_card(before)) {
            rooms.insert("card".to_owned());
        }
    }
    if !after("probecard_probes").is_empty() {
        rooms.insert("probes".to_owned());
    }
    // Names within braces: `crate::{files, report}`.
    for group in code.split("crate::{").skip(1) {
        let names = group.split('}').next().unwrap_or_default().split(',');
        rooms.extend(names.map(|n| format!("{krate}/{}", n.trim().split(':').next().unwrap())));
    }
    rooms.retain(|room| room != own && !room.ends_with('/'));
    rooms
}

#[test]
fn arrows_between_rooms_go_down_as_the_table_says() {
    let mut arrows: BTreeSet<(String, String)> = BTreeSet::new();
    for file in ["card/src", "probes/src", "src"].into_iter().flat_map(sources) {
        let (own, inside) = room(&file);
        if ["lib.rs", "main.rs"].contains(&inside.as_str()) {
            continue;
        }
        for other in used(&file, &own) {
            if other == "probes" {
                let command = inside.split('/').nth(1).unwrap_or_default().trim_end_matches(".rs");
                assert!(
                    own == "src/cmd" && MEASURING.contains(&command),
                    "{inside} knows the probes; only {MEASURING:?} of the commands may"
                );
            }
            arrows.insert((own.clone(), other));
        }
    }
    let allowed: BTreeSet<(String, String)> = HOUSE
        .iter()
        .flat_map(|(room, uses)| uses.iter().map(|used| ((*room).to_owned(), (*used).to_owned())))
        .collect();
    let up: Vec<_> = arrows.difference(&allowed).collect();
    assert!(up.is_empty(), "not in the table of {}: {up:?}", file!());
    let idle: Vec<_> = allowed.difference(&arrows).collect();
    assert!(idle.is_empty(), "in the table but in no code: {idle:?}");
    let place = |room: &str| HOUSE.iter().position(|(known, _)| *known == room);
    for (room, other) in &allowed {
        assert!(
            place(other) < place(room),
            "{room} → {other} goes up: the table is from the ground"
        );
    }
}

/// What an architecture lacks is a value with a reason everywhere else.
#[test]
fn architectures_are_told_apart_in_kernels_calls_and_facts_of_machines_alone() {
    for file in ["card/src", "probes/src", "src"].into_iter().flat_map(sources) {
        let path = file.to_string_lossy().into_owned();
        let may = ["/kernel/", "/sys/", "/machine/"].iter().any(|room| path.contains(room));
        assert!(may || !code(&file).contains("cfg(target_arch"), "{path}");
    }
}

/// Whoever reads a card needs nothing that measures, and no system.
#[test]
fn the_card_depends_on_nothing_of_a_system() {
    let tree = std::process::Command::new(env!("CARGO"))
        .args([
            "tree",
            "-p",
            "probecard-card",
            "-e",
            "normal,build",
            "--prefix",
            "none",
            "--offline",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let tree = String::from_utf8(tree.stdout).unwrap();
    assert!(tree.starts_with("probecard-card"), "{tree}");
    let system = ["libc", "rustix", "nix", "core_affinity", "probecard-probes", "zstd-sys", "cc"];
    for krate in tree.lines().filter_map(|line| line.split(' ').next()) {
        assert!(!system.contains(&krate), "probecard-card needs {krate}");
    }
}
