//! Data to compress: made up, the same every time, and with the statistics of real ones. A few words
//! are most of a text and many are rare; records repeat their names and differ in their values.

use std::fmt::Write;

/// Kinds of data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Data {
    Json,
    Text,
    Random,
}

/// Of all data.
const SEED: u64 = 2012;

impl Data {
    pub(super) const ALL: [Data; 3] = [Data::Json, Data::Text, Data::Random];

    pub(super) fn name(self) -> &'static str {
        match self {
            Data::Json => "json",
            Data::Text => "text",
            Data::Random => "random",
        }
    }

    /// So many bytes of it.
    pub(super) fn bytes(self, count: usize) -> Vec<u8> {
        let mut rng = fastrand::Rng::with_seed(SEED);
        let mut bytes = match self {
            Data::Json => json(count, &mut rng).into_bytes(),
            Data::Text => prose(count, &mut rng).into_bytes(),
            Data::Random => std::iter::repeat_with(|| rng.u8(..)).take(count).collect(),
        };
        bytes.truncate(count);
        bytes
    }
}

/// Words of a vocabulary; the shortest are the most frequent.
const WORDS: usize = 3000;

/// How often a word is followed by its favourite, so that blocks of prose compress as much as those
/// of real texts do: 1.1 to 1.3 times for 1 KB, 1.7 for 64 KB.
const PHRASE: f64 = 0.5;

struct Vocabulary {
    words: Vec<String>,
    /// The word that each one is often followed by.
    followers: Vec<usize>,
    /// Sum of the frequencies up to each word.
    up_to: Vec<f64>,
}

impl Vocabulary {
    fn new(rng: &mut fastrand::Rng) -> Vocabulary {
        let all = std::iter::repeat_with(|| word(rng)).filter(|word| word.len() > 1);
        let mut words: Vec<String> = all.take(WORDS).collect();
        words.sort_by_key(String::len);
        // Zipf: the n-th word is n times rarer than the first; a little flatter at the top.
        let frequency = |rank: usize| 1.0 / (rank as f64 + 2.7);
        let up_to = (0..WORDS).scan(0.0, |sum, rank| {
            *sum += frequency(rank);
            Some(*sum)
        });
        let mut vocabulary = Vocabulary { words, followers: Vec::new(), up_to: up_to.collect() };
        vocabulary.followers = (0..WORDS).map(|_| vocabulary.draw(rng)).collect();
        vocabulary
    }

    /// The number of a word, by its frequency.
    fn draw(&self, rng: &mut fastrand::Rng) -> usize {
        let at = rng.f64() * self.up_to[WORDS - 1];
        self.up_to.partition_point(|up_to| *up_to < at).min(WORDS - 1)
    }

    /// The number of a word that may stand after another one: phrases come again.
    fn after(&self, word: usize, rng: &mut fastrand::Rng) -> usize {
        if rng.f64() < PHRASE { self.followers[word] } else { self.draw(rng) }
    }

    fn any(&self, rng: &mut fastrand::Rng) -> &str {
        &self.words[self.draw(rng)]
    }
}

/// One to four syllables.
fn word(rng: &mut fastrand::Rng) -> String {
    const BEGIN: &[&str] = &[
        "b", "c", "d", "f", "g", "h", "l", "m", "n", "p", "r", "s", "t", "w", "th", "st", "tr", "",
        "", "ch", "sh", "pr",
    ];
    const MIDDLE: &[&str] = &["a", "e", "i", "o", "u", "e", "a", "o", "ea", "ou", "ai"];
    const END: &[&str] = &["", "n", "r", "s", "t", "d", "l", "", "ng", "nt", "ck", "m"];
    (0..1 + rng.usize(..4)).fold(String::new(), |mut word, _| {
        for part in [BEGIN, MIDDLE, END] {
            word.push_str(part[rng.usize(..part.len())]);
        }
        word
    })
}

fn prose(count: usize, rng: &mut fastrand::Rng) -> String {
    let vocabulary = Vocabulary::new(rng);
    let (mut text, mut at) = (String::new(), 0);
    while text.len() < count {
        let words = 6 + rng.usize(..18);
        for i in 0..words {
            at = vocabulary.after(at, rng);
            let word = &vocabulary.words[at];
            match word.chars().next().filter(|_| i == 0) {
                Some(first) => {
                    text.extend(first.to_uppercase());
                    text.push_str(&word[first.len_utf8()..]);
                }
                None => text.push_str(word),
            }
            text.push_str(match rng.u8(..12) {
                _ if i + 1 == words => ".",
                0 => ", ",
                _ => " ",
            });
        }
        text.push_str(if rng.u8(..6) == 0 { "\n\n" } else { " " });
    }
    text
}

/// Records of an order service, as an answer of it would hold them.
fn json(count: usize, rng: &mut fastrand::Rng) -> String {
    const STATES: [&str; 4] = ["shipped", "pending", "delivered", "returned"];
    let vocabulary = Vocabulary::new(rng);
    let mut text = String::from("[");
    let mut time = 1_350_000_000_u64;
    let mut id = 4_500_000_u64;
    while text.len() < count {
        time += rng.u64(..90_000);
        id += rng.u64(1..40);
        let customer = rng.u32(10_000..99_999_999);
        let state = STATES[rng.usize(..STATES.len())];
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            r#"{{"id":{id},"customer_id":{customer},"created_at":{time},"status":"{state}","items":["#
        );
        for item in 0..1 + rng.usize(..3) {
            let (first, second) = (vocabulary.any(rng), vocabulary.any(rng));
            let (price, count) = (rng.u32(99..50_000), rng.u32(1..5));
            let _ = write!(
                text,
                r#"{}{{"sku":"{:08x}","name":"{first} {second}","quantity":{count},"price":{}.{:02}}}"#,
                if item == 0 { "" } else { "," },
                rng.u32(..),
                price / 100,
                price % 100,
            );
        }
        let _ = write!(text, r#"],"note":"{}","gift":{}}},"#, vocabulary.any(rng), rng.bool());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_are_the_same_every_time_and_as_long_as_asked() {
        for data in Data::ALL {
            let bytes = data.bytes(10_000);
            assert_eq!(bytes.len(), 10_000);
            assert_eq!(bytes, data.bytes(10_000));
        }
    }

    #[test]
    #[ignore = "for tests/witness/idioms.sh: writes the data to the folder $WITNESS_DATA"]
    fn write_the_data() {
        let folder = std::path::PathBuf::from(std::env::var_os("WITNESS_DATA").unwrap());
        for data in Data::ALL {
            let file = folder.join(format!("data.{}", data.name()));
            std::fs::write(file, data.bytes(256 << 10)).unwrap();
        }
    }

    #[test]
    fn records_are_json() {
        let mut text = json(20_000, &mut fastrand::Rng::with_seed(1));
        text.truncate(text.len() - 1);
        text.push(']');
        let records: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(records.as_array().unwrap().len() > 50);
    }

    #[test]
    fn a_text_has_frequent_words_and_rare_ones() {
        let text = prose(256 << 10, &mut fastrand::Rng::with_seed(1));
        let mut counts = std::collections::HashMap::new();
        for word in text.split(|c: char| !c.is_alphabetic()).filter(|w| !w.is_empty()) {
            *counts.entry(word.to_lowercase()).or_insert(0) += 1;
        }
        let (most, all) = (counts.values().max().unwrap(), counts.values().sum::<i32>());
        assert!(counts.len() > 2000 && most * 20 > all, "{} {most} {all}", counts.len());
        let letters = text.len() as f64 / f64::from(all);
        assert!((4.0..7.0).contains(&letters), "{letters} per word");
    }
}
