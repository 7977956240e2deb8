//! Packs of clicks: one cell after the other.

use serde::{Deserialize, Serialize};

use super::{super::Facts, Key, append, body, each, version};

/// Clicks under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // Named like the columns of the rollups.
pub struct Cell<'a> {
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

/// A pack being written.
pub struct Writer(Vec<u8>);

impl Default for Writer {
    fn default() -> Self {
        Self(vec![version(Facts::Clicks)])
    }
}

impl Writer {
    /// Adds a cell. Reports expect them in the order of parts, then of keys.
    ///
    /// # Errors
    /// Never: cells are made of what the format can hold.
    pub fn push(&mut self, cell: &Cell<'_>) -> sqlx::Result<()> {
        append(&mut self.0, cell)
    }

    /// The pack.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// The cells of a pack that [is known](super::is_known).
///
/// # Errors
/// Each, that the pack is damaged; it ends there.
pub fn read(pack: &[u8]) -> impl Iterator<Item = sqlx::Result<Cell<'_>>> {
    each(body(pack))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(cells in proptest::collection::vec((any::<u8>(), ".{0,40}", any::<[i64; 3]>()), 0..20)) {
            let written: Vec<Cell<'_>> = cells
                .iter()
                .map(|(part, key, [some, other, least])| Cell {
                    part: *part,
                    key: Key::of(key),
                    human_link: *some,
                    human_qr: *other,
                    bot_link: 0,
                    bot_qr: i64::MAX,
                    human_partner: *least,
                })
                .collect();
            let mut writer = Writer::default();
            for cell in &written {
                writer.push(cell).unwrap();
            }
            let pack = writer.finish();
            prop_assert_eq!(read(&pack).map(Result::unwrap).collect::<Vec<_>>(), written);
            // A damaged one says so and ends.
            if !cells.is_empty() {
                let cut = read(&pack[..pack.len() - 1]).collect::<Vec<_>>();
                prop_assert_eq!(cut.len(), cells.len());
                prop_assert!(cut.last().unwrap().is_err());
            }
        }
    }
}
