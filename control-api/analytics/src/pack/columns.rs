//! The columns of a pack's table.

use serde::{Deserialize, Serialize};

use super::{Damaged, Key, damaged};

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

    /// All keys, or those of some, which come in their order too. Each with its place.
    pub(super) fn places<'k>(&'k self, only: Option<&'k [Key<'k>]>) -> impl Iterator<Item = (usize, Key<'a>)> {
        let all = only.is_none().then(|| self.ids().chain(self.texts.iter().map(|text| Key::Text(text))).enumerate());
        let some = only.map(|keys| self.find(keys));
        all.into_iter().flatten().chain(some.into_iter().flatten())
    }

    fn ids(&self) -> impl Iterator<Item = Key<'a>> {
        self.ids.as_chunks().0.iter().map(|id| Key::Id(u128::from_be_bytes(*id)))
    }

    /// Few keys among many: each is searched from where the one before was found, in steps that double.
    fn find<'k>(&'k self, keys: &'k [Key<'k>]) -> impl Iterator<Item = (usize, Key<'a>)> {
        let mut from = 0;
        keys.iter().flat_map(move |key| {
            let is_before = |place: usize| self.at(place).is_some_and(|at| at < *key);
            let mut step = 1;
            while is_before(from + step) {
                from += step;
                step *= 2;
            }
            let mut to = (from + step).min(self.len());
            while from < to {
                let middle = from.midpoint(to);
                if is_before(middle) { from = middle + 1 } else { to = middle }
            }
            (from..).map_while(|place| Some((place, self.at(place)?))).take_while(move |(_, at)| at == key)
        })
    }

    fn at(&self, place: usize) -> Option<Key<'a>> {
        let ids = self.ids.as_chunks().0;
        match ids.get(place) {
            Some(id) => Some(Key::Id(u128::from_be_bytes(*id))),
            None => self.texts.get(place.checked_sub(ids.len())?).map(|text| Key::Text(text)),
        }
    }
}

/// Numbers from 0 on, each in as many bytes as the greatest of them needs: none, 1, 2, 4, 8 or 16, the least significant first.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Column<Bytes> {
    width: u8,
    bytes: Bytes,
}

impl Column<Vec<u8>> {
    pub(super) fn of(numbers: impl Iterator<Item = u128> + Clone) -> Self {
        let width = match numbers.clone().max().unwrap_or(0) {
            0 => 0,
            1..=0xff => 1,
            0x100..=0xffff => 2,
            0x1_0000..=0xffff_ffff => 4,
            0x1_0000_0000..=0xffff_ffff_ffff_ffff => 8,
            _ => 16,
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
    pub(super) fn check(&self, len: usize) -> Result<(), Damaged> {
        match self.width {
            0 | 1 | 2 | 4 | 8 | 16 if self.bytes.len() == len * usize::from(self.width) => Ok(()),
            _ => Err(damaged(&"a column is not as long as the keys")),
        }
    }

    /// The number at a place; 0 beyond the end.
    pub(super) fn at(&self, place: usize) -> u128 {
        fn read<const WIDTH: usize>(bytes: &[u8], place: usize) -> [u8; WIDTH] {
            bytes.as_chunks().0.get(place).copied().unwrap_or([0; WIDTH])
        }
        match self.width {
            0 => 0,
            1 => self.bytes.get(place).copied().unwrap_or(0).into(),
            2 => u16::from_le_bytes(read(self.bytes, place)).into(),
            4 => u32::from_le_bytes(read(self.bytes, place)).into(),
            8 => u64::from_le_bytes(read(self.bytes, place)).into(),
            _ => u128::from_le_bytes(read(self.bytes, place)),
        }
    }

    /// All of them.
    pub(super) fn sum(&self) -> i64 {
        let width = usize::from(self.width).max(1);
        (0..self.bytes.len() / width).map(|place| self.count(place)).sum()
    }

    /// The count at a place.
    #[allow(clippy::cast_possible_truncation)] // ClickCounts were written.
    pub(super) fn count(&self, place: usize) -> i64 {
        self.at(place) as i64
    }

    /// The place at a place.
    pub(super) fn place(&self, place: usize) -> usize {
        usize::try_from(self.at(place)).unwrap_or(usize::MAX)
    }

    /// Where a run ends, of which the column says the ends: it begins where the one before ends.
    pub(super) fn run(&self, place: usize) -> std::ops::Range<usize> {
        place.checked_sub(1).map_or(0, |before| self.place(before))..self.place(place)
    }

    /// The amount at a place, which may be negative.
    pub(super) fn amount(&self, place: usize) -> i128 {
        let number = self.at(place);
        (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
    }
}

/// A count as columns hold it: those of the rollups are 0 or more.
pub(super) fn number(count: i64) -> u128 {
    count.max(0).unsigned_abs().into()
}

/// An amount as columns hold it: small ones of either sign are small numbers.
pub(super) const fn signed(amount: i128) -> u128 {
    (amount << 1).cast_unsigned() ^ (amount >> 127).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_stand_where_they_were_put(
            numbers in (0..128_u32).prop_flat_map(|bits| proptest::collection::vec(0..=(u128::MAX >> bits), 0..20))
        ) {
            let written = Column::of(numbers.iter().copied());
            let column = Column { width: written.width, bytes: &*written.bytes };
            column.check(numbers.len()).unwrap();
            prop_assert!(column.width == 0 || column.check(numbers.len() + 1).is_err());
            let read: Vec<u128> = (0..numbers.len()).map(|place| column.at(place)).collect();
            prop_assert_eq!(read, numbers);
        }

        #[test]
        fn amounts_keep_their_sign(amounts in proptest::collection::vec(any::<i128>(), 0..20)) {
            let written = Column::of(amounts.iter().map(|amount| signed(*amount)));
            let column = Column { width: written.width, bytes: &*written.bytes };
            prop_assert_eq!((0..amounts.len()).map(|place| column.amount(place)).collect::<Vec<_>>(), amounts);
        }

        #[test]
        fn keys_are_found(
            keys in proptest::collection::vec(prop_oneof!["[a-c]{0,2}".prop_map(Err), (0_u128..60).prop_map(Ok)], 0..60),
            wanted in proptest::collection::btree_set(prop_oneof!["[a-c]{0,2}".prop_map(Err), (0_u128..60).prop_map(Ok)], 0..20),
        ) {
            fn key(of: &Result<u128, String>) -> Key<'_> {
                of.as_ref().map_or_else(|text| Key::Text(text), |id| Key::Id(*id))
            }
            let mut sorted: Vec<_> = keys.iter().map(key).collect();
            sorted.sort_unstable();
            let mut wanted: Vec<_> = wanted.iter().map(key).collect();
            wanted.sort_unstable();
            let written = Keys::of(sorted.iter().copied());
            let read = Keys { ids: &*written.ids, texts: written.texts.iter().map(String::as_str).collect() };
            let all: Vec<_> = sorted.iter().copied().enumerate().collect();
            prop_assert_eq!(read.len(), all.len());
            prop_assert_eq!(&read.places(None).collect::<Vec<_>>(), &all);
            let some: Vec<_> = all.into_iter().filter(|(_, key)| wanted.contains(key)).collect();
            prop_assert_eq!(read.places(Some(&wanted)).collect::<Vec<_>>(), some);
        }
    }
}
