//! Packs of conversions: what all of them come to, and a table of groups.
//!
//! A report ranks thousands of groups and shows some of them. So what a group is ranked by stands in columns, and what it comes
//! to by currency and how it was named in a piece that is read only of those that are shown.

use std::ops::{AddAssign, SubAssign};

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use uuid::Uuid;

use super::{
    Key, append,
    columns::{Column, Keys, number},
    damaged, pack, table, take,
};

/// What conversions come to, of one pair of currencies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // Named like the columns of the rollups.
pub struct Numbers {
    pub leads: i64,
    pub sales: i64,
    pub refunds: i64,
    pub cancellations: i64,
    pub reversals: i64,
    pub gross: i128,
    pub negative: i128,
    pub reward: i128,
}

/// The currency of amounts and that of rewards; empty: there are none.
pub type Pair<Text> = (Text, Text);

/// What conversions of one pair of currencies come to in a whole pack, by whether their clicks were a bot's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // Named like the columns of the rollups.
pub struct Total<Text> {
    pub bot: bool,
    pub pair: Pair<Text>,
    pub numbers: Numbers,
}

/// Groups, in the order of keys, then of parts; those of bots behind the others.
#[derive(Serialize, Deserialize)]
pub struct Table<Bytes, Text> {
    totals: Vec<Total<Text>>,
    keys: Keys<Bytes, Text>,
    part: Column<Bytes>,
    bot: Column<Bytes>,
    sales: Column<Bytes>,
    leads: Column<Bytes>,
    /// Where the details of each end.
    ends: Column<Bytes>,
    details: Bytes,
}

/// A table in a pack.
pub type OpenTable<'a> = Table<&'a [u8], &'a str>;

impl<'a> OpenTable<'a> {
    /// Reads a pack that [is known](super::is_known).
    ///
    /// # Errors
    /// That it is damaged.
    pub fn read(pack: &'a [u8]) -> sqlx::Result<Self> {
        let read: Self = table(pack)?;
        let Self { totals: _, keys, part, bot, sales, leads, ends, details: _ } = &read;
        for column in [part, bot, sales, leads, ends] {
            column.check(keys.len())?;
        }
        Ok(read)
    }

    /// What all conversions come to, by bot and pair of currencies.
    #[must_use]
    pub fn totals(&self) -> &[Total<&'a str>] {
        &self.totals
    }

    /// The keys of groups, by place.
    pub fn keys(&self) -> impl Iterator<Item = Key<'a>> {
        self.keys.iter()
    }

    /// The quarter-hour of the day; else 0.
    #[must_use]
    pub fn part(&self, place: usize) -> i64 {
        self.part.count(place)
    }

    /// Whether their clicks were a bot's.
    #[must_use]
    pub fn bot(&self, place: usize) -> bool {
        self.bot.at(place) > 0
    }

    /// Sales and leads: what a group is ranked by.
    #[must_use]
    pub fn rank(&self, place: usize) -> (i64, i64) {
        (self.sales.count(place), self.leads.count(place))
    }

    /// How a group was named, and what it comes to.
    ///
    /// # Errors
    /// That the pack is damaged.
    pub fn details(&self, place: usize) -> sqlx::Result<Details<'a>> {
        let end = |place: usize| usize::try_from(self.ends.at(place)).unwrap_or(usize::MAX);
        let start = place.checked_sub(1).map_or(0, end);
        let details = self.details.get(start..end(place)).ok_or_else(|| damaged(&"details lie beyond its end"))?;
        take(&mut &*details)
    }
}

/// How a group was named, and what it comes to.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details<'a> {
    /// The latest click, and the name that the key had then; empty: none.
    #[serde(borrow)]
    pub latest: (Uuid, &'a str),
    /// By pair of currencies: its place among the totals.
    pub numbers: SmallVec<[(usize, Numbers); 2]>,
}

/// What the rollups hold under a key, of one pair of currencies.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // Named like the columns of the rollups.
pub struct Cell {
    pub key: String,
    /// The quarter-hour of the day; else 0.
    pub part: u8,
    pub bot: bool,
    pub pair: Pair<String>,
    /// The latest click, and the name that the key had then; empty: none.
    pub latest: (Uuid, String),
    pub numbers: Numbers,
}

/// A pack being written.
#[derive(Default)]
pub struct Writer(Vec<Cell>);

impl Writer {
    /// Adds what is counted under a key, in any order.
    pub fn push(&mut self, cell: Cell) {
        self.0.push(cell);
    }

