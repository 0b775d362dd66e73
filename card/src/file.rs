//! The card file: all results of one run on one machine, as JSON lines, one object a line.
//!
//! `header` comes first and describes everything that follows; then `point`, `skip` and `fail`
//! lines in the order in which they happened, each flushed as soon as it exists; `end` is last.
//! Every round measures the same: the first point of a series says what is measured, later ones
//! give the number of the series instead.
//! A card without `end` was interrupted. Files that end in `.zst` are Zstandard frames of the same.
//!
//! A file may come from anywhere. What this version has no word for costs the metric, the points or
//! the line that it stands in; what no machine can have given is no sample; and there are limits to
//! what is read.

mod input;

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::counters::CounterSupport;
use crate::declare::Declaration;
use crate::legacy;
use crate::machine::{Machine, Throttled};
use crate::peer::Peer;
use crate::record::{Fail, Point, Record, Skip};
use crate::today;
use input::MOST_BYTES;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The format this program writes and the newest it reads.
pub const FORMAT: u32 = 1;

/// First line of a card: what ran, where, and what the points mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the file format.
    pub format: u32,
    /// The program that wrote it.
    pub tool: Tool,
    /// Unique id of the run.
    pub id: String,
    /// UTC time of the start, RFC 3339.
    pub start: String,
    /// Command-line arguments.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Seed of every random order in the run.
    #[serde(default)]
    pub seed: u64,
    /// What was to be done, so that a run can be resumed.
    pub plan: Plan,
    /// Identity and claims of the machine.
    pub machine: Machine,
    /// Which events could be counted.
    #[serde(default)]
    pub counters: CounterSupport,
    /// The probes that were planned and their metrics.
    pub declarations: Vec<Declaration>,
}

/// Name, version and revision of the writing program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// Always `probecard`.
    pub name: String,
    /// Semantic version.
    pub version: String,
    /// Git revision it was built from, or why that is unknown.
    pub revision: String,
}

/// The frozen decisions of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// `quick`, `standard` or `thorough`.
    pub tier: String,
    /// Rounds of every probe.
    pub rounds: u32,
    /// Wall-clock budget of the whole run.
    pub budget_s: f64,
    /// CPU that single-threaded probes are pinned to.
    pub cpu: usize,
    /// Why that one.
    pub cpu_reason: String,
    /// Whether threads could be pinned to it.
    #[serde(default = "yes")]
    pub pinned: bool,
    /// The real-time class of the scheduler that the run was started in, and left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_class: Option<String>,
    /// Where probes may put files, absolute; the card's own directory if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scratch: Option<String>,
    /// Who may be asked over the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Peer>,
}

fn yes() -> bool {
    true
}

/// A round of one probe that came to its end; without this line it was cut off, and a resumed run
/// measures it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoundDone {
    /// Id of the probe.
    pub probe: String,
    /// Which round.
    pub round: u32,
    /// Seconds from the start of the run to its own, interruptions left out; older cards do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_s: Option<f64>,
    /// How long it took.
    pub wall_s: f64,
    /// What a CPU quota took from it.
    #[serde(default, skip_serializing_if = "Throttled::is_none")]
    pub throttled: Throttled,
}

/// Last line of a card.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// How the run ended.
    pub state: EndState,
    /// Seconds from start to end, interruptions left out.
    pub wall_s: f64,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndState {
    /// Every planned round was run (some may have failed; that is a row of its own).
    Complete,
    /// Stopped before the end; `run --resume` goes on.
    Interrupted,
    /// In a way of a later version.
    #[serde(other)]
    Unknown,
}

/// Any line of a card.
#[allow(clippy::large_enum_variant, reason = "nearly all of them are points")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Line {
    /// First line.
    Header(Box<Header>),
    /// A measurement.
    Point(Point),
    /// Not measurable here.
    Skip(Skip),
    /// Went wrong.
    Fail(Fail),
    /// A round is over.
    Round(RoundDone),
    /// Last line.
    End(End),
}

impl From<Record> for Line {
    fn from(record: Record) -> Self {
        match record {
            Record::Point(p) => Line::Point(p),
            Record::Skip(s) => Line::Skip(s),
            Record::Fail(f) => Line::Fail(f),
        }
    }
}

/// A card in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Card {
    /// What ran, where.
    pub header: Header,
    /// All measurements.
    pub points: Vec<Point>,
    /// What could not be measured.
    pub skips: Vec<Skip>,
    /// What went wrong.
    pub fails: Vec<Fail>,
    /// Rounds that came to their end.
    pub rounds: Vec<RoundDone>,
    /// `None`: the run was interrupted hard.
    pub end: Option<End>,
    /// What the reader noticed and left out: a truncated last line, kinds it does not know.
    pub remarks: Vec<String>,
}

