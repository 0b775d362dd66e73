//! A run on a time line, for <https://ui.perfetto.dev> and `chrome://tracing`: the trace event format in JSON.
//!
//! A card says when each round began and how long it took. Older ones say only how long, and in which order they
//! came: those are laid end to end, without the moments between them, in which a run rests or starts a child.

use std::collections::BTreeMap;
use std::time::Duration;

use card::clean;
use card::file::Card;
use serde_json::{Value, json};

/// A track for each probe with its rounds, and a counter of the samples that were set aside in each. Times are in
/// microseconds from the start of the run. Only a card with rounds has something to show, which a summary has not.
pub fn text(card: &Card) -> String {
    let header = &card.header;
    let mut events = vec![json!({
        "ph": "M", "name": "process_name", "pid": RUN, "tid": 0,
        "args": { "name": format!("probecard {} {}", header.plan.tier, header.id) },
    })];
    let mut tracks: BTreeMap<&str, usize> = BTreeMap::new();
    let mut end = Duration::ZERO;
    for round in &card.rounds {
        let next = tracks.len() + 1;
        let track = *tracks.entry(&round.probe).or_insert(next);
        if track == next {
            events.push(json!({
                "ph": "M", "name": "thread_name", "pid": RUN, "tid": track,
                "args": { "name": round.probe },
            }));
        }
        // What is no time takes none.
        let length = Duration::try_from_secs_f64(round.wall_s).unwrap_or_default();
        let start = round.start_s.and_then(|start| Duration::try_from_secs_f64(start).ok());
        let now = start.unwrap_or(end);
        let of_round = |probe: &str, number: u32| probe == round.probe && number == round.round;
        let points = card.points.iter().filter(|point| of_round(&point.probe, point.round));
        let (mut kept, mut rejected) = (0, 0_u64);
        for point in points {
            kept += point.samples.len();
            rejected = rejected.saturating_add(point.disturbances.rejected);
        }
        let failures: Vec<&str> = card
            .fails
            .iter()
            .filter(|fail| of_round(&fail.probe, fail.round))
            .map(|fail| fail.how.as_str())
            .collect();
        events.push(json!({
            "ph": "X", "name": round.probe, "cat": "round", "pid": RUN, "tid": track,
            "ts": micros(now), "dur": micros(length),
            "args": { "round": round.round, "samples": kept, "rejected": rejected, "failures": failures },
        }));
        events.push(counter(now, rejected));
        end = now.saturating_add(length);
    }
    events.push(counter(end, 0));
    let trace = json!({
        "displayTimeUnit": "ms",
        "otherData": {
            "run": header.id,
            "start": header.start,
            "machine": header.machine.title(),
            "version": header.tool.version,
        },
        "traceEvents": events,
    });
    // An event on each line, as good to compare as to parse.
    clean::json(&lines(&trace))
}

/// There is one process, the run.
const RUN: u32 = 1;

/// To the nanosecond.
fn micros(time: Duration) -> f64 {
    time.as_micros() as f64 + f64::from(time.subsec_nanos() % 1000) / 1e3
}

fn counter(at: Duration, rejected: u64) -> Value {
    json!({
        "ph": "C", "name": "samples set aside", "pid": RUN, "tid": 0, "ts": micros(at),
        "args": { "samples": rejected },
    })
}

fn lines(trace: &Value) -> String {
    let events: Vec<String> =
        trace["traceEvents"].as_array().into_iter().flatten().map(Value::to_string).collect();
    format!(
        "{{\"displayTimeUnit\":{},\"otherData\":{},\"traceEvents\":[\n{}\n]}}\n",
        trace["displayTimeUnit"],
        trace["otherData"],
        events.join(",\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::tests::{HOSTILE, hostile};
    use card::fixture;

    fn events(card: &Card) -> Vec<Value> {
        let trace: Value = serde_json::from_str(&text(card)).unwrap();
        trace["traceEvents"].as_array().unwrap().clone()
    }

    fn of_kind<'a>(events: &'a [Value], kind: &'static str) -> impl Iterator<Item = &'a Value> {
        events.iter().filter(move |event| event["ph"] == kind)
    }

    #[test]
    fn rounds_follow_one_another_and_take_as_long_as_they_took() {
        let card = fixture::recorded().card;
        let events = events(&card);
        let slices: Vec<&Value> = of_kind(&events, "X").collect();
        assert!(slices.len() > 50 && slices.len() == card.rounds.len());
        let mut end = 0.0;
        for (slice, round) in slices.iter().zip(&card.rounds) {
            assert_eq!(slice["name"], round.probe);
            assert_eq!(slice["args"]["round"], round.round);
            let (from, length) = (slice["ts"].as_f64().unwrap(), slice["dur"].as_f64().unwrap());
            assert!((from - end).abs() < 1e-3 && (length - 1e6 * round.wall_s).abs() < 1e-3);
            end = from + length;
        }
        let rejected: u64 = card.points.iter().map(|p| p.disturbances.rejected).sum();
        let counted = of_kind(&events, "C").map(|c| c["args"]["samples"].as_u64().unwrap());
        assert_eq!(counted.sum::<u64>(), rejected);
        let tracks = of_kind(&events, "M").filter(|m| m["name"] == "thread_name").count();
        let mut probes: Vec<&str> = card.rounds.iter().map(|r| r.probe.as_str()).collect();
        probes.sort_unstable();
        probes.dedup();
        assert_eq!(tracks, probes.len());
    }

    #[test]
    fn rounds_are_where_they_began_if_the_card_says_so() {
        let mut card = fixture::recorded().card;
        card.rounds.truncate(4);
        for (at, round) in card.rounds.iter_mut().enumerate() {
            (round.start_s, round.wall_s) = (Some(0.5 + 3.0 * at as f64), 2.0);
        }
        // One of which it is not known follows the one before.
        card.rounds[2].start_s = None;
        card.rounds[3].start_s = Some(f64::NAN);
        let starts: Vec<f64> =
            of_kind(&events(&card), "X").map(|slice| slice["ts"].as_f64().unwrap()).collect();
        assert_eq!(starts, [0.5e6, 3.5e6, 5.5e6, 7.5e6]);
    }

    #[test]
    fn a_hostile_card_is_still_json_and_every_time_a_number() {
        let mut card = hostile(HOSTILE).card;
        card.rounds[0].wall_s = f64::NAN;
        card.rounds[1].wall_s = -1.0;
        for event in of_kind(&events(&card), "X") {
            assert!(event["dur"].as_f64().unwrap() >= 0.0, "{event}");
            assert!(event["ts"].is_f64(), "{event}");
        }
    }
}