    /// The pack.
    ///
    /// # Errors
    /// Never: the format can hold any table.
    pub fn finish(self) -> sqlx::Result<Vec<u8>> {
        let mut cells: Vec<_> = self.0.iter().map(|cell| ((Key::of(&cell.key), cell.part, cell.bot), cell)).collect();
        cells.sort_unstable_by_key(|(group, cell)| (*group, &cell.pair));
        let mut totals: Vec<Total<String>> = vec![];
        let (mut ranks, mut ends, mut details) = (vec![], vec![], vec![]);
        for group in cells.chunk_by(|(one, _), (other, _)| one == other) {
            let mut come_to = Details { latest: (Uuid::nil(), ""), numbers: SmallVec::new() };
            let (mut sales, mut leads) = (0, 0);
            for (_, cell) in group {
                let place = total(&mut totals, cell);
                come_to.latest = come_to.latest.max((cell.latest.0, &cell.latest.1));
                come_to.numbers.push((place, cell.numbers));
                sales += number(cell.numbers.sales);
                leads += number(cell.numbers.leads);
            }
            append(&mut details, &come_to)?;
            ends.push(details.len() as u64);
            ranks.push((sales, leads));
        }
        cells.dedup_by_key(|(group, _)| *group);
        let groups = || cells.iter().map(|(group, _)| *group);
        pack(&Table {
            totals,
            keys: Keys::of(groups().map(|(key, ..)| key)),
            part: Column::of(groups().map(|(_, part, _)| part.into())),
            bot: Column::of(groups().map(|(.., bot)| bot.into())),
            sales: Column::of(ranks.iter().map(|(sales, _)| *sales)),
            leads: Column::of(ranks.iter().map(|(_, leads)| *leads)),
            ends: Column::of(ends.iter().copied()),
            details,
        })
    }
}

/// Counts a cell in its total, and answers the total's place.
fn total(totals: &mut Vec<Total<String>>, cell: &Cell) -> usize {
    let place = totals.iter().position(|total| total.bot == cell.bot && total.pair == cell.pair).unwrap_or_else(|| {
        totals.push(Total { bot: cell.bot, pair: cell.pair.clone(), numbers: Numbers::default() });
        totals.len() - 1
    });
    if let Some(total) = totals.get_mut(place) {
        total.numbers += cell.numbers;
    }
    place
}

impl Numbers {
    /// Conversions of all types.
    #[must_use]
    pub const fn conversions(&self) -> i64 {
        self.leads + self.sales + self.refunds + self.cancellations + self.reversals
    }
}

impl AddAssign for Numbers {
    fn add_assign(&mut self, other: Self) {
        self.leads += other.leads;
        self.sales += other.sales;
        self.refunds += other.refunds;
        self.cancellations += other.cancellations;
        self.reversals += other.reversals;
        self.gross += other.gross;
        self.negative += other.negative;
        self.reward += other.reward;
    }
}

impl SubAssign for Numbers {
    fn sub_assign(&mut self, other: Self) {
        self.leads -= other.leads;
        self.sales -= other.sales;
        self.refunds -= other.refunds;
        self.cancellations -= other.cancellations;
        self.reversals -= other.reversals;
        self.gross -= other.gross;
        self.negative -= other.negative;
        self.reward -= other.reward;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    type Told = BTreeMap<(String, u8, bool), ((Uuid, String), Vec<(Pair<String>, Numbers)>)>;

    /// Everything that a pack says; totals and ranks are checked against what they sum up.
    fn told(pack: &[u8]) -> sqlx::Result<Told> {
        let table = Table::read(pack)?;
        let mut sums = vec![Numbers::default(); table.totals().len()];
        let mut told = Told::new();
        for (place, key) in table.keys().enumerate() {
            let Details { latest, numbers } = table.details(place)?;
            let mut counted = (0, 0);
            let mut cells = vec![];
            for (total, numbers) in numbers {
                sums[total] += numbers;
                counted = (counted.0 + numbers.sales, counted.1 + numbers.leads);
                assert_eq!(table.totals()[total].bot, table.bot(place));
                let (currency, reward_currency) = table.totals()[total].pair;
                cells.push(((currency.to_owned(), reward_currency.to_owned()), numbers));
            }
            assert_eq!(table.rank(place), counted);
            let group = (key.to_string(), u8::try_from(table.part(place)).unwrap(), table.bot(place));
            told.insert(group, ((latest.0, latest.1.to_owned()), cells));
        }
        assert_eq!(table.totals().iter().map(|total| total.numbers).collect::<Vec<_>>(), sums);
        Ok(told)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            cells in proptest::collection::btree_map(
                (prop_oneof!["[ab]", any::<u128>().prop_map(|id| Uuid::from_u128(id).to_string())], 0_u8..3, any::<bool>(), 0..3_usize),
                (any::<u128>(), ".{0,9}", any::<u32>(), any::<i64>()),
                0..30,
            )
        ) {
            const PAIRS: [Pair<&str>; 3] = [("", ""), ("EUR", ""), ("EUR", "USD")];
            let mut writer = Writer::default();
            let mut expected = Told::new();
            for ((key, part, bot, pair), (click, label, count, amount)) in &cells {
                let latest = (Uuid::from_u128(*click), label.clone());
                let numbers = Numbers {
                    leads: 1,
                    sales: i64::from(*count),
                    reversals: i64::from(*count / 2),
                    gross: i128::from(*amount) * 3,
                    negative: i128::from(i64::MIN),
                    ..Numbers::default()
                };
                let (part, bot, pair) = (*part, *bot, (PAIRS[*pair].0.to_owned(), PAIRS[*pair].1.to_owned()));
                writer.push(Cell { key: key.clone(), part, bot, pair: pair.clone(), latest: latest.clone(), numbers });
                let (named, under) = expected.entry((key.clone(), part, bot)).or_default();
                *named = named.clone().max(latest);
                under.push((pair, numbers));
            }
            let pack = writer.finish().unwrap();
            prop_assert_eq!(told(&pack).unwrap(), expected);
            // A damaged one says so.
            prop_assert!(told(&pack[..pack.len() - 1]).is_err());
            prop_assert!(told(&[&*pack, &[0]].concat()).is_err());
        }
    }
}
