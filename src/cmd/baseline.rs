//! `probecard baseline`: the cards of when a machine was well, kept on purpose.
//!
//! A directory holds a folder for each machine, and that a set of cards, to which `add` adds, and a
//! `golden` one, which only `freeze` makes: what drifts slowly is within the noise of the first and not
//! of the second. Nothing is ever added by judging.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use card::file::{Card, Header};
use card::format::{count, moment};
use card::machine::Machine;
use card::summary::Summary;

use super::{cards, say};
use crate::{compress, files};

/// The frozen set beside the one that moves.
const GOLDEN: &str = "golden";

/// Cards of before `accept`.
const REPLACED: &str = "replaced";

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Add cards of when their machine was well.
    Add(Cards),
    /// Begin anew with these cards: what has changed is meant to stay so. The old ones are kept apart.
    Accept(Cards),
    /// Keep the present cards of each machine as the frozen set, against which slow drift is seen.
    Freeze(Dir),
    /// The machines and their cards.
    List(Dir),
    /// What is normal: the numbers of each machine's cards.
    Show(Dir),
}

#[derive(Debug, clap::Args)]
pub(super) struct Cards {
    /// Directory of the baseline; it is made if it is not there.
    dir: PathBuf,
    /// The cards: *.card.jsonl or *.card.jsonl.zst files.
    #[arg(required = true, value_name = "CARD")]
    cards: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Dir {
    /// Directory of the baseline.
    dir: PathBuf,
}

pub(super) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Add(Cards { dir, cards }) => add(dir, cards)?,
        Command::Accept(Cards { dir, cards }) => accept(dir, cards)?,
        Command::Freeze(Dir { dir }) => freeze(dir)?,
        Command::List(Dir { dir }) => list(dir)?,
        Command::Show(Dir { dir }) => show(dir)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What is on the folder of a machine: its host's name, what makes another machine under that name
/// another one, and what its own identity is, as far as that may be read.
struct Key {
    /// Of cards of before there was an identity on them, all of the name.
    common: String,
    /// A letter and a number for each that is known.
    marks: Vec<String>,
}

impl Key {
    fn of(machine: &Machine) -> Key {
        let host = super::run::file_name(machine.host.name.known().map_or("", String::as_str));
        let parts = [
            machine.cpu.architecture.clone(),
            machine.cpu.brand.known().cloned().unwrap_or_default(),
            machine.allowed_cpus().len().to_string(),
            machine.host.product.known().cloned().unwrap_or_default(),
        ];
        let processors = machine.topology.inventory.known().map(|numbers| {
            let numbers: Vec<&str> = numbers.keys().map(String::as_str).collect();
            format!("p{}", short_hash(&numbers.join("\n")))
        });
        let system = machine.host.identity.known().map(|id| format!("m{}", short_hash(id)));
        Key {
            common: format!("{host}-{}", short_hash(&parts.join("\n"))),
            marks: system.into_iter().chain(processors).collect(),
        }
    }

    fn name(&self) -> String {
        [std::slice::from_ref(&self.common), &self.marks].concat().join("-")
    }

    /// Whether a folder of that name may be this machine's: nothing that both tell differs. Numbers of
    /// processors are root's to read, so that one run tells them and another one does not.
    fn fits(&self, name: &str) -> bool {
        let Some(marks) = name.strip_prefix(&self.common) else { return false };
        let mut marks = marks.split('-');
        let differs = |mark: &str| {
            let own = self.marks.iter().find(|own| own.get(..1) == mark.get(..1));
            own.is_some_and(|own| own != mark)
        };
        marks.next() == Some("") && !marks.any(differs)
    }

