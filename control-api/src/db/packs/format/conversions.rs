//! Packs of conversions: what all of them come to, then one group after the other.
//!
//! A report ranks thousands of groups and shows a hundred. So a group says first what it is ranked by, and then, in one
//! piece that is skipped unless the group is shown, what it comes to and how it was named.

use std::ops::{AddAssign, SubAssign};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{super::Facts, Key, append, body, each, take, version};

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
pub type Pair<'a> = (&'a str, &'a str);

/// What conversions of one pair of currencies come to in a whole pack, by whether their clicks were a bot's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // Named like the columns of the rollups.
pub struct Total<'a> {
    pub bot: bool,
    #[serde(borrow)]
    pub pair: Pair<'a>,
    pub numbers: Numbers,
}

/// Conversions under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // Named like the columns of the rollups.
pub struct Group<'a> {
    /// The quarter-hour of the day; else 0.
    pub part: u8,
    #[serde(borrow)]
    pub key: Key<'a>,
    pub bot: bool,
    pub sales: i64,
    pub leads: i64,
    /// Read with [`Details::read`].
    pub details: &'a [u8],
}

/// How a group was named, and what it comes to.
pub struct Details<'a> {
    /// The latest click, and the name that the key had then; empty: none.
    pub latest: (Uuid, &'a str),
    numbers: &'a [u8],
}

impl<'a> Details<'a> {
    /// Reads those of a group.
    ///
    /// # Errors
    /// That the pack is damaged.
    pub fn read(mut details: &'a [u8]) -> sqlx::Result<Self> {
        Ok(Self { latest: take(&mut details)?, numbers: details })
    }

    /// By pair of currencies, as places in the totals of the pack.
    ///
    /// # Errors
    /// Each, that the pack is damaged; it ends there.
    pub fn numbers(&self) -> impl Iterator<Item = sqlx::Result<(usize, Numbers)>> + use<'a> {
        each(self.numbers)
    }
}

/// The totals of a pack that [is known](super::is_known), and its groups.
///
/// # Errors
/// That the pack is damaged; groups end there.
pub fn read(pack: &[u8]) -> sqlx::Result<(Vec<Total<'_>>, impl Iterator<Item = sqlx::Result<Group<'_>>>)> {
    let mut rest = body(pack);
    let totals = take(&mut rest)?;
    Ok((totals, each(rest)))
}

/// What the rollups hold under a key, of one pair of currencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // Named like the columns of the rollups.
pub struct Cell<'a> {
    /// The quarter-hour of the day; else 0.
    pub part: u8,
    pub key: &'a str,
    pub bot: bool,
    pub pair: Pair<'a>,
    /// The latest click, and the name that the key had then; empty: none.
    pub latest: (Uuid, &'a str),
    pub numbers: Numbers,
}

/// A pack being written.
#[derive(Default)]
pub struct Writer {
    /// By bot and pair of currencies, in the order of their first cells.
    totals: Vec<((bool, String, String), Numbers)>,
    groups: Vec<u8>,
    /// The group whose cells are coming.
    open: Option<Open>,
}

struct Open {
    part: u8,
    key: String,
    bot: bool,
    latest: (Uuid, String),
    sales: i64,
    leads: i64,
    numbers: Vec<u8>,
}

impl Writer {
    /// Adds a cell. Cells of a group come one after the other, and groups in the order of parts, then of keys.
    ///
    /// # Errors
    /// Never: cells are made of what the format can hold.
    pub fn push(&mut self, cell: &Cell<'_>) -> sqlx::Result<()> {
        let Cell { part, key, bot, pair, latest, numbers } = *cell;
        let place = self.total(bot, pair);
        if let Some((_, total)) = self.totals.get_mut(place) {
            *total += numbers;
        }
        if self.open.as_ref().is_none_or(|open| (open.part, &*open.key, open.bot) != (part, key, bot)) {
            self.close()?;
        }
        let open = self.open.get_or_insert_with(|| Open {
            part,
            key: key.to_owned(),
            bot,
            latest: (Uuid::nil(), String::new()),
            sales: 0,
            leads: 0,
            numbers: vec![],
        });
        if (open.latest.0, &*open.latest.1) < latest {
            open.latest = (latest.0, latest.1.to_owned());
        }
        open.sales += numbers.sales;
        open.leads += numbers.leads;
        append(&mut open.numbers, &(place, numbers))
    }

