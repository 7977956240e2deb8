//! The columns of a pack's table.

use serde::{Deserialize, Serialize};

use super::{Key, damaged};

/// Keys in their order: all ids, then all texts.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Keys<Bytes, Text> {
    ids: Bytes,
    texts: Vec<Text>,
}

const ID: usize = 16;

impl Keys<Vec<u8>, String> {
    pub(super) fn of<'a>(keys: impl Iterator<Item = Key<'a>>) -> Self {
        let (mut ids, mut texts) = (vec![], vec![]);
        for key in keys {
            match key {
                Key::Id(id) => ids.extend_from_slice(&id.to_be_bytes()),
                Key::Text(text) => texts.push(text.to_owned()),
            }
        }
        Self { ids, texts }
    }
}

impl<'a> Keys<&'a [u8], &'a str> {
    pub(super) fn len(&self) -> usize {
        self.ids.len() / ID + self.texts.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Key<'a>> {
        let (ids, _) = self.ids.as_chunks();
        ids.iter().map(|id| Key::Id(u128::from_be_bytes(*id))).chain(self.texts.iter().map(|text| Key::Text(text)))
    }
}

/// Numbers from 0 on, each in as many bytes as the greatest of them needs: none, 1, 2, 4 or 8, the least significant first.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Column<Bytes> {
    width: u8,
    bytes: Bytes,
}

impl Column<Vec<u8>> {
    pub(super) fn of(numbers: impl Iterator<Item = u64> + Clone) -> Self {
        let width = match numbers.clone().max().unwrap_or(0) {
            0 => 0,
            1..=0xff => 1,
            0x100..=0xffff => 2,
            0x1_0000..=0xffff_ffff => 4,
            _ => 8,
        };
        let mut bytes = vec![];
        for number in numbers {
            bytes.extend(number.to_le_bytes().iter().take(width.into()));
        }
        Self { width, bytes }
    }
}

impl Column<&[u8]> {
    /// # Errors
    /// That it doesn't hold so many numbers.
    pub(super) fn check(&self, len: usize) -> sqlx::Result<()> {
        match self.width {
            0 | 1 | 2 | 4 | 8 if self.bytes.len() == len * usize::from(self.width) => Ok(()),
            _ => Err(damaged(&"a column is not as long as the keys")),
        }
    }

    /// The number at a place; 0 beyond the end.
    pub(super) fn at(&self, place: usize) -> u64 {
        fn read<const WIDTH: usize>(bytes: &[u8], place: usize) -> [u8; WIDTH] {
            bytes.as_chunks().0.get(place).copied().unwrap_or([0; WIDTH])
        }
        match self.width {
            0 => 0,
            1 => self.bytes.get(place).copied().unwrap_or(0).into(),
            2 => u16::from_le_bytes(read(self.bytes, place)).into(),
            4 => u32::from_le_bytes(read(self.bytes, place)).into(),
            _ => u64::from_le_bytes(read(self.bytes, place)),
        }
    }

    /// All of them.
    pub(super) fn sum(&self) -> i64 {
        let width = usize::from(self.width).max(1);
        (0..self.bytes.len() / width).map(|place| self.count(place)).sum()
    }

    /// The count at a place.
    #[allow(clippy::cast_possible_wrap)] // Counts were written.
    pub(super) fn count(&self, place: usize) -> i64 {
        self.at(place) as i64
    }
}

/// A count as columns hold it: those of the rollups are 0 or more.
pub(super) fn number(count: i64) -> u64 {
    count.max(0).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_stand_where_they_were_put(
            numbers in (0..64_u32).prop_flat_map(|bits| proptest::collection::vec(0..=(u64::MAX >> bits), 0..20))
        ) {
            let written = Column::of(numbers.iter().copied());
            let column = Column { width: written.width, bytes: &*written.bytes };
            column.check(numbers.len()).unwrap();
            prop_assert!(column.width == 0 || column.check(numbers.len() + 1).is_err());
            let read: Vec<u64> = (0..numbers.len()).map(|place| column.at(place)).collect();
            prop_assert_eq!(read, numbers);
        }
    }
}
