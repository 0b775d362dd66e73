//! A line for a custom plugin of the node problem detector, which becomes the message of a node's condition.

use super::answer::{Answer, State};

/// The detector cuts what is longer.
const MOST: usize = 80;

/// The text in 80 bytes, its line feed among them.
pub fn text(answer: &Answer) -> String {
    let said = match answer.state {
        State::Ok => format!("ok: {}", answer.text),
        State::Worse | State::Unknown | State::Suspect => answer.text.clone(),
    };
    if said.len() < MOST {
        return said + "\n";
    }
    let cut = said.floor_char_boundary(MOST - "…\n".len());
    format!("{}…\n", said[..cut].trim_end())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_short_text_is_whole() {
        let line = text(&Answer::new(State::Worse, "FAIL: system calls: 40.1 % worse"));
        assert_eq!(line, "FAIL: system calls: 40.1 % worse\n");
    }

    proptest! {
        #[test]
        fn any_text_is_one_line_of_80_bytes_at_most(said in any::<String>()) {
            let line = text(&Answer::new(State::Ok, &said));
            prop_assert!(line.len() <= MOST && line.lines().count() == 1, "{line}");
            prop_assert!(line.starts_with("ok:") && line.ends_with('\n'));
        }
    }
}
