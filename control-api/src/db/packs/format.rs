//! How packs are written: a version, then what it holds in the postcard format
//! (<https://postcard.jamesmunns.com/wire-format>). Pure.

pub mod clicks;
pub mod conversions;

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Facts;

/// The first byte of a pack. What another release has written is not read, as if it weren't there; a release that changes it
/// takes all packs of these facts away in a migration, so that they are made anew, and lets no older release keep more.
const fn version(facts: Facts) -> u8 {
    match facts {
        Facts::Clicks => 1,
        Facts::Conversions => 2,
    }
}

/// Whether a pack can be read.
#[must_use]
pub fn is_known(facts: Facts, pack: &[u8]) -> bool {
    pack.first() == Some(&version(facts))
}

/// What a cell is counted under: ids take 16 bytes of 36.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Key<'a> {
    /// An id of a partner, program or link.
    Id(Uuid),
    /// Everything else.
    Text(&'a str),
}

impl<'a> Key<'a> {
    /// The key that the rollups have as a text.
    #[must_use]
    pub fn of(text: &'a str) -> Self {
        let is_id = text.len() == uuid::fmt::Hyphenated::LENGTH && !text.bytes().any(|byte| byte.is_ascii_uppercase());
        match Uuid::try_parse(text) {
            Ok(id) if is_id => Self::Id(id),
            _ => Self::Text(text),
        }
    }
}

/// Ids first, each in the order of its text. Two numbers compare without a call, and reports do little else.
impl Ord for Key<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Id(one), Self::Id(other)) => one.as_u128().cmp(&other.as_u128()),
            (Self::Id(_), Self::Text(_)) => Ordering::Less,
            (Self::Text(_), Self::Id(_)) => Ordering::Greater,
            (Self::Text(one), Self::Text(other)) => one.cmp(other),
        }
    }
}

impl PartialOrd for Key<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl std::fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => std::fmt::Display::fmt(id, f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// What follows the version.
fn body(pack: &[u8]) -> &[u8] {
    pack.get(1..).unwrap_or_default()
}

/// Adds something at the end.
fn append(bytes: &mut Vec<u8>, value: &impl Serialize) -> sqlx::Result<()> {
    *bytes = postcard::to_extend(value, std::mem::take(bytes)).map_err(|error| damaged(&error))?;
    Ok(())
}

/// Reads what comes next and leaves the rest.
fn take<'a, T: Deserialize<'a>>(rest: &mut &'a [u8]) -> sqlx::Result<T> {
    let (value, after) = postcard::take_from_bytes(rest).map_err(|error| damaged(&error))?;
    *rest = after;
    Ok(value)
}

/// Reads one after the other, up to the end or to what is damaged.
fn each<'a, T: Deserialize<'a>>(mut rest: &'a [u8]) -> impl Iterator<Item = sqlx::Result<T>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let taken = take(&mut rest);
        if taken.is_err() {
            rest = &[];
        }
        Some(taken)
    })
}

fn damaged(error: &postcard::Error) -> sqlx::Error {
    sqlx::Error::Decode(format!("a pack of rollups: {error}; `control-api rollups rebuild` makes them anew").into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_key_reads_as_it_was(text in ".{0,40}", id in any::<u128>()) {
            prop_assert_eq!(&Key::of(&text).to_string(), &text);
            let id = Uuid::from_u128(id).to_string();
            prop_assert!(matches!(Key::of(&id), Key::Id(_)));
            prop_assert_eq!(&Key::of(&id).to_string(), &id);
            let upper = id.to_uppercase();
            prop_assert_eq!(&Key::of(&upper).to_string(), &upper);
        }
    }

    #[test]
    fn what_another_release_wrote_is_not_read() {
        for (facts, pack) in [
            (Facts::Clicks, clicks::Writer::default().finish()),
            (Facts::Conversions, conversions::Writer::default().finish().unwrap()),
        ] {
            assert!(is_known(facts, &pack), "{facts}");
            assert!(!is_known(facts, &[]) && !is_known(facts, &[version(facts) + 1, 0]), "{facts}");
        }
    }
}
