//! The card file: all results of one run on one machine, as JSON lines, one object a line.
//!
//! `header` comes first and describes everything that follows; then `point`, `skip` and `fail`
//! lines in the order in which they happened, each flushed as soon as it exists; `end` is last.
//! Every round measures the same: the first point of a series says what is measured, later ones
//! give the number of the series instead.
//! A card without `end` was interrupted. Files that end in `.zst` are Zstandard frames of the same.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::counters::CounterSupport;
use crate::declare::Declaration;
use crate::legacy;
use crate::machine::Machine;
use crate::peer::Peer;
use crate::record::{Fail, Point, Record, Skip};
use serde::{Deserialize, Serialize};
use serde_json::Value;

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
    /// How long it took.
    pub wall_s: f64,
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
}

/// Any line of a card.
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
    /// What the reader noticed: a truncated last line, kinds it does not know.
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
    #[error("{path}, line 1: not a card header ({reason}); is this a *.card.jsonl file?")]
    NoHeader { path: PathBuf, reason: String },
    #[error(
        "{path} has card format {found}; this program reads up to {FORMAT}: use a newer probecard"
    )]
    Newer { path: PathBuf, found: u64 },
}

impl Card {
    /// Reads a card, compressed or not.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is no card, or was written in a newer format.
    pub fn read(path: &Path) -> Result<Card, CardError> {
        parse(path, &read_bytes(path).map_err(|reason| unreadable(path, reason))?)
    }

    /// Whether the run did all that was planned.
    pub fn is_complete(&self) -> bool {
        self.end.as_ref().is_some_and(|e| e.state == EndState::Complete)
    }

    /// Whether a round came to its end, so that a resumed run leaves it alone.
    pub fn has_round(&self, probe: &str, round: u32) -> bool {
        self.rounds.iter().any(|r| r.probe == probe && r.round == round)
    }
}

fn unreadable(path: &Path, reason: io::Error) -> CardError {
    CardError::Io { path: path.to_owned(), reason }
}

fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut bytes = Vec::new();
    if is_zst(path) {
        let mut decoder =
            ruzstd::decoding::StreamingDecoder::new(file).map_err(io::Error::other)?;
        decoder.read_to_end(&mut bytes)?;
    } else {
        file.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn is_zst(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("zst"))
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Card, CardError> {
    let path = || path.to_owned();
    if bytes.is_empty() {
        return Err(CardError::Empty { path: path() });
    }
    let truncated = !bytes.ends_with(b"\n");
    let lines: Vec<&[u8]> = bytes.trim_ascii_end().split(|&b| b == b'\n').collect();
    let mut card: Option<Growing> = None;
    for (index, raw) in lines.iter().enumerate() {
        let line = index + 1;
        let last = line == lines.len();
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
            Ok(None) => {
                card.card.remarks.push("a line of a kind unknown to this version".into());
            }
            Err(_) if last && truncated => {
                card.card.remarks.push(format!("line {line} is cut off and was left out"));
            }
            Err(reason) => return Err(CardError::BrokenLine { path: path(), line, reason }),
        }
    }
    let mut card = card.map(|c| c.card).ok_or_else(|| CardError::Empty { path: path() })?;
    legacy::plan(&mut card.header.plan);
    legacy::quantities(&mut card);
    Ok(card)
}

/// The version is looked at before anything else, since a newer header may have another shape.
fn parse_header(path: PathBuf, text: &str) -> Result<Header, CardError> {
    let no_header = |reason: String| CardError::NoHeader { path: path.clone(), reason };
    let value: Value = serde_json::from_str(text).map_err(|e| no_header(e.to_string()))?;
    if value["kind"] != "header" {
        return Err(no_header("the first line's kind is not header".into()));
    }
    match value["format"].as_u64() {
        Some(found) if found > u64::from(FORMAT) => {
            return Err(CardError::Newer { path, found });
        }
        Some(_) => {}
        None => return Err(no_header("it has no format number".into())),
    }
    match serde_json::from_value(value) {
        Ok(Line::Header(header)) => Ok(*header),
        Ok(_) => Err(no_header("the first line's kind is not header".into())),
        Err(e) => Err(no_header(e.to_string())),
    }
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
    /// What all points of a series have in common, as read from its first line.
    described: HashMap<u64, Vec<(&'static str, Value)>>,
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

    /// Reads a line; `Ok(None)` is a kind this version does not know, which a newer minor version
    /// may write.
    fn parse(&mut self, text: &str) -> Result<Option<Line>, String> {
        let mut value: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
        match kind(&value) {
            "point" => self.describe(&mut value)?,
            "skip" | "fail" | "round" | "end" => {}
            "header" => return Err("a second header".into()),
            "" => return Err("it has no kind".into()),
            _ => return Ok(None),
        }
        serde_json::from_value(value).map(Some).map_err(|e| e.to_string())
    }

    /// Gives a point what it shares with the first one of its series.
    fn describe(&mut self, point: &mut Value) -> Result<(), String> {
        let Some(series) = point["series"].as_u64() else { return Ok(()) };
        let Some(fields) = point.as_object_mut() else { return Ok(()) };
        if fields.contains_key(SHARED[0]) {
            let shared = SHARED.iter().filter_map(|name| Some((*name, fields.get(*name)?.clone())));
            self.described.insert(series, shared.collect());
            return Ok(());
        }
        let shared = self.described.get(&series);
        let shared =
            shared.ok_or_else(|| format!("no line before it describes series {series}"))?;
        fields.extend(shared.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        Ok(())
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
        let Growing { card, seen, .. } = self;
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
                if !card.skips.contains(&s) {
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
        // Series that the card has already are described once more, with numbers beyond theirs.
        let next = card.points.len() as u64;
        Growing { card, seen, described: HashMap::new(), series: HashMap::new(), next }
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
}

impl Held {
    /// Opens a card and changes nothing yet.
    ///
    /// # Errors
    ///
    /// As [`Card::read`], or another run is writing it.
    pub fn open(path: &Path) -> Result<Held, CardError> {
        let failed = |reason| unreadable(path, reason);
        let mut file = OpenOptions::new().read(true).append(true).open(path).map_err(failed)?;
        lock(&file).map_err(failed)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        // A line that was cut off is measured again even if it can be read.
        bytes.truncate(line_start(&bytes, bytes.len()));
        let card = parse(path, &bytes)?;
        let last = line_start(&bytes, bytes.trim_ascii_end().len());
        let end = |line| serde_json::from_slice(line).is_ok_and(|l: Value| kind(&l) == "end");
        let keep = if end(&bytes[last..]) { last } else { bytes.len() };
        Ok(Held { file, path: path.to_owned(), card, keep: keep as u64 })
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
        let Held { file, path, mut card, keep } = held;
        file.set_len(keep)?;
        card.end = None;
        Ok(Writer { file, path, card: Growing::from(card) })
    }

    /// Writes one line and hands it to the kernel at once.
    ///
    /// # Errors
    ///
    /// The line cannot be written, such as on a full disk.
    pub fn append(&mut self, line: Line) -> io::Result<()> {
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
    use crate::fixture;

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
