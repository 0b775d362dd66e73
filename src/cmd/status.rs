//! `probecard status`: how the machine is, by what is on file. It measures nothing and judges nothing, since health
//! checks end what takes seconds.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use card::summary::Summary;
use clap::ValueEnum;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::export::answer::{Answer, State};
use crate::export::judged::Judged;
use crate::export::{nagios, npd};

/// What a health check may rely on.
pub(super) const CODES: &str = "Exit codes: 0 as it was; 1 worse; 2 cannot tell, or too old; 3 suspect. With --format \
     nagios: 0 OK; 1 WARNING, suspect; 2 CRITICAL, worse; 3 UNKNOWN. With --format npd: 0 OK; 1 worse; 2 unknown, and \
     suspect, which no second run has confirmed.";

/// A judgement is a hundredth of it.
const MOST_BYTES: u64 = 16 << 20;

/// Clocks of two machines may differ by so much.
const AHEAD: SignedDuration = SignedDuration::from_mins(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A sentence.
    Text,
    /// A plugin of Nagios or Icinga.
    Nagios,
    /// A custom plugin of node-problem-detector.
    Npd,
    /// A JSON object.
    Json,
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What is older is not ok: by default a day and two hours.
    #[arg(long, value_name = "TIME", default_value = "26h", value_parser = parse_age)]
    max_age: SignedDuration,
    /// Who asks.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// What `probecard check --json` said last (`probecard watch` keeps it as status.json), a card, or
    /// its summary.
    file: PathBuf,
}

/// "26h", "90m" or plain seconds.
fn parse_age(text: &str) -> Result<SignedDuration, String> {
    let malformed = |_| format!("'{text}' is no age: write 26h, 90m or 600s");
    let age = match text.parse() {
        Ok(seconds) => SignedDuration::try_from_secs_f64(seconds).map_err(malformed)?,
        Err(_) => text.parse::<SignedDuration>().map_err(malformed)?,
    };
    if age.is_negative() { Err("an age is not negative".into()) } else { Ok(age) }
}

/// What is on file, and when it began.
struct OnFile {
    answer: Answer,
    /// RFC 3339. A confirmed judgement is as old as the run that confirmed it.
    start: Option<String>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let now = Timestamp::now();
    let OnFile { answer, start } = read(&args.file);
    let age = start.as_deref().and_then(|start| age(start, now));
    let answer = match start {
        Some(start) => aged(answer, &start, age, args.max_age),
        None => answer,
    };
    match args.format {
        Format::Text => super::print(&format!("{}\n", answer.text))?,
        Format::Nagios => super::print_as_is(&nagios::text(&answer, None))?,
        Format::Npd => super::print_as_is(&npd::text(&answer))?,
        Format::Json => {
            let age = age.map(|age| age.as_secs());
            let json = json!({ "state": answer.state, "text": answer.text, "age_s": age });
            super::print_json(&format!("{json}\n"))?;
        }
    }
    Ok(ExitCode::from(code(args.format, answer.state)))
}

/// The exit code of a command line that cannot be understood: whoever asked as Nagios is told that it is
/// unknown, where 2 would be critical.
pub(super) fn code_of_wrong_usage(arguments: impl Iterator<Item = OsString>) -> u8 {
    let arguments: Vec<OsString> = arguments.collect();
    let asks = arguments.first().is_some_and(|first| first == "status");
    let as_nagios = arguments.windows(2).any(|two| two[0] == "--format" && two[1] == "nagios")
        || arguments.iter().any(|argument| argument == "--format=nagios");
    let format = if asks && as_nagios { Format::Nagios } else { Format::Text };
    code(format, State::Unknown)
}

fn code(format: Format, state: State) -> u8 {
    match (format, state) {
        (_, State::Ok) => 0,
        (Format::Nagios, State::Suspect) => 1,
        (Format::Nagios, State::Worse) => 2,
        (Format::Nagios, State::Unknown) => 3,
        (_, State::Worse) => 1,
        (Format::Npd, State::Suspect) | (_, State::Unknown) => 2,
        (_, State::Suspect) => 3,
    }
}