/// Why a card could not be read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum CardError {
    // Said here and no source besides: whoever prints a chain of causes would say it twice.
    #[error("cannot read card {path}: {reason}")]
    Io { path: PathBuf, reason: io::Error },
    #[error("{path} is empty: not a card (was the disk full when it was written?)")]
    Empty { path: PathBuf },
    #[error(
        "{path}, line {line}: not UTF-8; a card is JSON lines (a compressed one must end in .zst)"
    )]
    NotUtf8 { path: PathBuf, line: usize },
    #[error("{path}, line {line}: {reason}; delete or mend that line, or measure again")]
    BrokenLine { path: PathBuf, line: usize, reason: String },
    #[error(
        "{path} is a summary, which has no points to draw or to go on from; name the card that it is of"
    )]
    IsSummary { path: PathBuf },
    #[error("{path}, line 1: not a card header ({reason}); is this a *.card.jsonl file?")]
    NoHeader { path: PathBuf, reason: String },
    #[error(
        "{path} has card format {found}; this program reads up to {FORMAT}: use a newer probecard"
    )]
    Newer { path: PathBuf, found: u64 },
    #[error(
        "{path} is damaged ({reason}); copy it again from where it was written, or read the \
         .card.jsonl that it is a copy of"
    )]
    Damaged { path: PathBuf, reason: String },
    #[error("{path} holds {what}, as no card does; is this a *.card.jsonl file?")]
    TooLarge { path: PathBuf, what: String },
}

impl Card {
    /// Reads a card, compressed or not.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is no card, or was written in a newer format.
    pub fn read(path: &Path) -> Result<Card, CardError> {
        parse(path, &bytes(path)?)
    }

    /// Whether the run did all that was planned.
    pub fn is_complete(&self) -> bool {
        self.end.as_ref().is_some_and(|e| e.state == EndState::Complete)
    }

    /// What a CPU quota took from the rounds that it is asked of, by their probe.
    pub fn throttled(&self, of: impl Fn(&str) -> bool) -> Throttled {
        let rounds = self.rounds.iter().filter(|round| of(&round.probe));
        rounds.fold(Throttled::default(), |sum, round| sum.and(&round.throttled))
    }

    /// Whether a round came to its end, so that a resumed run leaves it alone.
    pub fn has_round(&self, probe: &str, round: u32) -> bool {
        self.rounds.iter().any(|r| r.probe == probe && r.round == round)
    }
}

/// What a file holds, unpacked.
pub(crate) fn bytes(path: &Path) -> Result<Vec<u8>, CardError> {
    let file = File::open(path).map_err(|reason| unreadable(path, reason))?;
    let bytes = input::read(path, file, MOST_BYTES)?;
    if is_zst(path) { input::unpack(path, &bytes, MOST_BYTES) } else { Ok(bytes) }
}

/// Whether a file holds a summary instead of a card.
pub(crate) fn is_summary(bytes: &[u8]) -> bool {
    const BEGINS: &[u8] = br#"{"kind":"summary""#;
    // However it was laid out on its way here: `jq` does it anew.
    let without_blanks = bytes.iter().filter(|byte| !byte.is_ascii_whitespace());
    without_blanks.take(BEGINS.len()).eq(BEGINS)
}

fn unreadable(path: &Path, reason: io::Error) -> CardError {
    CardError::Io { path: path.to_owned(), reason }
}

fn is_zst(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("zst"))
}

pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<Card, CardError> {
    let path = || path.to_owned();
    if is_summary(bytes) {
        return Err(CardError::IsSummary { path: path() });
    }
    if bytes.is_empty() {
        return Err(CardError::Empty { path: path() });
    }
    let truncated = !bytes.ends_with(b"\n");
    let lines: Vec<&[u8]> = bytes.trim_ascii_end().split(|&b| b == b'\n').collect();
    let mut card: Option<Growing> = None;
    let mut unknown = 0;
    for (index, raw) in lines.iter().enumerate() {
        let line = index + 1;
        let last = line == lines.len();
        let broken = |reason| CardError::BrokenLine { path: path(), line, reason };
        input::check_line(raw).map_err(broken)?;
        let text = match std::str::from_utf8(raw) {
            Ok(text) => text,
            Err(_) if last && truncated && line > 1 => "",
            Err(_) => return Err(CardError::NotUtf8 { path: path(), line }),
        };
        let Some(card) = card.as_mut() else {
            card = Some(Growing::new(parse_header(path(), text)?));
            continue;
        };
        if text.trim().is_empty() {
            continue;
        }
        match card.parse(text) {
            Ok(Some(line)) => card.push(line),
            Ok(None) => unknown += 1,
            Err(_) if last && truncated => {
                card.card.remarks.push(format!("line {line} is cut off and was left out"));
            }
            Err(reason) => return Err(broken(reason)),
        }
    }
    let mut card = card.map(|c| c.card).ok_or_else(|| CardError::Empty { path: path() })?;
    if unknown > 0 {
        card.remarks.push(format!(
            "lines left out, as this version does not know their kind or their setting: {unknown}"
        ));
    }
    input::check_work(&card).map_err(|what| CardError::TooLarge { path: path(), what })?;
    legacy::plan(&mut card.header.plan);
    legacy::quantities(&mut card);
    legacy::policy(&mut card);
    today::reword(&mut card.header.declarations);
    Ok(card)
}

/// The version is looked at before anything else, since a newer header may have another shape.
fn parse_header(path: PathBuf, text: &str) -> Result<Header, CardError> {
    let no_header = |reason: String| CardError::NoHeader { path: path.clone(), reason };
    let head: Head = serde_json::from_str(text).map_err(|e| no_header(e.to_string()))?;
    if head.kind != "header" {
        return Err(no_header("the first line's kind is not header".into()));
    }
    match head.format.as_u64() {
        Some(found) if found > u64::from(FORMAT) => {
            return Err(CardError::Newer { path, found });
        }
        Some(_) => {}
        None => return Err(no_header("it has no format number".into())),
    }
    read(text).map_err(no_header)
}

/// What decides how a line is read. Looking for it first and reading the line once takes half as long
/// as making a tree of the line and something else of the tree.
#[derive(Deserialize)]
#[serde(default)]
struct Head {
    kind: Value,
    format: Value,
    series: Value,
    /// Only whether it is there.
    probe: Option<IgnoredAny>,
}

impl Default for Head {
    fn default() -> Head {
        Head { kind: Value::Null, format: Value::Null, series: Value::Null, probe: None }
    }
}

/// Reads what is on a line. Where on the line it is broken is of no use beside the number of the line.
fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| {
        let text = error.to_string();
        text.split(" at line ").next().unwrap_or_default().to_owned()
    })
}

/// The kind of a line of JSON.
fn kind(line: &Value) -> &str {
    line["kind"].as_str().unwrap_or_default()
}

/// What the points of a series have in common.
const SHARED: [&str; 4] = ["probe", "quantity", "params", "unit"];

/// A card to which lines are added.
#[derive(Debug)]
struct Growing {
    card: Card,
    /// Where each point is, by what makes it the same measurement.
    seen: HashMap<String, usize>,
    /// The skips of the card.
    skipped: HashSet<Skip>,
    /// What all points of a series have in common, as the beginning of a line.
    described: HashMap<u64, String>,
    /// The number of each series that was written.
    series: HashMap<String, u64>,
    /// The number of the next one.
    next: u64,
}

impl Growing {
    /// A card without lines.
    fn new(header: Header) -> Growing {
        Growing::from(Card {
            header,
            points: Vec::new(),
            skips: Vec::new(),
            fails: Vec::new(),
            rounds: Vec::new(),
            end: None,
            remarks: Vec::new(),
        })
    }

    /// Reads a line; `Ok(None)` is one that this version does not know, which a newer minor version
    /// may write.
    fn parse(&mut self, text: &str) -> Result<Option<Line>, String> {
        let head: Head = read(text)?;
        let line = match head.kind.as_str().unwrap_or_default() {
            "point" => {
                let mut point: Point = read(&self.described(&head, text)?)?;
                point.drop_impossible();
                if !point.has_possible_settings() {
                    return Ok(None);
                }
                Line::Point(point)
            }
            "skip" | "fail" | "round" | "end" => read(text)?,
            "header" => return Err("a second header".into()),
            "" => return Err("it has no kind".into()),
            _ => return Ok(None),
        };
        Ok(Some(line))
    }