    /// The place of a total.
    fn total(&mut self, bot: bool, (currency, reward_currency): Pair<'_>) -> usize {
        let is = |of: &(bool, String, String)| (of.0, &*of.1, &*of.2) == (bot, currency, reward_currency);
        self.totals.iter().position(|(of, _)| is(of)).unwrap_or_else(|| {
            self.totals.push(((bot, currency.to_owned(), reward_currency.to_owned()), Numbers::default()));
            self.totals.len() - 1
        })
    }

    /// Writes the group that is complete.
    fn close(&mut self) -> sqlx::Result<()> {
        let Some(Open { part, key, bot, latest, sales, leads, numbers }) = self.open.take() else { return Ok(()) };
        let mut details = vec![];
        append(&mut details, &latest)?;
        details.extend_from_slice(&numbers);
        append(&mut self.groups, &Group { part, key: Key::of(&key), bot, sales, leads, details: &details })
    }

    /// The pack.
    ///
    /// # Errors
    /// Never: cells are made of what the format can hold.
    pub fn finish(mut self) -> sqlx::Result<Vec<u8>> {
        self.close()?;
        let totals = self.totals.iter().map(|((bot, currency, reward_currency), numbers)| Total {
            bot: *bot,
            pair: (currency, reward_currency),
            numbers: *numbers,
        });
        let mut pack = vec![version(Facts::Conversions)];
        append(&mut pack, &totals.collect::<Vec<_>>())?;
        pack.extend_from_slice(&self.groups);
        Ok(pack)
    }
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

    type Id = (u8, String, bool);
    type Told = BTreeMap<Id, ((Uuid, String), Vec<((String, String), Numbers)>)>;

    /// Everything that a pack says; totals and ranks are checked against what they sum up.
    fn told(pack: &[u8]) -> sqlx::Result<Told> {
        let (totals, groups) = read(pack)?;
        let mut sums = vec![Numbers::default(); totals.len()];
        let mut told = Told::new();
        for group in groups {
            let group = group?;
            let details = Details::read(group.details)?;
            let mut counted = (0, 0);
            let mut cells = vec![];
            for numbers in details.numbers() {
                let (place, numbers) = numbers?;
                sums[place] += numbers;
                counted = (counted.0 + numbers.sales, counted.1 + numbers.leads);
                assert_eq!(totals[place].bot, group.bot);
                let (currency, reward_currency) = totals[place].pair;
                cells.push(((currency.to_owned(), reward_currency.to_owned()), numbers));
            }
            assert_eq!((group.sales, group.leads), counted);
            let id = (group.part, group.key.to_string(), group.bot);
            told.insert(id, ((details.latest.0, details.latest.1.to_owned()), cells));
        }
        assert_eq!(totals.iter().map(|total| total.numbers).collect::<Vec<_>>(), sums);
        Ok(told)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            cells in proptest::collection::btree_map(
                (0_u8..3, prop_oneof!["[ab]", any::<u128>().prop_map(|id| Uuid::from_u128(id).to_string())], any::<bool>(), 0..3_usize),
                (any::<u128>(), ".{0,9}", any::<u32>(), any::<i64>()),
                0..30,
            )
        ) {
            const PAIRS: [Pair<'_>; 3] = [("", ""), ("EUR", ""), ("EUR", "USD")];
            let mut writer = Writer::default();
            let mut expected = Told::new();
            for ((part, key, bot, pair), (click, label, count, amount)) in &cells {
                let latest = (Uuid::from_u128(*click), label.as_str());
                let numbers = Numbers {
                    leads: 1,
                    sales: i64::from(*count),
                    reversals: i64::from(*count / 2),
                    gross: i128::from(*amount) * 3,
                    negative: i128::from(i64::MIN),
                    ..Numbers::default()
                };
                let (part, bot, pair) = (*part, *bot, PAIRS[*pair]);
                writer.push(&Cell { part, key, bot, pair, latest, numbers }).unwrap();
                let (named, under) = expected.entry((part, key.clone(), bot)).or_default();
                *named = named.clone().max((latest.0, label.clone()));
                under.push(((pair.0.to_owned(), pair.1.to_owned()), numbers));
            }
            let pack = writer.finish().unwrap();
            prop_assert_eq!(told(&pack).unwrap(), expected);
            // A damaged one says so.
            prop_assert!(cells.is_empty() || read(&pack[..pack.len() - 1]).unwrap().1.any(|group| group.is_err()));
        }
    }
}
