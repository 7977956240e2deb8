//! Sums under keys, in the order of the keys. Packs come in that order too, so adding one up is going along two lists: a
//! year of a hundred thousand cells has no hash to reckon and finds what it adds to close by. Pure.

use super::keys::Under;

/// See the module.
#[derive(Debug)]
pub(super) struct Ledger<'a, Sum> {
    /// In their order, each with the place of its sum.
    keys: Vec<(Under<'a>, usize)>,
    /// In the order in which their keys came: sums are far larger than keys, and stay where they are.
    sums: Vec<Sum>,
}

impl<Sum> Default for Ledger<'_, Sum> {
    fn default() -> Self {
        Self { keys: vec![], sums: vec![] }
    }
}

impl<'a, Sum: Default> Ledger<'a, Sum> {
    /// Adds cells. They may come in any order, and should come in that of their keys.
    pub(super) fn add<Cell>(
        &mut self,
        cells: impl IntoIterator<Item = sqlx::Result<(Under<'a>, Cell)>>,
        mut add: impl FnMut(&mut Sum, Cell),
    ) -> sqlx::Result<()> {
        let mut new: Vec<(Under<'a>, usize)> = vec![];
        let mut next = 0;
        let mut last = None;
        for cell in cells {
            let (under, cell) = cell?;
            if last.is_none_or(|last| under < last) {
                self.insert(std::mem::take(&mut new));
                next = self.keys.partition_point(|(key, _)| *key < under);
            }
            last = Some(under);
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
        }
        self.insert(new);
        Ok(())
    }

    /// Takes up keys that aren't there yet, which come in their order.
    fn insert(&mut self, new: Vec<(Under<'a>, usize)>) {
        if new.is_empty() {
            return;
        }
        let in_order = self.keys.last() < new.first();
        self.keys.extend(new);
        if !in_order {
            // Two runs, which a stable sort merges.
            self.keys.sort();
        }
    }

    /// What was added up.
    pub(super) fn sums(&self) -> impl Iterator<Item = &Sum> {
        self.sums.iter()
    }

    /// What was added up, each under its key, in the order of keys.
    pub(super) fn into_groups(mut self) -> impl Iterator<Item = (Under<'a>, Sum)> {
        self.keys
            .into_iter()
            .map(move |(key, place)| (key, self.sums.get_mut(place).map(std::mem::take).unwrap_or_default()))
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
            packs in proptest::collection::vec((proptest::collection::vec((0_u8..40, 1_i64..9), 0..30), any::<bool>()), 0..8)
        ) {
            let texts: Vec<String> = (0..40).map(|number| format!("{number:02}")).collect();
            let (mut ledger, mut map) = (Ledger::<i64>::default(), BTreeMap::<Under<'_>, i64>::new());
            for (mut cells, in_order) in packs {
                if in_order {
                    cells.sort_unstable();
                }
                let cells = cells.iter().map(|(key, count)| (Under::key(&texts[usize::from(*key)]), *count));
                for (under, count) in cells.clone() {
                    *map.entry(under).or_default() += count;
                }
                ledger.add(cells.map(Ok), |sum, count| *sum += count).unwrap();
            }
            prop_assert_eq!(ledger.into_groups().collect::<Vec<_>>(), map.into_iter().collect::<Vec<_>>());
        }
    }
}