    /// A point with what it shares with the first one of its series.
    fn described<'a>(&mut self, head: &Head, text: &'a str) -> Result<Cow<'a, str>, String> {
        let Some(series) = head.series.as_u64() else { return Ok(text.into()) };
        if head.probe.is_some() {
            let mut shared: Map<String, Value> = read(text)?;
            shared.retain(|name, _| SHARED.contains(&name.as_str()));
            let shared = Value::from(shared).to_string();
            let open = shared.strip_suffix('}').unwrap_or_default();
            self.described.insert(series, open.to_owned());
            return Ok(text.into());
        }
        let shared = self.described.get(&series);
        let shared =
            shared.ok_or_else(|| format!("no line before it describes series {series}"))?;
        let own = text.trim_start().strip_prefix('{').unwrap_or_default();
        Ok(format!("{shared},{own}").into())
    }

    /// The text of a line that is to be added.
    fn text(&mut self, line: &Line) -> serde_json::Result<String> {
        let Line::Point(point) = line else { return serde_json::to_string(line) };
        let mut value = serde_json::to_value(line)?;
        if let Some(fields) = value.as_object_mut() {
            let number = match self.series.entry(series(point)) {
                Entry::Occupied(known) => {
                    SHARED.iter().for_each(|name| drop(fields.shift_remove(*name)));
                    *known.get()
                }
                Entry::Vacant(new) => {
                    self.next += 1;
                    *new.insert(self.next)
                }
            };
            fields.shift_insert(1, "series".into(), number.into());
        }
        serde_json::to_string(&value)
    }

    /// Adds what a line says.
    fn push(&mut self, line: Line) {
        let Growing { card, seen, skipped, .. } = self;
        match line {
            // A round that was cut off and measured again replaces what it had left behind.
            Line::Point(mut p) => {
                legacy::point(&mut p);
                match seen.entry(key(&p)) {
                    Entry::Occupied(at) => card.points[*at.get()] = p,
                    Entry::Vacant(free) => {
                        free.insert(card.points.len());
                        card.points.push(p);
                    }
                }
            }
            Line::Skip(mut s) => {
                legacy::skip(&mut s);
                // Every round meets the same obstacle; one row is enough.
                if skipped.insert(s.clone()) {
                    card.skips.push(s);
                }
            }
            Line::Round(r) => card.rounds.push(r),
            Line::Fail(mut f) => {
                legacy::fail(&mut f);
                card.fails.push(f);
            }
            Line::End(e) => card.end = Some(e),
            Line::Header(_) => {}
        }
    }
}

impl From<Card> for Growing {
    fn from(card: Card) -> Growing {
        let seen = card.points.iter().enumerate().map(|(i, p)| (key(p), i)).collect();
        let skipped = card.skips.iter().cloned().collect();
        // Series that the card has already are described once more, with numbers beyond theirs.
        let next = card.points.len() as u64;
        let (described, series) = (HashMap::new(), HashMap::new());
        Growing { card, seen, skipped, described, series, next }
    }
}

/// What makes a point the same measurement as another one.
fn key(point: &Point) -> String {
    format!("{} {}", point.round, series(point))
}

/// What the points of all rounds have in common.
fn series(point: &Point) -> String {
    format!("{} {} {:?} {}", point.probe, point.quantity, point.params, point.unit.symbol())
}

/// A card on which a run may go on; no other one can while this is held.
#[derive(Debug)]
pub struct Held {
    file: File,
    path: PathBuf,
    card: Card,
    /// Bytes of the file up to the `end` line, or to a last line that was cut off.
    keep: u64,
    /// Of the last line that is kept only the line feed was cut off.
    unfinished: bool,
}

impl Held {
    /// Opens a card and changes nothing yet.
    ///
    /// # Errors
    ///
    /// As [`Card::read`], or another run is writing it.
    pub fn open(path: &Path) -> Result<Held, CardError> {
        let failed = |reason| unreadable(path, reason);
        let file = OpenOptions::new().read(true).append(true).open(path).map_err(failed)?;
        lock(&file).map_err(failed)?;
        let mut bytes = input::read(path, &file, MOST_BYTES)?;
        let kind_at = |bytes: &[u8]| {
            let line = serde_json::from_slice(bytes);
            line.map_or(String::new(), |line: Value| kind(&line).to_owned())
        };
        let last = line_start(&bytes, bytes.len());
        // Whatever is whole up to its last brace was measured; the rest is measured again.
        if kind_at(&bytes[last..]).is_empty() {
            bytes.truncate(last);
        }
        let card = parse(path, &bytes)?;
        let last = line_start(&bytes, bytes.trim_ascii_end().len());
        let keep = if kind_at(&bytes[last..]) == "end" { last } else { bytes.len() };
        let unfinished = !bytes[..keep].ends_with(b"\n");
        Ok(Held { file, path: path.to_owned(), card, keep: keep as u64, unfinished })
    }

