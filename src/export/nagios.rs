//! A line for Nagios, Icinga and what else runs monitoring plugins: the word and the text, and behind a bar the
//! numbers that are worth a graph.

use card::format::believable;
use card::summary::Summary;

use super::answer::{Answer, State};
use super::tidy;

/// What is worth a graph: one number for each thing that fails by itself. Nagios keeps 8 KiB of a line at most, and
/// all metrics are 30.
const GRAPHED: [&str; 14] = [
    "clock.core_ghz",
    "memory.latency.l1_ns",
    "memory.latency.l2_ns",
    "memory.latency.l3_ns",
    "memory.latency.dram_ns",
    "memory.bandwidth.read.l1_gbs",
    "memory.bandwidth.read.dram_gbs",
    "memory.bandwidth.read.dram_all_threads_gbs",
    "branch.mispredict_cycles",
    "simd.peak.f32_gflops",
    "locks.mutex_uncontended_ns",
    "context_switch.per_switch_ns",
    "os.syscall_ns",
    "noise.gap_ratio",
];

/// `PROBECARD OK: text | 'clock.core_ghz'=3.7 …`. Numbers are in the unit that their id ends in, since Nagios has no
/// word for most of them; what was not measured is left out.
pub fn text(answer: &Answer, summary: Option<&Summary>) -> String {
    let word = match answer.state {
        State::Ok => "OK",
        State::Suspect => "WARNING",
        State::Worse => "CRITICAL",
        State::Unknown => "UNKNOWN",
    };
    // A bar would begin the numbers.
    let mut line = format!("PROBECARD {word}: {}", answer.text.replace('|', "/"));
    let numbers: Vec<String> = summary.map(numbers).unwrap_or_default();
    if !numbers.is_empty() {
        line += &format!(" | {}", numbers.join(" "));
    }
    line + "\n"
}

fn numbers(summary: &Summary) -> Vec<String> {
    let number = |&id: &&str| {
        let value = believable(summary.metrics.get(id)?)?;
        Some(format!("'{id}'={}", tidy(value)))
    };
    GRAPHED.iter().filter_map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use card::fixture;

    #[test]
    fn a_bar_begins_numbers_and_nothing_else() {
        let answer = Answer::new(State::Worse, "a|b\nc");
        assert_eq!(text(&answer, None), "PROBECARD CRITICAL: a/b c\n");
        let line = text(&answer, Some(&fixture::recorded()));
        assert_eq!(line.matches('|').count(), 1, "{line}");
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(line.contains("| 'clock.core_ghz'="), "{line}");
        let whole = line.split(" | ").nth(1).unwrap().trim().split(' ');
        for number in whole {
            let (label, value) = number.rsplit_once('=').unwrap();
            assert!(label.starts_with('\'') && label.ends_with('\''), "{number}");
            assert!(value.parse::<f64>().unwrap().is_finite(), "{number}");
        }
    }

    #[test]
    fn what_is_graphed_is_declared() {
        for id in GRAPHED {
            let mut metrics = fixture::all_declared().iter().flat_map(|d| &d.metrics);
            assert!(metrics.any(|metric| metric.id == id), "{id}");
        }
    }

    #[test]
    fn what_has_no_number_is_left_out() {
        let mut summary = fixture::recorded();
        let before = numbers(&summary).len();
        let mut set = |id: &str, value| {
            summary.metrics.0.iter_mut().find(|v| v.id == id).unwrap().value = value;
        };
        set("clock.core_ghz", Some(f64::NAN));
        set("memory.latency.l1_ns", None);
        assert_eq!(numbers(&summary).len(), before - 2);
    }
}