/// What a file says. One that says nothing is an answer too: whoever asks wants its own exit code for it.
fn read(path: &Path) -> OnFile {
    if let Ok(judged) = judgement(path) {
        return OnFile {
            answer: Answer::of_judgement(&judged),
            start: Some(judged.runs.into_iter().max().unwrap_or_default()),
        };
    }
    match Summary::read(path) {
        Ok(summary) => {
            OnFile { answer: Answer::of_card(&summary), start: Some(summary.card.header.start) }
        }
        Err(error) => {
            let help = "it should be what `probecard check --json` printed, a card, or a summary";
            OnFile { answer: Answer::new(State::Unknown, &format!("{error}; {help}")), start: None }
        }
    }
}

fn judgement(path: &Path) -> io::Result<Judged> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// How long ago that was.
fn age(start: &str, now: Timestamp) -> Option<SignedDuration> {
    Some(now.duration_since(start.parse().ok()?))
}

/// The same answer, unless it is too old to be one.
fn aged(answer: Answer, start: &str, age: Option<SignedDuration>, most: SignedDuration) -> Answer {
    let unknown = |text: String| Answer::new(State::Unknown, &text);
    let Some(age) = age else {
        return unknown(format!("nobody can tell how old it is: it began at {start:?}"));
    };
    if age < -AHEAD {
        return unknown(format!("began in the future, at {start}: one of two clocks is wrong"));
    }
    if age > most {
        let hours = age.as_secs() / 3600;
        return unknown(format!(
            "STALE: {hours} h old; run `probecard check` again. It was: {}",
            answer.text
        ));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: SignedDuration = SignedDuration::from_hours(24);

    fn state(start: &str) -> State {
        let now: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
        aged(Answer::new(State::Ok, "same"), start, age(start, now), DAY).state
    }

    #[test]
    fn what_is_too_old_or_of_no_time_is_unknown() {
        assert_eq!(state("2026-11-30T11:59:59Z"), State::Ok);
        assert_eq!(state("2026-11-29T12:00:00Z"), State::Ok);
        assert_eq!(state("2026-11-29T11:59:59Z"), State::Unknown);
        assert_eq!(state("2026-11-30T12:00:30Z"), State::Ok);
        assert_eq!(state("2026-11-30T12:02:00Z"), State::Unknown);
        assert_eq!(state("-9999-01-01T00:00:00Z"), State::Unknown);
        assert_eq!(state(""), State::Unknown);
        let stale = aged(Answer::new(State::Worse, "FAIL"), "", Some(SignedDuration::MAX), DAY);
        assert_eq!(stale.state, State::Unknown);
        assert!(stale.text.starts_with("STALE: ") && stale.text.ends_with("FAIL"));
    }

    #[test]
    fn ages_are_read_as_they_are_written() {
        assert_eq!(parse_age("26h"), Ok(SignedDuration::from_hours(26)));
        assert_eq!(parse_age("90m"), Ok(SignedDuration::from_mins(90)));
        assert_eq!(parse_age("600"), parse_age("600s"));
        for wrong in ["", "-1h", "soon", "NaN", "1e300"] {
            assert!(parse_age(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn codes_are_those_of_who_asks() {
        let all = [State::Ok, State::Suspect, State::Worse, State::Unknown];
        let codes = |format| all.map(|state| code(format, state));
        assert_eq!(codes(Format::Text), [0, 3, 1, 2]);
        assert_eq!(codes(Format::Json), [0, 3, 1, 2]);
        assert_eq!(codes(Format::Nagios), [0, 1, 2, 3]);
        assert_eq!(codes(Format::Npd), [0, 2, 1, 2]);
        for (line, expected) in [
            ("status --format nagios --wrong x", 3),
            ("status --wrong --format=nagios", 3),
            ("status --format npd --wrong x", 2),
            ("status --wrong", 2),
            ("export --format nagios", 2),
            ("", 2),
        ] {
            let arguments = line.split_whitespace().map(OsString::from);
            assert_eq!(code_of_wrong_usage(arguments), expected, "{line}");
        }
    }
}
