//! How packs are written: a version, then a table by columns in the postcard format
//! (<https://postcard.jamesmunns.com/wire-format>). Reports look at hundreds of thousands of keys and at few numbers of each,
//! so any number can be read by itself, without those before it. Pure.

pub mod clicks;
mod columns;
pub mod conversions;

use bytes::Bytes;
use model::time::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::grain::Grain;

/// The first byte of a pack. What another release has written is not read, as if it weren't there; a release that changes it
/// takes all packs away in a migration, so that they are made anew, and lets no older release keep more.
const VERSION: u8 = 2;

/// A pack that was read.
#[derive(Debug)]
pub struct Pack {
    /// Of quarter-hours it holds those of a day.
    pub grain: Grain,
    /// The first moment.
    pub bucket: Timestamp,
    /// What it holds, in the format of this module; always a version that is known.
    pub cells: Bytes,
}

/// Whether a pack can be read.
#[must_use]
pub fn is_known(pack: &[u8]) -> bool {
    pack.first() == Some(&VERSION)
}

/// What a cell is counted under. Ids come first; both kinds in the order of their texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key<'a> {
    /// An id of a partner, program or link, as a number: reports compare hundreds of thousands of them.
    Id(u128),
    /// Everything else.
    Text(&'a str),
}

impl<'a> Key<'a> {
    /// The key that the rollups have as a text.
    #[must_use]
    pub fn of(text: &'a str) -> Self {
        let is_id = text.len() == uuid::fmt::Hyphenated::LENGTH && !text.bytes().any(|byte| byte.is_ascii_uppercase());
        match Uuid::try_parse(text) {
            Ok(id) if is_id => Self::Id(id.as_u128()),
            _ => Self::Text(text),
        }
    }
}

impl std::fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => std::fmt::Display::fmt(&Uuid::from_u128(*id), f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// A pack of a table.
fn pack(table: &impl Serialize) -> Result<Vec<u8>, Damaged> {
    postcard::to_extend(table, vec![VERSION]).map_err(|error| damaged(&error))
}

/// The table of a pack that [`is_known`]; what follows it is damage.
fn table<'a, T: Deserialize<'a>>(pack: &'a [u8]) -> Result<T, Damaged> {
    let (table, rest) =
        postcard::take_from_bytes(pack.get(1..).unwrap_or_default()).map_err(|error| damaged(&error))?;
    if rest.is_empty() { Ok(table) } else { Err(damaged(&"it is longer than it says")) }
}

/// A pack, or a sum in the rollups, that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("a pack of rollups: {0}; `control-api rollups rebuild` makes them anew")]
pub struct Damaged(String);

fn damaged(error: &impl std::fmt::Display) -> Damaged {
    Damaged(error.to_string())
}

/// A sum of 64-bit amounts, as the database writes numbers that may exceed them.
///
/// # Errors
/// That it is none.
pub fn whole(text: &str) -> Result<i128, Damaged> {
    text.parse().map_err(|error| damaged(&format_args!("a sum of integers can't be read: {error}: {text}")))
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
        for pack in [clicks::Writer::default().finish().unwrap(), conversions::Writer::default().finish().unwrap()] {
            assert!(is_known(&pack));
        }
        assert!(!is_known(&[]) && !is_known(&[VERSION + 1, 0]));
    }
}
