//! Packs of conversions: what all of them come to, and a table of groups.
//!
//! A report ranks thousands of groups and shows some of them, so sales and leads of a group stand apart from what it comes to
//! by currency.

use std::ops::{AddAssign, SubAssign};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Damaged, Key,
    columns::{Column, Keys, number, signed},
    pack, table,
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

/// Groups, in the order of keys, then of parts; those of bots behind the others. Behind them their cells: what each comes to by
/// pair of currencies.
#[derive(Serialize, Deserialize)]
pub struct Table<Bytes, Text> {
    totals: Vec<Total<Text>>,
    keys: Keys<Bytes, Text>,
    part: Column<Bytes>,
    bot: Column<Bytes>,
    sales: Column<Bytes>,
    leads: Column<Bytes>,
    click: Column<Bytes>,
    label_ends: Column<Bytes>,
    labels: Text,
    cell_ends: Column<Bytes>,
    cells: Cells<Bytes>,
}

/// A total by its place, and numbers.
#[derive(Serialize, Deserialize)]
struct Cells<Bytes> {
    total: Column<Bytes>,
    leads: Column<Bytes>,
    sales: Column<Bytes>,
    refunds: Column<Bytes>,
    cancellations: Column<Bytes>,
    reversals: Column<Bytes>,
    gross: Column<Bytes>,
    negative: Column<Bytes>,
    reward: Column<Bytes>,
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
        let Self { totals: _, keys, part, bot, sales, leads, click, label_ends, labels: _, cell_ends, cells } = &read;
        for column in [part, bot, sales, leads, click, label_ends, cell_ends] {
            column.check(keys.len())?;
        }
        let Cells { total, leads, sales, refunds, cancellations, reversals, gross, negative, reward } = cells;
        let len = keys.len().checked_sub(1).map_or(0, |last| cell_ends.place(last));
        for column in [total, leads, sales, refunds, cancellations, reversals, gross, negative, reward] {
            column.check(len)?;
        }
        Ok(read)
    }

    /// What all conversions come to, by bot and pair of currencies.
    #[must_use]
    pub fn totals(&self) -> &[Total<&'a str>] {
        &self.totals
    }

    /// All keys, or those of some, which come in their order. Each with the place of a group.
    pub fn places<'k>(&'k self, only: Option<&'k [Key<'k>]>) -> impl Iterator<Item = (usize, Key<'a>)> {
        self.keys.places(only)
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

    /// The latest click, and the name that the key had then; empty: none.
    #[must_use]
    pub fn latest(&self, place: usize) -> (Uuid, &'a str) {
        (Uuid::from_u128(self.click.at(place)), self.labels.get(self.label_ends.run(place)).unwrap_or_default())
    }

    /// What a group comes to by pair of currencies.
    pub fn cells(&self, place: usize) -> impl Iterator<Item = (Pair<&'a str>, Numbers)> {
        // One for each total at most, whatever a damaged pack says.
        self.cell_ends.run(place).take(self.totals.len()).map(|place| {
            let of = &self.cells;
            let pair = self.totals.get(of.total.place(place)).map(|total| total.pair).unwrap_or_default();
            (
                pair,
                Numbers {
                    leads: of.leads.count(place),
                    sales: of.sales.count(place),
                    refunds: of.refunds.count(place),
                    cancellations: of.cancellations.count(place),
                    reversals: of.reversals.count(place),
                    gross: of.gross.amount(place),
                    negative: of.negative.amount(place),
                    reward: of.reward.amount(place),
                },
            )
        })
    }
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
    pub fn finish(self) -> Result<Vec<u8>, Damaged> {
        let mut cells: Vec<_> = self.0.iter().map(|cell| ((Key::of(&cell.key), cell.part, cell.bot), cell)).collect();
        cells.sort_unstable_by_key(|(group, cell)| (*group, &cell.pair));
        let mut totals: Vec<Total<String>> = vec![];
        let places: Vec<usize> = cells.iter().map(|(_, cell)| total(&mut totals, cell)).collect();
        let mut labels = String::new();
        let (mut ranks, mut clicks, mut label_ends, mut cell_ends) = (vec![], vec![], vec![], vec![]);
        for group in cells.chunk_by(|(one, _), (other, _)| one == other) {
            let sum = |of: fn(&Numbers) -> i64| group.iter().map(|(_, cell)| number(of(&cell.numbers))).sum();
            ranks.push((sum(|numbers| numbers.sales), sum(|numbers| numbers.leads)));
            if let Some((click, label)) = group.iter().map(|(_, cell)| &cell.latest).max() {
                clicks.push(click.as_u128());
                labels.push_str(label);
            }
            label_ends.push(labels.len() as u128);
            cell_ends.push(cell_ends.last().copied().unwrap_or(0) + group.len() as u128);
        }
        let count = |of: fn(&Numbers) -> i64| Column::of(cells.iter().map(|(_, cell)| number(of(&cell.numbers))));
        let amount = |of: fn(&Numbers) -> i128| Column::of(cells.iter().map(|(_, cell)| signed(of(&cell.numbers))));
        let cells_of = Cells {
            total: Column::of(places.iter().map(|place| *place as u128)),
            leads: count(|numbers| numbers.leads),
            sales: count(|numbers| numbers.sales),
            refunds: count(|numbers| numbers.refunds),
            cancellations: count(|numbers| numbers.cancellations),
            reversals: count(|numbers| numbers.reversals),
            gross: amount(|numbers| numbers.gross),
            negative: amount(|numbers| numbers.negative),
            reward: amount(|numbers| numbers.reward),
        };
        cells.dedup_by_key(|(group, _)| *group);
        let groups = || cells.iter().map(|(group, _)| *group);
        pack(&Table {
            totals,
            keys: Keys::of(groups().map(|(key, ..)| key)),
            part: Column::of(groups().map(|(_, part, _)| part.into())),
            bot: Column::of(groups().map(|(.., bot)| bot.into())),
            sales: Column::of(ranks.iter().map(|(sales, _)| *sales)),
            leads: Column::of(ranks.iter().map(|(_, leads)| *leads)),
            click: Column::of(clicks.iter().copied()),
            label_ends: Column::of(label_ends.iter().copied()),
            labels,
            cell_ends: Column::of(cell_ends.iter().copied()),
            cells: cells_of,
        })
    }
}

/// ClickCounts a cell in its total, and answers the total's place.
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
    fn told(pack: &[u8]) -> Result<Told, Damaged> {
        let table = Table::read(pack)?;
        let mut sums = vec![Numbers::default(); table.totals().len()];
        let mut told = Told::new();
        for (place, key) in table.places(None) {
            let latest = table.latest(place);
            let mut counted = (0, 0);
            let mut cells = vec![];
            for (pair, numbers) in table.cells(place) {
                let is_its = |total: &Total<&str>| (total.bot, total.pair) == (table.bot(place), pair);
                sums[table.totals().iter().position(is_its).unwrap()] += numbers;
                counted = (counted.0 + numbers.sales, counted.1 + numbers.leads);
                cells.push(((pair.0.to_owned(), pair.1.to_owned()), numbers));
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
