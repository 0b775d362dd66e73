//! A value that is known, or the reason why it is not.

use std::fmt;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// Something the machine claims. What cannot be known says why, and is never a made-up value.
///
/// In JSON a known fact is the bare value and an unknown one is `{"unknown": "reason"}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, from = "Wire<T>")]
pub enum Fact<T> {
    /// The value.
    Known(T),
    /// No value.
    Unknown {
        /// Why there is none, in words that name the file or the leaf.
        unknown: String,
    },
}

/// How a fact is read. The reason comes first, because a structure whose fields all have
/// defaults would accept `{"unknown": …}` as itself. What no variant accepts was written by
/// another version of the program; one such field must not make a whole card unreadable.
#[derive(Deserialize)]
#[serde(untagged)]
enum Wire<T> {
    Unknown { unknown: String },
    Known(T),
    Foreign(IgnoredAny),
}

impl<T> From<Wire<T>> for Fact<T> {
    fn from(wire: Wire<T>) -> Self {
        match wire {
            Wire::Unknown { unknown } => Fact::Unknown { unknown },
            Wire::Known(value) => Fact::Known(value),
            Wire::Foreign(IgnoredAny) => {
                Fact::unknown("recorded in a form that this version cannot read")
            }
        }
    }
}

impl<T> Fact<T> {
    /// An absent value with its reason.
    pub fn unknown(reason: impl Into<String>) -> Self {
        Fact::Unknown { unknown: reason.into() }
    }

    /// The value, if there is one.
    pub fn known(&self) -> Option<&T> {
        match self {
            Fact::Known(value) => Some(value),
            Fact::Unknown { .. } => None,
        }
    }

    /// Why there is no value.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Fact::Known(_) => None,
            Fact::Unknown { unknown } => Some(unknown),
        }
    }

    /// The value or the reason by reference, for use with `?` and the combinators of `Result`.
    ///
    /// # Errors
    ///
    /// The reason why the value is not known.
    pub fn as_result(&self) -> Result<&T, &str> {
        match self {
            Fact::Known(value) => Ok(value),
            Fact::Unknown { unknown } => Err(unknown),
        }
    }
}

/// A card written before the field existed.
impl<T> Default for Fact<T> {
    fn default() -> Self {
        Fact::unknown("not recorded")
    }
}

impl<T> From<Result<T, String>> for Fact<T> {
    fn from(result: Result<T, String>) -> Self {
        match result {
            Ok(value) => Fact::Known(value),
            Err(unknown) => Fact::Unknown { unknown },
        }
    }
}

impl<T: fmt::Display> fmt::Display for Fact<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fact::Known(value) => value.fmt(f),
            Fact::Unknown { unknown } => write!(f, "unknown ({unknown})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(default)]
    struct Holder {
        number: Fact<u64>,
        inner: Fact<Inner>,
    }

    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(default)]
    struct Inner {
        name: String,
    }

    fn read(json: &str) -> Holder {
        serde_json::from_str(json).expect("valid JSON")
    }

    #[test]
    fn a_known_fact_is_the_bare_value() {
        let holder = Holder { number: Fact::Known(7), inner: Fact::unknown("no /sys") };
        let json = serde_json::to_string(&holder).expect("serializes");
        assert_eq!(json, r#"{"number":7,"inner":{"unknown":"no /sys"}}"#);
        assert_eq!(read(&json), holder);
    }

    #[test]
    fn a_missing_field_was_not_recorded() {
        assert_eq!(read("{}").number.reason(), Some("not recorded"));
        assert_eq!(read(r#"{"later":1}"#), Holder::default());
    }

    #[test]
    fn a_reason_is_no_structure_with_defaults() {
        assert_eq!(read(r#"{"inner":{"unknown":"x"}}"#).inner, Fact::unknown("x"));
        assert_eq!(read(r#"{"inner":{}}"#).inner, Fact::Known(Inner::default()));
    }

    #[test]
    fn a_foreign_form_is_unknown_and_not_an_error() {
        for json in [r#"{"number":"seven"}"#, r#"{"number":null}"#, r#"{"number":[1]}"#] {
            let holder = read(json);
            assert!(holder.number.reason().expect("unknown").contains("this version"), "{json}");
        }
    }

    #[test]
    fn display_tells_value_or_reason() {
        assert_eq!(Fact::Known(3).to_string(), "3");
        assert_eq!(Fact::<u8>::unknown("no /proc").to_string(), "unknown (no /proc)");
    }
}