    /// What has been measured so far.
    pub fn card(&self) -> &Card {
        &self.card
    }
}

/// Where the line begins that has this position.
fn line_start(bytes: &[u8], position: usize) -> usize {
    bytes[..position].iter().rposition(|&b| b == b'\n').map_or(0, |i| i + 1)
}

/// Keeps other runs from a card as long as its file is open.
fn lock(file: &File) -> io::Result<()> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "another run is writing it; wait for its end, or begin one in another --out",
        )),
        // Not every file system knows locks, and a run does not need one.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
    }
}

/// Appends lines to a card, each flushed to the file before the next measurement starts.
#[derive(Debug)]
pub struct Writer {
    file: File,
    path: PathBuf,
    card: Growing,
}

impl Writer {
    /// Starts a card; an existing file is an error unless `force`, and in any case while another run
    /// is writing it.
    ///
    /// # Errors
    ///
    /// The file exists, is held by another run, or cannot be written.
    pub fn create(path: &Path, header: &Header, force: bool) -> io::Result<Writer> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        // What another run is writing must not be cut off, so that opening does not truncate.
        if force {
            options.create(true).truncate(false)
        } else {
            options.create_new(true)
        };
        let file = options.open(path)?;
        lock(&file)?;
        // A device has no length to be set.
        if file.metadata()?.len() > 0 {
            file.set_len(0)?;
        }
        let card = Growing::new(header.clone());
        let mut writer = Writer { file, path: path.to_owned(), card };
        writer.append(Line::Header(Box::new(header.clone())))?;
        Ok(writer)
    }

    /// Continues an interrupted card: a cut-off last line and an `end` line are taken off first.
    ///
    /// # Errors
    ///
    /// The file cannot be cut there.
    pub fn resume(held: Held) -> io::Result<Writer> {
        let Held { mut file, path, mut card, keep, unfinished } = held;
        file.set_len(keep)?;
        if unfinished {
            file.write_all(b"\n")?;
        }
        card.end = None;
        Ok(Writer { file, path, card: Growing::from(card) })
    }

    /// Writes one line and hands it to the kernel at once.
    ///
    /// # Errors
    ///
    /// The line cannot be written, such as on a full disk.
    pub fn append(&mut self, mut line: Line) -> io::Result<()> {
        if let Line::Point(point) = &mut line {
            point.drop_impossible();
        }
        let mut text = self.card.text(&line)?;
        text.push('\n');
        self.file.write_all(text.as_bytes())?;
        self.card.push(line);
        Ok(())
    }

    /// The card so far.
    pub fn card(&self) -> &Card {
        &self.card.card
    }

    /// Where the card is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The card, and its file, which no other run can write to until it is closed.
    pub fn finish(self) -> (Card, File) {
        (self.card.card, self.file)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::counters::Event;
    use crate::declare::Unit;
    use crate::record::{Backing, PointState};
    use crate::{fixture, metrics};

    fn path() -> &'static Path {
        Path::new("x.card.jsonl")
    }

    /// Two probes of a run, and something of everything else that a card has lines for.
    fn card() -> Card {
        let mut card = fixture::recorded().card;
        let two = |probe: &str| ["clock", "locks"].contains(&probe);
        card.header.declarations.retain(|d| two(&d.probe));
        card.points.retain(|p| two(&p.probe));
        card.fails = fixture::summary().card.fails;
        assert!(!card.rounds.is_empty() && !card.skips.is_empty() && card.end.is_some());
        card
    }

    fn lines_of(card: &Card) -> Vec<Line> {
        let mut lines = vec![Line::Header(Box::new(card.header.clone()))];
        lines.extend(card.points.iter().cloned().map(Line::Point));
        lines.extend(card.rounds.iter().cloned().map(Line::Round));
        lines.extend(card.skips.iter().cloned().map(Line::Skip));
        lines.extend(card.fails.iter().cloned().map(Line::Fail));
        lines.extend(card.end.iter().cloned().map(Line::End));
        lines
    }

    fn written(lines: &[Line]) -> Vec<u8> {
        let mut card = Growing::new(card().header);
        lines.iter().map(|line| card.text(line).unwrap() + "\n").collect::<String>().into_bytes()
    }

    #[test]
    fn a_card_comes_back_as_it_was() {
        let card = card();
        let lines = lines_of(&card);
        assert_eq!(parse(path(), &written(&lines)).unwrap(), card);
        let first = String::from_utf8(written(&lines[1..2])).unwrap();
        assert!(first.starts_with("{\"kind\":\"point\""), "the kind comes first: {first}");
    }

    #[test]
    fn what_rounds_have_in_common_is_written_once() {
        let card = card();
        let text = String::from_utf8(written(&lines_of(&card))).unwrap();
        let describes = |l: &&str| l.starts_with("{\"kind\":\"point\"") && l.contains("quantity");
        let described = text.lines().filter(describes).count();
        let series: std::collections::HashSet<String> = card.points.iter().map(series).collect();
        assert!(card.points.len() > 2 * series.len());
        assert_eq!(described, series.len());
    }

    #[test]
    fn a_point_of_a_series_that_no_line_describes_is_named() {
        let card = card();
        let header = written(&lines_of(&card)[..1]);
        let point = "{\"kind\":\"point\",\"series\":7,\"round\":1,\"samples\":[1.0]}\n";
        let error = parse(path(), &[&header, point.as_bytes()].concat()).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("series 7"), "{error}");
    }

    #[test]
    fn a_compressed_card_is_read_like_any_other() {
        let dir = tempfile::tempdir().unwrap();
        let card = card();
        let plain = dir.path().join("x.card.jsonl");
        std::fs::write(&plain, written(&lines_of(&card))).unwrap();
        let small = dir.path().join("x.card.jsonl.zst");
        let level = ruzstd::encoding::CompressionLevel::Fastest;
        let bytes = ruzstd::encoding::compress_to_vec(File::open(&plain).unwrap(), level);
        std::fs::write(&small, bytes).unwrap();
        assert_eq!(Card::read(&small).unwrap(), card);
        assert!(small.metadata().unwrap().len() * 2 < plain.metadata().unwrap().len());
    }

    #[test]
    fn resuming_takes_off_the_end_and_what_was_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.card.jsonl");
        let card = card();
        let end = End { state: EndState::Interrupted, wall_s: 1.0 };
        for tail in ["", "{\"kind\":\"poi"] {
            let bytes = [written(&lines_of(&card)), tail.into()].concat();
            std::fs::write(&file, bytes).unwrap();
            let mut writer = Writer::resume(Held::open(&file).unwrap()).unwrap();
            assert_eq!(writer.card(), &Card { end: None, ..card.clone() });
            assert!(Held::open(&file).unwrap_err().to_string().contains("another run"));
            writer.append(Line::End(end.clone())).unwrap();
            let again = Card::read(&file).unwrap();
            assert_eq!(again.end, Some(end.clone()));
            assert_eq!(again.points, card.points);
        }
    }

    #[test]
    fn a_last_line_that_lacks_only_its_line_feed_was_measured() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.card.jsonl");
        let mut card = card();
        card.end = None;
        let round = card.rounds.pop().unwrap();
        let lines = [lines_of(&card), vec![Line::Round(round.clone())]].concat();
        let bytes = written(&lines);
        for (cut, is_there) in [(1, true), (2, false)] {
            std::fs::write(&file, &bytes[..bytes.len() - cut]).unwrap();
            let mut writer = Writer::resume(Held::open(&file).unwrap()).unwrap();
            let there = |card: &Card| card.has_round(&round.probe, round.round);
            assert_eq!(there(writer.card()), is_there);
            writer.append(Line::Skip(Skip::new("a line behind it", "", ""))).unwrap();
            assert_eq!(Card::read(&file).unwrap(), *writer.card());
        }
    }

    /// The fields whose texts are words of a vocabulary.
    const WORDS: [&str; 11] = [
        "unit",
        "better",
        "tier",
        "estimator",
        "event",
        "state",
        "cause",
        "kind",
        "from",
        "backing",
        "end",
    ];
    /// Those whose fields are named by such words.
    const RULES: [&str; 3] = ["from", "counts", "backing"];

    /// Replaces a word of a line, after so many others, by one that this version does not know.
    fn spoil(value: &mut Value, inside: &str, before: &mut usize) {
        fn is_next(before: &mut usize) -> bool {
            *before = before.wrapping_sub(1);
            *before == usize::MAX
        }
        match value {
            Value::String(word) if WORDS.contains(&inside) && is_next(before) => {
                *word = "unheard_of".into();
            }
            Value::Array(items) => items.iter_mut().for_each(|item| spoil(item, inside, before)),
            Value::Object(fields) if !fields.contains_key("where") => {
                for name in fields.keys().cloned().collect::<Vec<String>>() {
                    let rules = RULES.contains(&inside);
                    if rules && is_next(before) {
                        let of_it = fields.shift_remove(&name).unwrap();
                        fields.insert("unheard_of".into(), of_it);
                    } else {
                        spoil(&mut fields[&name], if rules { inside } else { &name }, before);
                    }
                }
            }
            _ => {}
        }
    }

    /// Lines with their words, without those that say which lines are points.
    fn spoilt(lines: &[u8], before: &mut usize) -> Vec<u8> {
        let text = std::str::from_utf8(lines).unwrap();
        let line = |line: &str| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            let kind = line["kind"].take();
            spoil(&mut line, "", before);
            line["kind"] = kind;
            if !["header", "point"].contains(&line["kind"].as_str().unwrap()) {
                spoil(&mut line["kind"], "kind", before);
            }
            line.to_string() + "\n"
        };
        text.lines().map(line).collect::<String>().into_bytes()
    }

    /// A card with words of every vocabulary.
    fn wordy() -> Card {
        let mut card = card();
        let counts = [(Event::Instructions, 7), (Event::CoreCycles, 9)];
        card.points[0].counts = counts.into();
        card.points[1].backing = Backing::SurplusHuge { huge: 1 };
        card.points[2].state = PointState::Noisy;
        assert!(card.header.declarations.iter().any(|d| !d.proofs.is_empty()));
        assert!(!card.header.counters.missing.is_empty());
        card
    }

    #[test]
    fn a_point_in_an_unknown_state_is_not_believed_like_a_clean_one() {
        let card = card();
        let text = String::from_utf8(written(&lines_of(&card)[..2])).unwrap();
        let text = text.replace("\"samples\"", "\"state\":\"unheard_of\",\"samples\"");
        let read = parse(path(), text.as_bytes()).unwrap();
        assert_eq!(read.points[0].state, PointState::Unknown);
    }

    #[test]
    fn what_is_no_finite_number_is_dropped_with_a_count_on_writing_and_reading() {
        let card = card();
        let mut point = card.points[0].clone();
        (point.unit, point.ops, point.core_ghz) = (Unit::Ns, 9, vec![3.0, 3.1, 3.2]);
        let mut spoilt = Point { samples: vec![1.0, f64::NAN, 2.0], ..point.clone() };
        point.samples = vec![1.0, 2.0];
        point.core_ghz.remove(1);
        point.disturbances.rejected += 1;
        point.disturbances.impossible += 1;
        point.state = PointState::Noisy;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.card.jsonl");
        let mut writer = Writer::create(&file, &card.header, false).unwrap();
        writer.append(Line::Point(spoilt.clone())).unwrap();
        assert_eq!(writer.card().points, [point.clone()]);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.ends_with("\"samples\":[1.0,2.0],\"ops\":9,\"core_ghz\":[3.0,3.2],\"disturbances\":{\"impossible\":1,\"rejected\":1},\"state\":\"noisy\"}\n"), "{text}");
        // Other programs write it as it comes.
        let lines = [Line::Header(Box::new(card.header.clone())), Line::Point(spoilt.clone())];
        assert_eq!(parse(path(), &written(&lines)).unwrap().points, [point.clone()]);
        // A child hands over what its probe gave.
        let text = serde_json::to_string(&Record::Point(spoilt.clone())).unwrap();
        let Record::Point(handed) = serde_json::from_str(&text).unwrap() else { panic!("{text}") };
        assert!(handed.samples[1].is_nan());
        spoilt.samples = vec![f64::NAN; 3];
        spoilt.drop_impossible();
        assert_eq!((spoilt.samples.len(), spoilt.core_ghz.len()), (0, 0));
    }

    #[test]
    fn settings_that_no_machine_has_are_left_out_and_said() {
        let card = card();
        let mut point = card.points[0].clone();
        point.params.insert("threads".into(), i64::MAX.into());
        let lines = [lines_of(&card), vec![Line::Point(point)]].concat();
        let read = parse(path(), &written(&lines)).unwrap();
        assert_eq!(read.points, card.points);
        assert!(read.remarks[0].ends_with("their setting: 1"), "{:?}", read.remarks);
    }

    #[test]
    fn four_times_as_many_lines_take_about_four_times_as_long() {
        let header = written(&lines_of(&card())[..1]);
        let reading = |count: usize| {
            let line = |i: usize| {
                format!(
                    "{{\"kind\":\"skip\",\"probe\":\"p\",\"need\":\"n{i}\",\"reason\":\"\",\"remedy\":\"\"}}\n"
                )
            };
            let lines: String = (0..count).map(line).collect();
            let bytes = [&header, lines.as_bytes()].concat();
            let once = || {
                let began = std::time::Instant::now();
                assert_eq!(parse(path(), &bytes).unwrap().skips.len(), count);
                began.elapsed()
            };
            (0..3).map(|_| once()).min().unwrap()
        };
        let (few, many) = (reading(4000), reading(16_000));
        assert!(many < few * 9, "{few:?} and {many:?}");
    }

    #[test]
    fn a_flipped_bit_of_a_compressed_card_is_an_error_or_changes_nothing() {
        let lines = lines_of(&card());
        let plain = written(&lines[..30]);
        let card = parse(path(), &plain).unwrap();
        let level = ruzstd::encoding::CompressionLevel::Fastest;
        let packed = ruzstd::encoding::compress_to_vec(&plain[..], level);
        let read = |packed: &[u8]| {
            input::unpack(path(), packed, MOST_BYTES).and_then(|bytes| parse(path(), &bytes))
        };
        assert_eq!(read(&packed).unwrap(), card);
        let bits = 8 * packed.len();
        let (mut tried, mut found) = (0, 0);
        for bit in (0..bits).filter(|&bit| bit < 64 || bit >= bits - 64 || bit % 53 == 0) {
            let mut flipped = packed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            tried += 1;
            match read(&flipped) {
                // Such as a larger window than it takes.
                Ok(same) => assert_eq!(same, card, "bit {bit}"),
                Err(error) => {
                    let error = error.to_string();
                    assert!(error.contains("x.card.jsonl is damaged"), "{error}");
                    assert!(error.contains("copy it again"), "{error}");
                    found += 1;
                }
            }
        }
        assert!(found * 100 > tried * 95, "{found} of {tried}");
    }

    #[test]
    fn a_round_measured_again_replaces_what_was_cut_off() {
        let mut card = card();
        let mut again = card.points[0].clone();
        again.samples = vec![77.0];
        let mut lines = lines_of(&card);
        lines.push(Line::Point(again.clone()));
        card.points[0] = again;
        assert_eq!(parse(path(), &written(&lines)).unwrap(), card);
    }

    proptest! {
        // A whole card is parsed in each case.
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(path(), &bytes);
        }

        #[test]
        fn a_word_of_a_later_version_costs_what_it_stands_for(at in any::<prop::sample::Index>()) {
            let card = wordy();
            let lines = written(&lines_of(&card));
            let mut left = usize::MAX;
            spoilt(&lines, &mut left);
            let mut before = at.index(usize::MAX - left);
            let read = parse(path(), &spoilt(&lines, &mut before)).unwrap();
            let (before, after) = (metrics::evaluate(&card), metrics::evaluate(&read));
            prop_assert_eq!(before.0.len(), after.0.len());
            let changed = before.0.iter().zip(&after.0).filter(|(b, a)| b.value != a.value);
            let mut probes: Vec<&str> = changed.clone().map(|(b, _)| b.probe.as_str()).collect();
            probes.dedup();
            prop_assert!(probes.len() <= 1, "{:?}", probes);
            for (_, after) in changed.filter(|(_, after)| after.value.is_none()) {
                let reason = after.reason.as_deref().unwrap_or_default();
                prop_assert!(reason.contains("this version does not know"), "{}", reason);
            }
        }

        #[test]
        fn a_card_cut_anywhere_is_a_shorter_card_or_a_clear_error(share in 0.0..1.0_f64) {
            let card = card();
            let bytes = written(&lines_of(&card));
            let cut = (bytes.len() as f64 * share) as usize;
            match parse(path(), &bytes[..cut]) {
                Ok(short) => {
                    prop_assert_eq!(&short.header, &card.header);
                    prop_assert_eq!(&short.points[..], &card.points[..short.points.len()]);
                }
                // Only within the header is there nothing to be had.
                Err(error) => prop_assert!(!bytes[..cut].contains(&b'\n'), "{error}"),
            }
        }

        #[test]
        fn a_spoiled_line_is_named(line in 1_usize..40, junk in "[^\\n{]{1,20}") {
            let card = card();
            let text = String::from_utf8(written(&lines_of(&card))).unwrap();
            let mut lines: Vec<&str> = text.lines().collect();
            let junk = format!("{junk}x");
            lines[line] = &junk;
            let error = parse(path(), lines.join("\n").as_bytes()).unwrap_err().to_string();
            prop_assert!(error.contains(&format!("line {}", line + 1)), "{error}");
        }
    }
}
