//! A card with all that is computed from it, and the object that programs read.
//!
//! As a file of its own, a *summary* is a card without its points: the metrics with what each round
//! said, the machine, the findings, what was skipped and what failed; a tenth of the bytes, and read in
//! a hundredth of the time. Whatever needs no points reads it like the card.

use std::borrow::Cow;
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, json};

use crate::counters::CounterSupport;
use crate::declare::{Better, Declaration, NoiseClass, ReportOnly, Unit};
use crate::file::{self, Card, CardError, End, Header};
use crate::findings::{self, Finding};
use crate::metrics::{self, Grade, Metrics, State, Value};
use crate::record::{Fail, Skip};
use crate::series::Met;
use crate::verdict::Verdict;
use crate::view::each_cpu;

/// A card with all that is computed from it.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The card.
    pub card: Card,
    /// Its metrics.
    pub metrics: Metrics,
    /// What contradicts a claim.
    pub findings: Vec<Finding>,
}

impl Summary {
    /// Evaluates the card.
    pub fn of(card: Card) -> Summary {
        let metrics = metrics::evaluate(&card);
        let findings = findings::find(&card, &metrics);
        Summary { card, metrics, findings }
    }

    /// Reads a card or a summary, compressed or not.
    ///
    /// # Errors
    ///
    /// As of a card.
    pub fn read(path: &Path) -> Result<Summary, CardError> {
        let bytes = file::bytes(path)?;
        if !file::is_summary(&bytes) {
            return file::parse(path, &bytes).map(Summary::of);
        }
        let broken = |error: serde_json::Error| CardError::BrokenLine {
            path: path.to_owned(),
            line: 1,
            reason: error.to_string(),
        };
        let stored: Stored = serde_json::from_slice(&bytes).map_err(broken)?;
        let found = u64::from(stored.format);
        if stored.format > file::FORMAT {
            return Err(CardError::Newer { path: path.to_owned(), found });
        }
        Ok(stored.into())
    }

    fn stretches<'a>(&'a self, reasons: &mut Vec<Cow<'a, str>>) -> Vec<Stretch<'a>> {
        let alike = |a: &Value, b: &Value| (&a.probe, &a.family) == (&b.probe, &b.family);
        let stretches = self.metrics.0.chunk_by(alike);
        stretches
            .map(|values| Stretch {
                probe: values[0].probe.as_str().into(),
                family: values[0].family.as_str().into(),
                metrics: values.iter().map(|value| Row::of(value, reasons)).collect(),
            })
            .collect()
    }

    /// The text of a summary's file.
    pub fn stored(&self) -> String {
        let Card { header, skips, fails, end, .. } = &self.card;
        // What was declared is with the metrics; left is by which method each probe measured.
        let declaration = |d: &Declaration| Declaration {
            probe: d.probe.clone(),
            summary: "".into(),
            method: d.method,
            quantities: Vec::new(),
            metrics: Vec::new(),
            proofs: Vec::new(),
        };
        let declarations = header.declarations.iter().map(declaration).collect();
        let mut reasons = Vec::new();
        let stored = Stored {
            kind: Kind::Summary,
            format: file::FORMAT,
            // What could be counted is told by the metrics that come of it.
            header: Header {
                format: header.format,
                tool: header.tool.clone(),
                id: header.id.clone(),
                start: header.start.clone(),
                arguments: header.arguments.clone(),
                seed: header.seed,
                plan: header.plan.clone(),
                machine: header.machine.clone(),
                counters: CounterSupport::default(),
                declarations,
            },
            metrics: self.stretches(&mut reasons),
            reasons,
            findings: self.findings.as_slice().into(),
            verdict: Some(Verdict::of(self)),
            skips: skips.as_slice().into(),
            fails: fails.as_slice().into(),
            end: end.clone(),
        };
        // Numbers, texts and lists of them: nothing that has no JSON.
        serde_json::to_string(&stored).unwrap_or_default() + "\n"
    }
}

