//! How a machine is, in one word and one line: what monitors ask for.

use card::clean;
use card::format::count;
use card::judge;
use card::metrics::State as Worth;
use card::record::FailKind;
use card::summary::Summary;
use card::verdict::Verdict;
use serde::Serialize;

use super::judged::Judged;

/// The word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As it was, or measured without a wrong answer where nothing was compared.
    Ok,
    /// Worse in two runs, or a wrong answer was computed.
    Worse,
    /// It cannot be told.
    Unknown,
    /// Worse in one run.
    Suspect,
}

/// What a monitor is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// In one word.
    pub state: State,
    /// In one line, without characters that act on a terminal.
    pub text: String,
}

impl Answer {
    /// An answer whose text may be from anywhere.
    pub fn new(state: State, text: &str) -> Answer {
        Answer { state, text: clean::line(text) }
    }

    /// What was judged.
    pub fn of_judgement(judged: &Judged) -> Answer {
        let state = match judged.verdict {
            judge::Verdict::Same => State::Ok,
            judge::Verdict::Worse => State::Worse,
            judge::Verdict::CannotJudge => State::Unknown,
            judge::Verdict::Suspect => State::Suspect,
        };
        Answer::new(state, &judged.headline)
    }

    /// What a card says by itself, which nothing was held against.
    pub fn of_card(summary: &Summary) -> Answer {
        let Summary { card, metrics, .. } = summary;
        if let Some(fail) = card.fails.iter().find(|fail| fail.cause == FailKind::Corruption) {
            let text = format!("a wrong answer was computed: {}: {}", fail.probe, fail.how);
            return Answer::new(State::Worse, &text);
        }
        if !card.is_complete() {
            let text = "the run was interrupted; `probecard run --resume CARD` goes on with it";
            return Answer::new(State::Unknown, text);
        }
        let worth = |state| metrics.0.iter().filter(|value| value.state == state).count();
        let measured = worth(Worth::Ok) + worth(Worth::Noisy);
        let verdict = Verdict::of(summary);
        let text = format!(
            "{}: {}; {measured} of {} measured, compared with nothing",
            verdict.word,
            verdict.sentence,
            count(metrics.0.len(), "metric"),
        );
        Answer::new(State::Ok, &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::tests::{judged, whole};

    #[test]
    fn a_card_by_itself_is_ok_unless_an_answer_was_wrong_or_it_was_cut_off() {
        let mut summary = whole();
        let answer = Answer::of_card(&summary);
        assert_eq!(answer.state, State::Ok);
        assert!(answer.text.contains("compared with nothing"), "{}", answer.text);
        summary.card.end = None;
        assert_eq!(Answer::of_card(&summary).state, State::Unknown);
        summary.card.fails[0].cause = FailKind::Corruption;
        summary.card.fails[0].how = "sum is\n\u{1b}[31m41".into();
        let answer = Answer::of_card(&summary);
        assert_eq!(answer.state, State::Worse);
        assert!(answer.text.ends_with("branch: sum is  [31m41"), "{}", answer.text);
    }

    #[test]
    fn a_judgement_is_passed_on_in_its_own_words() {
        let answer = Answer::of_judgement(&judged(judge::Verdict::Suspect));
        assert_eq!(answer, Answer { state: State::Suspect, text: "SUSPECT: branches".into() });
    }
}