    /// The folder: of those that fit the one that tells the most, or the one to make.
    fn folder(&self, dir: &Path) -> PathBuf {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let fitting = names.filter(|name| self.fits(name) && dir.join(name).is_dir());
        dir.join(fitting.max_by_key(String::len).unwrap_or_else(|| self.name()))
    }
}

/// FNV-1a: of a few words, and nobody means harm.
fn short_hash(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{:08x}", hash >> 32)
}

/// Where the cards of that machine are: its folder, or the directory itself where it holds cards.
pub(super) fn of_machine(dir: &Path, header: &Header) -> PathBuf {
    folder(dir, &header.machine)
}

/// The same of the machine that runs this.
pub(super) fn of_this_machine(dir: &Path) -> PathBuf {
    folder(dir, &Machine::detect())
}

fn folder(dir: &Path, machine: &Machine) -> PathBuf {
    let own = Key::of(machine).folder(dir);
    if own.is_dir() { own } else { dir.to_owned() }
}

/// The frozen cards beside those, if there are any.
pub(super) fn golden(dir: &Path) -> Option<PathBuf> {
    let golden = dir.join(GOLDEN);
    cards::files(&golden).is_ok_and(|files| !files.is_empty()).then_some(golden)
}

/// The name of a card, or of a summary, in a baseline: in the order of time.
fn name(card: &Card) -> String {
    let Header { id, plan, .. } = &card.header;
    let kind = if card.points.is_empty() { "summary.json" } else { "card.jsonl" };
    format!("{}-{}-cpu{}.{kind}.zst", super::run::file_name(id), plan.tier, plan.cpu)
}

fn add(dir: &Path, paths: &[PathBuf]) -> anyhow::Result<()> {
    // All of them are read before one is added.
    let all: Vec<(Card, &PathBuf)> = paths
        .iter()
        .map(|path| {
            let card = Summary::read(path)?.card;
            anyhow::ensure!(
                card.is_complete(),
                "{} was interrupted: a baseline is made of whole runs",
                path.display()
            );
            Ok((card, path))
        })
        .collect::<anyhow::Result<_>>()?;
    for (card, path) in all {
        let own = Key::of(&card.header.machine).folder(dir);
        make(&own)?;
        let target = own.join(name(&card));
        if target.exists() {
            say(&format!("{} is there already", path.display()));
            continue;
        }
        let bytes = if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("zst")) {
            fs::read(path).with_context(|| format!("cannot read {}", path.display()))?
        } else {
            let file =
                fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
            compress::compress(&file)
                .with_context(|| format!("cannot compress {}", path.display()))?
        };
        files::write(&target, &bytes)?;
        say(&format!("added {}", target.display()));
    }
    Ok(())
}

fn make(dir: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(dir).map_err(|error| files::unwritable(dir, error))
}

fn accept(dir: &Path, paths: &[PathBuf]) -> anyhow::Result<()> {
    let folders: BTreeSet<PathBuf> = paths
        .iter()
        .map(|path| Ok(Key::of(&Summary::read(path)?.card.header.machine).folder(dir)))
        .collect::<anyhow::Result<_>>()?;
    // The new ones first: if they cannot be written, what was there is still what counts.
    let before: Vec<PathBuf> =
        folders.iter().flat_map(|folder| cards::files(folder).unwrap_or_default()).collect();
    add(dir, paths)?;
    for old in before.iter().filter(|old| old.exists()) {
        let replaced = old.parent().unwrap_or(dir).join(REPLACED);
        make(&replaced)?;
        let target = replaced.join(old.file_name().unwrap_or_default());
        fs::rename(old, &target).map_err(|error| files::unwritable(&target, error))?;
    }
    say(&format!("{} replaced; the baseline begins anew", count(before.len(), "card")));
    Ok(())
}