/// A summary as a file. It borrows what it is written from: copies would take longer than writing.
#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    kind: Kind,
    format: u32,
    header: Header,
    metrics: Vec<Stretch<'a>>,
    /// Many metrics share one.
    reasons: Vec<Cow<'a, str>>,
    /// Of another version they may look otherwise: what cannot be read costs its row.
    #[serde(deserialize_with = "those_that_can_be_read")]
    findings: Cow<'a, [Finding]>,
    /// For other readers; ours makes it anew.
    #[serde(skip_deserializing)]
    verdict: Option<Verdict>,
    skips: Cow<'a, [Skip]>,
    fails: Cow<'a, [Fail]>,
    end: Option<End>,
}

fn those_that_can_be_read<'de, 'a, D: Deserializer<'de>>(
    from: D,
) -> Result<Cow<'a, [Finding]>, D::Error> {
    let all: Vec<serde_json::Value> = Deserialize::deserialize(from)?;
    Ok(all.into_iter().filter_map(|finding| serde_json::from_value(finding).ok()).collect())
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Summary,
}

/// Metrics of one probe and one family that follow each other.
#[derive(Serialize, Deserialize)]
struct Stretch<'a> {
    probe: Cow<'a, str>,
    family: Cow<'a, str>,
    metrics: Vec<Row<'a>>,
}

/// A metric without the names of its fields, which would be half of the file.
#[derive(Serialize, Deserialize)]
struct Row<'a>(
    Cow<'a, str>,
    (Unit, Better, NoiseClass, Option<ReportOnly>),
    (State, Option<Grade>, Option<usize>),
    /// The number, and the ends of its spread where they are not those of the rounds.
    Vec<Option<f64>>,
    #[serde(serialize_with = "shortly")] Cow<'a, [f64]>,
    Cow<'a, [Met]>,
);

/// The lowest and the highest.
pub(crate) fn ends(values: &[f64]) -> (Option<f64>, Option<f64>) {
    let end = |of: fn(f64, f64) -> f64| values.iter().copied().reduce(of);
    (end(f64::min), end(f64::max))
}

/// As many digits as tell a 20,000th: samples have no more.
fn short(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    // Powers of ten up to here are exact, so that the quotient is the number that is written so.
    match 4 - value.abs().log10().floor() as i32 {
        places @ 0..=22 => (value * 10_f64.powi(places)).round() / 10_f64.powi(places),
        places @ -22..0 => (value / 10_f64.powi(-places)).round() * 10_f64.powi(-places),
        _ => value,
    }
}

fn shortly<S: Serializer>(values: &[f64], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(values.iter().copied().map(short))
}

impl<'a> Row<'a> {
    fn of(value: &'a Value, reasons: &mut Vec<Cow<'a, str>>) -> Row<'a> {
        let Value { id, unit, better, tier, report_only, low, high, .. } = value;
        // Few rounds are all of the spread.
        let ends = ends(&value.each_round);
        // That rounds differ is what they say themselves.
        let reason = value.reason.as_ref().filter(|_| !value.only_differs).map(|reason| {
            reasons.iter().position(|known| known == reason).unwrap_or_else(|| {
                reasons.push(reason.as_str().into());
                reasons.len() - 1
            })
        });
        let low = low.filter(|low| Some(*low) != ends.0);
        let high = high.filter(|high| Some(*high) != ends.1);
        let mut numbers = [value.value, low, high].map(|v| v.map(short)).to_vec();
        while numbers.last() == Some(&None) {
            numbers.pop();
        }
        Row(
            id.as_str().into(),
            (*unit, *better, *tier, *report_only),
            (value.state, value.grade, reason),
            numbers,
            value.each_round.as_slice().into(),
            value.states.as_slice().into(),
        )
    }

    fn of_probe(self, probe: &str, family: &str, reasons: &[Cow<'_, str>]) -> Value {
        let Row(id, what, state, numbers, each_round, states) = self;
        let (probe, family) = (probe.to_owned(), family.to_owned());
        let (unit, better, tier, report_only) = what;
        let (state, grade, reason) = state;
        let reason = reason.and_then(|at| Some(reasons.get(at)?.clone().into_owned()));
        let [value, low, high] = [0, 1, 2].map(|at| numbers.get(at).copied().flatten());
        let (least, most) = ends(&each_round);
        let [low, high] = [low.or(least), high.or(most)].map(|end| end.filter(|_| value.is_some()));
        Value {
            id: id.into_owned(),
            value,
            low,
            high,
            unit,
            state,
            grade,
            states: states.into_owned(),
            reason,
            only_differs: false,
            family,
            tier,
            better,
            rounds: u32::try_from(each_round.len()).unwrap_or(u32::MAX),
            each_round: each_round.into_owned(),
            report_only,
            probe,
            summary: String::new(),
        }
    }
}

