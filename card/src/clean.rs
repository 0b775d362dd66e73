//! Text from outside on its way to someone's eyes.
//!
//! A card may come from anywhere, and the name of a host, a path or a file below `/sys` may hold anything.
//! Whatever shows such a text (a terminal, a page, a picture, JSON) shows it cleaned by this, so that it
//! can neither steer the terminal nor turn the direction of writing.

/// Whether a character acts on what shows it, and is not shown itself: the control characters, C1 and
/// DEL among them, line separators, and all that turn the direction of writing.
fn acts(c: char) -> bool {
    let turns = matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    c.is_control() || turns
}

/// The text in one line, with a blank for each character that acts.
pub fn line(text: &str) -> String {
    text.chars().map(|c| if acts(c) { ' ' } else { c }).collect()
}

/// The same, with its lines left as they are.
pub fn lines(text: &str) -> String {
    text.chars().map(|c| if acts(c) && c != '\n' { ' ' } else { c }).collect()
}

/// Bytes that are looked at together: nearly all that is written is plain.
const CHUNK: usize = 256;

/// JSON that says the same, with such characters escaped. They can only be within strings, but for the
/// ends of lines.
pub fn json(json: &str) -> String {
    let is_plain = |b: &u8| matches!(b, b' '..=b'~' | b'\n');
    let mut clean = String::with_capacity(json.len());
    let mut rest = json;
    while !rest.is_empty() {
        let (chunk, more) = rest.split_at(rest.floor_char_boundary(CHUNK));
        rest = more;
        // All of them, without a branch: so many are compared at once.
        if chunk.as_bytes().iter().fold(true, |all, byte| all & is_plain(byte)) {
            clean.push_str(chunk);
            continue;
        }
        for c in chunk.chars() {
            if acts(c) && c != '\n' {
                // None of them takes two words in UTF-16.
                clean.push_str(&format!("\\u{:04x}", u32::from(c)));
            } else {
                clean.push(c);
            }
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// ESC, CSI as one character, DEL, NUL, BEL, both kinds of brackets that turn what is between, a mark
    /// and a separator.
    const ACTING: &str = "a\u{1b}[31m\u{9b}2J\u{7f}\0\u{7}\u{202e}\u{2066}\u{200f}\u{2028}z";

    #[test]
    fn what_acts_becomes_a_blank_and_everything_else_stays() {
        assert_eq!(line(ACTING), "a [31m 2J       z");
        assert_eq!(line("µs · 日本語 שלום é"), "µs · 日本語 שלום é");
        assert_eq!((line("a\nb"), lines("a\nb\r\tc")), ("a b".into(), "a\nb  c".into()));
    }

    #[test]
    fn json_says_the_same_without_a_character_that_acts() {
        let value = serde_json::json!({ "host": ACTING, "lines": "a\nb" });
        // Also where it is long, and a character stands across what is looked at together.
        let long = serde_json::json!({ "x".repeat(CHUNK - 3): "é".repeat(CHUNK) + ACTING });
        for (value, text) in [
            (&value, format!("{value}")),
            (&value, format!("{value:#}")),
            (&long, format!("{long}")),
        ] {
            let clean = json(&text);
            assert!(!clean.chars().any(|c| acts(c) && c != '\n'), "{clean}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&clean).unwrap(), *value);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_cleaned_and_its_json_is_kept(text in any::<String>()) {
            prop_assert!(!line(&text).chars().any(acts));
            let value = serde_json::Value::from(text);
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&json(&value.to_string())).unwrap(), value);
        }
    }
}