/// The folders of machines, or the directory itself.
fn machines(dir: &Path) -> anyhow::Result<Vec<(PathBuf, Vec<PathBuf>)>> {
    let cannot = || format!("cannot read {}", dir.display());
    let mut folders = vec![dir.to_owned()];
    for entry in fs::read_dir(dir).with_context(cannot)? {
        let path = entry.with_context(cannot)?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort();
    let mut found = Vec::new();
    for folder in folders {
        let files = cards::files(&folder)?;
        if !files.is_empty() {
            found.push((folder, files));
        }
    }
    anyhow::ensure!(
        !found.is_empty(),
        "{} holds no card; put some there with `probecard baseline add`",
        dir.display()
    );
    Ok(found)
}

fn freeze(dir: &Path) -> anyhow::Result<()> {
    for (folder, files) in machines(dir)? {
        let golden = folder.join(GOLDEN);
        make(&golden)?;
        for file in &files {
            let target = golden.join(file.file_name().unwrap_or_default());
            let bytes =
                fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
            files::write(&target, &bytes)?;
        }
        say(&format!("{}: {} frozen", golden.display(), count(files.len(), "card")));
    }
    Ok(())
}

fn list(dir: &Path) -> anyhow::Result<()> {
    let mut text = String::new();
    for (folder, files) in machines(dir)? {
        let frozen =
            golden(&folder).map_or(Ok(0), |golden| cards::files(&golden).map(|f| f.len()))?;
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        text += &format!("{name}: {}, {frozen} frozen\n", count(files.len(), "card"));
        for file in files {
            let line = match Summary::read(&file) {
                Ok(Summary { card, .. }) => {
                    let header = &card.header;
                    format!(
                        "  {}  {}, CPU {}, {}\n",
                        moment(&header.start),
                        header.plan.tier,
                        header.plan.cpu,
                        header.machine.title()
                    )
                }
                Err(error) => format!("  {error}\n"),
            };
            text += &line;
        }
    }
    super::print(&text)
}

fn show(dir: &Path) -> anyhow::Result<()> {
    let mut text = String::new();
    for (folder, files) in machines(dir)? {
        let cards: Vec<Summary> =
            files.iter().map(|f| Ok(Summary::read(f)?)).collect::<anyhow::Result<_>>()?;
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        text += &format!("{name}: {}\n", count(cards.len(), "card"));
        let Some(first) = cards.first() else { continue };
        for value in &first.metrics.0 {
            let all: Vec<f64> = cards.iter().filter_map(|c| c.metrics.number(&value.id)).collect();
            let Some(middle) = card::estimate::median(&all) else { continue };
            let low = all.iter().copied().fold(f64::INFINITY, f64::min);
            let high = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            text += &format!(
                "  {:<52} {:>12}  {}\n",
                value.id,
                card::format::quantity(middle, value.unit),
                card::format::range(low, high, value.unit)
            );
        }
    }
    super::print(&text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use card::machine::Fact;

    use super::*;

    fn machine(system: Option<&str>, processor: Option<&str>) -> Key {
        let mut machine = Machine::default();
        machine.host.name = Fact::Known("web-7".into());
        if let Some(id) = system {
            machine.host.identity = Fact::Known(id.into());
        }
        if let Some(number) = processor {
            let numbers = BTreeMap::from([(number.to_owned(), vec![0, 1])]);
            machine.topology.inventory = Fact::Known(numbers);
        }
        Key::of(&machine)
    }

    #[test]
    fn a_machine_is_found_by_all_that_is_known_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let (whole, clone) = (machine(Some("a"), Some("0x1")), machine(Some("a"), Some("0x2")));
        assert_ne!(whole.name(), clone.name());
        fs::create_dir(dir.path().join(whole.name())).unwrap();
        let found = |key: &Key| key.folder(dir.path()) == dir.path().join(whole.name());
        assert!(found(&whole) && found(&machine(Some("a"), None)) && found(&machine(None, None)));
        assert!(!found(&clone) && !found(&machine(Some("b"), None)));
        assert!(!found(&machine(Some("b"), Some("0x1"))), "a processor that has moved");
        // A name that only begins alike.
        assert!(!whole.fits(&format!("{}0", whole.common)) && !whole.fits("web-7"));
    }

    #[test]
    fn a_baseline_of_before_identities_is_still_found() {
        let dir = tempfile::tempdir().unwrap();
        let nothing = machine(None, None);
        assert_eq!(nothing.name(), nothing.common);
        fs::create_dir(dir.path().join(nothing.name())).unwrap();
        let now = machine(Some("a"), Some("0x1"));
        assert_eq!(now.folder(dir.path()), dir.path().join(&nothing.common));
        // Until it has one of its own.
        fs::create_dir(dir.path().join(now.name())).unwrap();
        assert_eq!(now.folder(dir.path()), dir.path().join(now.name()));
    }
}