impl Stretch<'_> {
    fn values(self, reasons: &[Cow<'_, str>]) -> Vec<Value> {
        let Stretch { probe, family, metrics } = self;
        metrics.into_iter().map(|row| row.of_probe(&probe, &family, reasons)).collect()
    }
}

impl From<Stored<'_>> for Summary {
    fn from(stored: Stored<'_>) -> Summary {
        let Stored { header, metrics, reasons, findings, skips, fails, end, .. } = stored;
        let (points, rounds, remarks) = (Vec::new(), Vec::new(), Vec::new());
        let (findings, skips, fails) =
            (findings.into_owned(), skips.into_owned(), fails.into_owned());
        Summary {
            card: Card { header, points, skips, fails, rounds, end, remarks },
            metrics: Metrics(metrics.into_iter().flat_map(|s| s.values(&reasons)).collect()),
            findings,
        }
    }
}

/// The object that programs read; its shape is a promise.
pub fn json(summary: &Summary) -> serde_json::Value {
    let metrics: Map<String, serde_json::Value> =
        summary.metrics.0.iter().map(|v| (v.id.clone(), metric_json(v))).collect();
    let mut all = json!({
        "format": file::FORMAT,
        "machine": summary.card.header.machine,
        "metrics": metrics,
        "verdict": Verdict::of(summary),
        "findings": summary.findings,
        "skips": summary.card.skips,
        "failures": summary.card.fails,
    });
    let each_cpu = each_cpu::ranked(&summary.card);
    if !each_cpu.is_empty() {
        all["each_cpu"] = json!(each_cpu);
    }
    all
}

