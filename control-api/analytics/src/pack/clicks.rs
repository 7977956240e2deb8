//! Packs of clicks.

use serde::{Deserialize, Serialize};

use super::{
    Damaged, Key,
    columns::{Column, Keys, number},
    pack, table,
};
use crate::counts::ClickCounts;

/// Clicks under keys, in the order of keys, then of parts.
#[derive(Serialize, Deserialize)]
pub struct Table<Bytes, Text> {
    keys: Keys<Bytes, Text>,
    part: Column<Bytes>,
    human_link: Column<Bytes>,
    human_qr: Column<Bytes>,
    bot_link: Column<Bytes>,
    bot_qr: Column<Bytes>,
    human_partner: Column<Bytes>,
}

/// A table in a pack.
pub type OpenTable<'a> = Table<&'a [u8], &'a str>;

impl<'a> OpenTable<'a> {
    /// Reads a pack that [is known](super::is_known).
    ///
    /// # Errors
    /// That it is damaged.
    pub fn read(pack: &'a [u8]) -> Result<Self, Damaged> {
        let read: Self = table(pack)?;
        let Self { keys, part, human_link, human_qr, bot_link, bot_qr, human_partner } = &read;
        for column in [part, human_link, human_qr, bot_link, bot_qr, human_partner] {
            column.check(keys.len())?;
        }
        Ok(read)
    }

    /// All keys, or those of some, which come in their order. Each with its place.
    pub fn places<'k>(&'k self, only: Option<&'k [Key<'k>]>) -> impl Iterator<Item = (usize, Key<'a>)> {
        self.keys.places(only)
    }

    /// The quarter-hour of the day; of a week, the last day that counts; else 0.
    #[must_use]
    pub fn part(&self, place: usize) -> i64 {
        self.part.count(place)
    }

    /// What is counted under all keys.
    #[must_use]
    pub fn totals(&self) -> ClickCounts {
        ClickCounts {
            human_link: self.human_link.sum(),
            human_qr: self.human_qr.sum(),
            bot_link: self.bot_link.sum(),
            bot_qr: self.bot_qr.sum(),
            human_partner: self.human_partner.sum(),
        }
    }

    /// What is counted under one.
    #[must_use]
    pub fn counts(&self, place: usize) -> ClickCounts {
        ClickCounts {
            human_link: self.human_link.count(place),
            human_qr: self.human_qr.count(place),
            bot_link: self.bot_link.count(place),
            bot_qr: self.bot_qr.count(place),
            human_partner: self.human_partner.count(place),
        }
    }
}

/// A pack being written.
#[derive(Default)]
pub struct Writer(Vec<(String, u8, ClickCounts)>);

impl Writer {
    /// Adds what is counted under a key, in any order.
    pub fn push(&mut self, key: String, part: u8, counts: ClickCounts) {
        self.0.push((key, part, counts));
    }

    /// The pack.
    ///
    /// # Errors
    /// Never: the format can hold any table.
    pub fn finish(self) -> Result<Vec<u8>, Damaged> {
        let mut rows: Vec<_> = self.0.iter().map(|(key, part, counts)| (Key::of(key), *part, counts)).collect();
        rows.sort_unstable_by_key(|(key, part, _)| (*key, *part));
        let column = |of: fn(&ClickCounts) -> i64| Column::of(rows.iter().map(|(.., counts)| number(of(counts))));
        pack(&Table {
            keys: Keys::of(rows.iter().map(|(key, ..)| *key)),
            part: Column::of(rows.iter().map(|(_, part, _)| u128::from(*part))),
            human_link: column(|counts| counts.human_link),
            human_qr: column(|counts| counts.human_qr),
            bot_link: column(|counts| counts.bot_link),
            bot_qr: column(|counts| counts.bot_qr),
            human_partner: column(|counts| counts.human_partner),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    type Told = Vec<((String, u8), ClickCounts)>;

    fn told(pack: &[u8]) -> Result<Told, Damaged> {
        let table = Table::read(pack)?;
        let part = |place| u8::try_from(table.part(place)).unwrap();
        Ok(table.places(None).map(|(place, key)| ((key.to_string(), part(place)), table.counts(place))).collect())
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            cells in proptest::collection::btree_map(
                (prop_oneof![".{0,9}", any::<u128>().prop_map(|id| uuid::Uuid::from_u128(id).to_string())], 0_u8..3),
                (0..=i64::MAX, 0..70_000_i64, 0..2_i64),
                0..20,
            )
        ) {
            let expected: BTreeMap<_, _> = cells
                .iter()
                .map(|(key, (human_link, bot_qr, human_partner))| {
                    let counts = ClickCounts {
                        human_link: *human_link,
                        human_qr: 0,
                        bot_link: 255,
                        bot_qr: *bot_qr,
                        human_partner: *human_partner,
                    };
                    (key.clone(), counts)
                })
                .collect();
            let mut writer = Writer::default();
            for ((key, part), counts) in expected.iter().rev() {
                writer.push(key.clone(), *part, *counts);
            }
            let pack = writer.finish().unwrap();
            let read = told(&pack).unwrap();
            prop_assert!(read.is_sorted_by_key(|((key, part), _)| (Key::of(key), *part)));
            prop_assert_eq!(read.into_iter().collect::<BTreeMap<_, _>>(), expected);
            // A damaged one says so.
            prop_assert!(told(&pack[..pack.len() - 1]).is_err());
            prop_assert!(told(&[&*pack, &[0]].concat()).is_err());
        }
    }
}
