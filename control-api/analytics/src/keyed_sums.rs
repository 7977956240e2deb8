//! Sums under keys, in the order of the keys. Packs come in that order too, so adding one up is going along two lists: a
//! year of hundreds of thousands of cells has no hash to reckon and finds what it adds to close by. Pure.

use super::{group_key::GroupKey, pack::Key};

/// See the module.
#[derive(Debug)]
pub(crate) struct KeyedSums<'a, Sum> {
    /// In their order, each with the place of its sum.
    keys: Vec<(GroupKey<'a>, usize)>,
    /// In the order in which their keys came: sums are far larger than keys, and stay where they are.
    sums: Vec<Sum>,
    /// In their order: the only keys that are taken up, where not all are.
    only: Option<Vec<GroupKey<'a>>>,
}

impl<'a, Sum: Default> KeyedSums<'a, Sum> {
    /// An empty one, for all keys or for some.
    pub(crate) fn new(only: Option<Vec<GroupKey<'a>>>) -> Self {
        let only = only.map(|mut keys| {
            keys.sort_unstable();
            keys.dedup();
            keys
        });
        Self { keys: vec![], sums: vec![], only }
    }

    /// The only keys that are taken up, in their order; `None` where all are, or spans of time.
    pub(crate) fn keys(&self) -> Option<Vec<Key<'a>>> {
        let key = |under: &GroupKey<'a>| match under {
            GroupKey::Slot(_) => None,
            GroupKey::Key(key) => Some(*key),
        };
        self.only.as_ref()?.iter().map(key).collect()
    }

    /// Adds cells. They may come in any order, and should come in that of their keys.
    pub(crate) fn add<Cell>(
        &mut self,
        cells: impl IntoIterator<Item = (GroupKey<'a>, Cell)>,
        mut add: impl FnMut(&mut Sum, Cell),
    ) {
        let mut new: Vec<(GroupKey<'a>, usize)> = vec![];
        let (mut next, mut wanted) = (0, 0);
        let mut last = None;
        cells.into_iter().for_each(|(under, cell)| {
            if last.is_none_or(|last| under < last) {
                self.insert(&std::mem::take(&mut new));
                next = self.keys.partition_point(|(key, _)| *key < under);
                wanted = 0;
            }
            last = Some(under);
            if let Some(only) = &self.only {
                while only.get(wanted).is_some_and(|key| *key < under) {
                    wanted += 1;
                }
                if only.get(wanted) != Some(&under) {
                    return;
                }
            }
            while self.keys.get(next).is_some_and(|(key, _)| *key < under) {
                next += 1;
            }
            let place = match (self.keys.get(next), new.last()) {
                (Some((key, place)), _) if *key == under => *place,
                (_, Some((key, place))) if *key == under => *place,
                _ => {
                    new.push((under, self.sums.len()));
                    self.sums.push(Sum::default());
                    self.sums.len() - 1
                }
            };
            if let Some(sum) = self.sums.get_mut(place) {
                add(sum, cell);
            }
        });
        self.insert(&new);
    }

    /// Takes up keys that aren't there yet, which come in their order. They are few mostly, so what lies between two of
    /// them moves as a whole, from behind.
    fn insert(&mut self, new: &[(GroupKey<'a>, usize)]) {
        let mut end = self.keys.len();
        // Room for them; what it holds doesn't matter.
        self.keys.extend_from_slice(new);
        for (before, &(key, place)) in new.iter().enumerate().rev() {
            let at = self.keys.get(..end).unwrap_or_default().partition_point(|(other, _)| *other < key);
            self.keys.copy_within(at..end, at + before + 1);
            if let Some(slot) = self.keys.get_mut(at + before) {
                *slot = (key, place);
            }
            end = at;
        }
    }

    /// What was added up, each under its key, in the order of keys.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (GroupKey<'a>, &Sum)> {
        self.keys.iter().filter_map(|&(key, place)| Some((key, self.sums.get(place)?)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn adds_up_as_a_map_would(
            packs in proptest::collection::vec((proptest::collection::vec((0_u8..40, 1_i64..9), 0..30), any::<bool>()), 0..8),
            only in proptest::option::of(proptest::collection::vec(0_usize..50, 0..20)),
        ) {
            let texts: Vec<String> = (0..50).map(|number| format!("{number:02}")).collect();
            let only: Option<Vec<_>> = only.map(|keys| keys.iter().map(|key| GroupKey::key(&texts[*key])).collect());
            let (mut sums, mut map) = (KeyedSums::<i64>::new(only.clone()), BTreeMap::<GroupKey<'_>, i64>::new());
            for (mut cells, in_order) in packs {
                if in_order {
                    cells.sort_unstable();
                }
                let cells = cells.iter().map(|(key, count)| (GroupKey::key(&texts[usize::from(*key)]), *count));
                for (under, count) in cells.clone().filter(|(under, _)| only.as_ref().is_none_or(|only| only.contains(under))) {
                    *map.entry(under).or_default() += count;
                }
                sums.add(cells, |sum, count| *sum += count);
            }
            let found: Vec<_> = sums.groups().map(|(key, sum)| (key, *sum)).collect();
            prop_assert_eq!(found, map.into_iter().collect::<Vec<_>>());
        }
    }
}