fn metric_json(value: &metrics::Value) -> serde_json::Value {
    let mut metric = json!({
        "value": value.value,
        "low": value.low,
        "high": value.high,
        "unit": value.unit,
        "state": value.state,
        "grade": value.grade,
        "reason": value.reason,
        "family": value.family,
        "tier": value.tier,
        "better": value.better,
        "rounds": value.rounds,
        "each_round": value.each_round,
        "report_only": value.report_only,
    });
    if !value.states.is_empty() {
        metric["states"] = json!(value.states);
    }
    metric
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::series::Met;

    #[test]
    fn several_states_stand_beside_the_number() {
        let mut summary = fixture::summary();
        let met = |value, share, rounds| Met { value, share, rounds };
        summary.metrics.0[0].states = vec![met(1.93, 0.4, 2), met(2.17, 0.6, 3)];
        let id = summary.metrics.0[0].id.clone();
        let states = &json(&summary)["metrics"][id]["states"];
        assert_eq!(states[1], json!({"value": 2.17, "share": 0.6, "rounds": 3}));
    }

    #[test]
    fn a_summary_reads_as_what_it_is_of_points_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.summary.json");
        let whole = fixture::summary();
        std::fs::write(&path, whole.stored()).unwrap();
        let read = Summary::read(&path).unwrap();
        assert_eq!(read.metrics.0.len(), whole.metrics.0.len());
        for (read, whole) in read.metrics.0.iter().zip(&whole.metrics.0) {
            assert_eq!((&read.id, read.unit, read.state), (&whole.id, whole.unit, whole.state));
            assert_eq!((&read.probe, &read.family), (&whole.probe, &whole.family));
            assert_eq!(read.report_only, whole.report_only);
            assert!(whole.only_differs || read.reason == whole.reason, "{:?}", read.reason);
            assert_eq!(read.each_round.len(), whole.each_round.len());
            let near = |a: f64, b: f64| (a - b).abs() <= 1e-4 * b.abs();
            for (read, whole) in
                [(read.value, whole.value), (read.low, whole.low), (read.high, whole.high)]
            {
                assert_eq!(read.is_some(), whole.is_some(), "{whole:?}");
                assert!(read.is_none_or(|value| near(value, whole.unwrap())), "{read:?} {whole:?}");
            }
        }
        assert_eq!(read.findings, whole.findings);
        assert_eq!(read.card.header.machine, whole.card.header.machine);
        assert_eq!(read.card.fails, whole.card.fails);
        // It says so to whoever needs the points.
        let error = Card::read(&path).unwrap_err().to_string();
        assert!(error.contains("a summary") && error.contains("x.summary.json"), "{error}");
        // And a card is read as one.
        let at = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cards/x86_64.card.jsonl.zst");
        assert_eq!(Summary::read(Path::new(at)).unwrap().metrics, fixture::recorded().metrics);
    }

    #[test]
    fn a_broken_summary_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.summary.json");
        let whole = fixture::recorded().stored();
        let newer = whole.replacen("\"format\":1", "\"format\":99", 1);
        let half = whole[..whole.len() / 2].to_owned();
        for (text, says) in [(newer, "newer probecard"), (half, "EOF"), ("{}".into(), "header")] {
            std::fs::write(&path, text).unwrap();
            let error = Summary::read(&path).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn numbers_are_written_with_few_digits() {
        for (value, written) in [
            (3.689_123_4, "3.6891"),
            (0.000_123_456_7, "0.00012346"),
            (123_456_789.0, "123460000.0"),
            (-2.0, "-2.0"),
            (0.0, "0.0"),
            (9.999_96, "10.0"),
        ] {
            assert_eq!(serde_json::to_string(&short(value)).unwrap(), written);
        }
        assert!(short(f64::NAN).is_nan() && short(1e300) == 1e300);
    }

    #[test]
    fn a_summary_that_was_laid_out_anew_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.summary.json");
        let whole = fixture::recorded();
        let object: serde_json::Value = serde_json::from_str(&whole.stored()).unwrap();
        std::fs::write(&path, format!("{object:#}\n")).unwrap();
        assert_eq!(Summary::read(&path).unwrap().findings, whole.findings);
    }

    #[test]
    fn findings_of_another_version_cost_their_row_and_not_the_summary() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.summary.json");
        let whole = fixture::recorded();
        let stored = whole.stored().replacen("\"group\":\"claim\"", "\"group\":\"omen\"", 1);
        std::fs::write(&path, stored).unwrap();
        let read = Summary::read(&path).unwrap();
        assert_eq!(read.findings, whole.findings[1..]);
    }

    #[test]
    fn a_summary_is_small() {
        let bytes = fixture::recorded().stored().len();
        assert!(bytes <= 90_000, "{bytes}");
    }

    #[test]
    fn json_has_the_promised_shape() {
        let summary = fixture::summary();
        let json = json(&summary);
        let mut keys: Vec<&String> = json.as_object().unwrap().keys().collect();
        keys.sort();
        assert_eq!(
            keys,
            ["failures", "findings", "format", "machine", "metrics", "skips", "verdict"]
        );
        let metric = &json["metrics"]["memory.latency.l1_ns"];
        let mut keys: Vec<&String> = metric.as_object().unwrap().keys().collect();
        keys.sort();
        let promised = [
            "better",
            "each_round",
            "family",
            "grade",
            "high",
            "low",
            "reason",
            "report_only",
            "rounds",
            "state",
            "tier",
            "unit",
            "value",
        ];
        assert_eq!(keys, promised);
        assert_eq!(metric["unit"], "ns");
        assert_eq!(metric["state"], "ok");
        assert_eq!(metric["grade"], "within_5");
        assert_eq!(metric["tier"], "T1");
        assert_eq!(json["skips"][0]["remedy"], summary.card.skips[0].remedy);
    }
}
