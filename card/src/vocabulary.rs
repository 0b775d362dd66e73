//! Words and rules that a later version may have added: one that this version does not know costs
//! what it stands for, and not the card.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// What is known by a word or a rule, or is [`Grows::UNKNOWN`].
pub(crate) trait Grows: DeserializeOwned {
    /// A word or a rule of a later version.
    const UNKNOWN: Self;
}

/// A word or a rule, known or not.
pub(crate) fn or_unknown<'de, D: Deserializer<'de>, T: Grows>(from: D) -> Result<T, D::Error> {
    Ok(T::deserialize(Value::deserialize(from)?).unwrap_or(T::UNKNOWN))
}

/// What is known of a list: things that go by an unknown word are left out.
pub(crate) fn known<'de, D, T>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let all = Vec::<Value>::deserialize(from)?;
    Ok(all.into_iter().filter_map(|value| T::deserialize(value).ok()).collect())
}
