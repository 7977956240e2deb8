//! How packs are written: a version, then one cell after the other, as the postcard format has them
//! (<https://postcard.jamesmunns.com/wire-format>). Pure.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The first byte of every pack. What another release has written is not read, as if it weren't there; a release that
/// changes it takes all packs away in a migration, so that they are made anew.
const VERSION: u8 = 1;

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

/// Clicks under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // Named like the columns of the rollups.
pub struct Clicks<'a> {
    /// The quarter-hour of the day; of a week, the last day that counts; else 0.
    pub part: u8,
    #[serde(borrow)]
    pub key: Key<'a>,
    pub human_link: i64,
    pub human_qr: i64,
    pub bot_link: i64,
    pub bot_qr: i64,
    pub human_partner: i64,
}

/// Conversions under a key, of one pair of currencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // Named like the columns of the rollups.
pub struct Conversions<'a> {
    /// The quarter-hour of the day; else 0.
    pub part: u8,
    #[serde(borrow)]
    pub key: Key<'a>,
    pub bot: bool,
    pub currency: &'a str,
    pub reward_currency: &'a str,
    /// The latest click, and the name that the key had then; empty: none.
    pub click: Uuid,
    pub label: &'a str,
    pub leads: i64,
    pub sales: i64,
    pub refunds: i64,
    pub cancellations: i64,
    pub reversals: i64,
    pub gross: i128,
    pub negative: i128,
    pub reward: i128,
}

/// A pack being written.
pub struct Writer(Vec<u8>);

impl Default for Writer {
    fn default() -> Self {
        Self(vec![VERSION])
    }
}

impl Writer {
    /// Adds a cell.
    ///
    /// # Errors
    /// Never: cells are made of what the format can hold.
    pub fn push(&mut self, cell: &impl Serialize) -> sqlx::Result<()> {
        let bytes = std::mem::take(&mut self.0);
        self.0 = postcard::to_extend(cell, bytes).map_err(|error| damaged(&error))?;
        Ok(())
    }

    /// The pack.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Whether a pack can be read.
#[must_use]
pub fn is_known(pack: &[u8]) -> bool {
    pack.first() == Some(&VERSION)
}

/// The cells of a pack that [`is_known`].
///
/// # Errors
/// Each, that the pack is damaged; it ends there.
pub fn cells<'a, Cell: Deserialize<'a>>(pack: &'a [u8]) -> impl Iterator<Item = sqlx::Result<Cell>> {
    let mut rest = pack.get(1..).unwrap_or_default();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let taken = postcard::take_from_bytes(rest);
        rest = taken.as_ref().map_or(&[], |(_, rest)| rest);
        Some(taken.map(|(cell, _)| cell).map_err(|error| damaged(&error)))
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
        fn what_is_written_is_read(
            texts in proptest::collection::vec((any::<String>(), any::<u128>(), any::<bool>(), any::<i64>(), any::<i128>()), 0..20)
        ) {
            let written: Vec<Conversions<'_>> = texts
                .iter()
                .map(|(text, id, bot, count, amount)| Conversions {
                    part: id.to_be_bytes()[0],
                    key: if *bot { Key::Id(Uuid::from_u128(*id)) } else { Key::Text(text) },
                    bot: *bot,
                    currency: text,
                    reward_currency: "",
                    click: Uuid::from_u128(!*id),
                    label: text,
                    leads: *count,
                    sales: 0,
                    refunds: *count / 2,
                    cancellations: 1,
                    reversals: i64::MAX,
                    gross: *amount,
                    negative: *amount / 3,
                    reward: i128::MIN,
                })
                .collect();
            let mut writer = Writer::default();
            for cell in &written {
                writer.push(cell).unwrap();
            }
            let pack = writer.finish();
            prop_assert!(is_known(&pack));
            let read: Vec<Conversions<'_>> = cells(&pack).map(Result::unwrap).collect();
            prop_assert_eq!(&read, &written);
            // A damaged one says so and ends.
            if !written.is_empty() {
                let cut = cells::<Conversions<'_>>(&pack[..pack.len() - 1]).collect::<Vec<_>>();
                prop_assert_eq!(cut.len(), written.len());
                prop_assert!(cut.last().unwrap().is_err());
            }
        }

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
        assert!(!is_known(&[]) && !is_known(&[VERSION + 1, 0]) && is_known(&Writer::default().finish()));
    }
}
