//! Adds cells of conversions up under what the report shows. Groups are ranked first; what they come to is read of those
//! alone that are shown. Pure.

use std::cmp::Reverse;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use smallvec::SmallVec;
use uuid::Uuid;

use super::{
    calendar::{Calendar, quarter},
    group::ClickGroup,
    group_key::{GroupKey, NONE, keep_first},
    keyed_sums::KeyedSums,
    pack::{
        self, Damaged, Key, Pack,
        conversions::{Numbers, OpenTable, Pair, Table},
    },
    scope::Bots,
    sums::{ConversionGroups, ShownGroup, Sums},
    tags::Tags,
};

/// Everything that a report sums, as it was read.
#[derive(Default)]
pub struct Cells {
    /// The same groups of clicks, which tell spans of time.
    pub group: Option<ClickGroup>,
    /// Where spans of time begin.
    pub tz: Tz,
    /// Which rows are selected.
    pub bots: Bots,
    /// For groups by tag.
    pub tags: Option<Tags>,
    /// Packs of the range.
    pub packs: Vec<Pack>,
    /// Sums of what no pack holds.
    pub rows: Vec<Row>,
}

/// Conversions summed by the database: of one quarter-hour, or of one key.
#[allow(missing_docs)] // Named like the columns.
#[derive(Debug)]
pub struct Row {
    pub at: Option<DateTime<Utc>>,
    pub key: Option<String>,
    /// The latest click's id and the label that it carried, in one text.
    pub latest: Option<String>,
    pub currency: String,
    pub reward_currency: String,
    pub leads: i64,
    pub sales: i64,
    pub refunds: i64,
    pub cancellations: i64,
    pub reversals: i64,
    pub gross: String,
    pub negative: String,
    pub reward: String,
}

impl Row {
    fn under(&self, calendar: &mut Option<Calendar>) -> GroupKey<'_> {
        match (calendar, self.at) {
            (Some(calendar), Some(at)) => GroupKey::Slot(calendar.slot(at)),
            _ => GroupKey::key(self.key.as_deref().unwrap_or(NONE)),
        }
    }

    fn latest(&self) -> (Uuid, &str) {
        let (click, label) = self.latest.as_deref().and_then(|text| text.split_at_checked(36)).unwrap_or_default();
        (Uuid::try_parse(click).unwrap_or_default(), label)
    }

    fn pair(&self) -> Pair<&str> {
        (&self.currency, &self.reward_currency)
    }

    fn numbers(&self) -> Result<Numbers, Damaged> {
        let Self { leads, sales, refunds, cancellations, reversals, .. } = *self;
        let [gross, negative, reward] = [&self.gross, &self.negative, &self.reward].map(|text| pack::whole(text));
        let (gross, negative, reward) = (gross?, negative?, reward?);
        Ok(Numbers { leads, sales, refunds, cancellations, reversals, gross, negative, reward })
    }
}

/// What conversions come to by pair of currencies: one mostly.
#[derive(Default, Clone)]
struct Sum<'a>(SmallVec<[(Pair<&'a str>, Numbers); 1]>);

impl<'a> Sum<'a> {
    fn add(&mut self, pair: Pair<&'a str>, numbers: Numbers) {
        match self.0.iter_mut().find(|of| of.0 == pair) {
            Some(of) => of.1 += numbers,
            None => self.0.push((pair, numbers)),
        }
    }

    fn merge(&mut self, other: &Self) {
        for &(pair, numbers) in &other.0 {
            self.add(pair, numbers);
        }
    }

    /// Takes a part of it away; what has no conversions any more goes.
    fn take_away(&mut self, part: &Self) {
        for (pair, numbers) in &part.0 {
            if let Some(of) = self.0.iter_mut().find(|of| of.0 == *pair) {
                of.1 -= *numbers;
            }
        }
        self.0.retain(|(_, numbers)| numbers.conversions() > 0);
    }

    /// Sales and leads.
    fn rank(&self) -> (i64, i64) {
        self.0.iter().fold((0, 0), |(sales, leads), (_, numbers)| (sales + numbers.sales, leads + numbers.leads))
    }
}

impl From<&Sum<'_>> for Sums {
    fn from(sum: &Sum<'_>) -> Self {
        let mut sums = Self::default();
        for ((currency, reward_currency), numbers) in &sum.0 {
            sums.leads += numbers.leads;
            sums.sales += numbers.sales;
            sums.refunds += numbers.refunds;
            sums.cancellations += numbers.cancellations;
            sums.reversals += numbers.reversals;
            if !currency.is_empty() {
                let (gross, negative) = sums.revenue.entry((*currency).to_owned()).or_default();
                *gross += numbers.gross;
                *negative += numbers.negative;
            }
            if !reward_currency.is_empty() {
                *sums.reward.entry((*reward_currency).to_owned()).or_default() += numbers.reward;
            }
        }
        sums
    }
}

/// What a group comes to, its latest click, and the name that its key had then; empty: none.
#[derive(Default, Clone)]
struct Named<'a> {
    sum: Sum<'a>,
    latest: (Uuid, &'a str),
}

/// Sales, then leads: what groups are ranked by.
type Rank = (i64, i64);

/// Cells that can be looked at: packs are open, sums of rows are numbers.
struct Tables<'a> {
    bots: Bots,
    packs: Vec<(DateTime<Utc>, OpenTable<'a>)>,
    rows: Vec<(&'a Row, Numbers)>,
}

impl<'a> Tables<'a> {
    fn open(cells: &'a Cells) -> Result<Self, Damaged> {
        let packs = cells.packs.iter().map(|pack| Ok((pack.bucket.0, Table::read(&pack.cells)?)));
        let rows = cells.rows.iter().map(|row| Ok((row, row.numbers()?)));
        Ok(Self {
            bots: cells.bots,
            packs: packs.collect::<Result<_, Damaged>>()?,
            rows: rows.collect::<Result<_, Damaged>>()?,
        })
    }

    /// The groups of a pack that `bots` selects, all or some, each with its place.
    fn groups<'s>(
        &'s self,
        (bucket, pack): &'s (DateTime<Utc>, OpenTable<'a>),
        only: Option<&'s [Key<'s>]>,
        calendar: &'s mut Option<Calendar>,
    ) -> impl Iterator<Item = (GroupKey<'a>, usize)> {
        let selected = pack.places(only).filter(|(place, _)| self.bots.selects(pack.bot(*place)));
        selected.map(|(place, key)| (GroupKey::of(calendar, || quarter(*bucket, pack.part(place)), key), place))
    }

    /// The rows in the order of what they count under.
    fn rows(&self, calendar: &mut Option<Calendar>) -> Vec<(GroupKey<'a>, &(&'a Row, Numbers))> {
        let mut rows: Vec<_> = self.rows.iter().map(|row| (row.0.under(calendar), row)).collect();
        rows.sort_unstable_by_key(|(under, _)| *under);
        rows
    }

    /// What all conversions come to.
    fn totals(&self) -> Sum<'a> {
        let mut sum = Sum::default();
        let totals = self.packs.iter().flat_map(|(_, pack)| pack.totals());
        for total in totals.filter(|total| self.bots.selects(total.bot)) {
            sum.add(total.pair, total.numbers);
        }
        for (row, numbers) in &self.rows {
            sum.add(row.pair(), *numbers);
        }
        sum
    }

    /// What ranks all groups.
    fn ranks(&self, calendar: &mut Option<Calendar>) -> KeyedSums<'a, Rank> {
        let mut sums = KeyedSums::new(None);
        let add = |rank: &mut Rank, (sales, leads): Rank| *rank = (rank.0 + sales, rank.1 + leads);
        for pack in &self.packs {
            sums.add(self.groups(pack, None, calendar), |rank, place| add(rank, pack.1.rank(place)));
        }
        sums.add(self.rows(calendar), |rank, (_, numbers)| add(rank, (numbers.sales, numbers.leads)));
        sums
    }

    /// What all groups come to, or some.
    fn sums(&self, calendar: &mut Option<Calendar>, only: Option<Vec<GroupKey<'a>>>) -> KeyedSums<'a, Named<'a>> {
        let mut sums: KeyedSums<'_, Named<'_>> = KeyedSums::new(only);
        let keys = sums.keys();
        for pack in &self.packs {
            sums.add(self.groups(pack, keys.as_deref(), calendar), |named, place| {
                named.latest = named.latest.max(pack.1.latest(place));
                pack.1.cells(place).for_each(|(pair, numbers)| named.sum.add(pair, numbers));
            });
        }
        sums.add(self.rows(calendar), |named, (row, numbers)| {
            named.latest = named.latest.max(row.latest());
            named.sum.add(row.pair(), *numbers);
        });
        sums
    }
}

/// Leaves the groups of most sales, then of most leads, and answers the others.
fn keep_best<'a, G>(
    groups: &mut Vec<(GroupKey<'a>, G)>,
    limit: usize,
    rank: impl Fn(&G) -> Rank,
) -> Vec<(GroupKey<'a>, G)> {
    let rank = |group: &G| Reverse(rank(group));
    keep_first(groups, limit, |a, b| rank(&a.1).cmp(&rank(&b.1)).then_with(|| a.0.cmp(&b.0)))
}

impl Cells {
    /// The groups of most sales, then of most leads, and the sum of the others.
    pub fn top(&self, limit: usize) -> Result<ConversionGroups, Damaged> {
        let tables = Tables::open(self)?;
        let mut calendar = Calendar::of(self.group, self.tz);
        let totals = tables.totals();
        if let Some(tags) = &self.tags {
            let partners = tables.sums(&mut calendar, None);
            let tagged = tags.spread(partners.groups(), None, |to: &mut Named<'_>, of| to.sum.merge(&of.sum));
            let mut groups: Vec<_> = tagged.groups().collect();
            let mut other: Option<Sum<'_>> = None;
            for (_, named) in keep_best(&mut groups, limit, |named| named.sum.rank()) {
                other.get_or_insert_default().merge(&named.sum);
            }
            return Ok(shown(&totals, groups, other.as_ref(), calendar.as_ref()));
        }
        let ranks = tables.ranks(&mut calendar);
        let mut best: Vec<_> = ranks.groups().collect();
        let others = keep_best(&mut best, limit, |rank| **rank);
        let sums = tables.sums(&mut calendar, Some(best.iter().map(|(under, _)| *under).collect()));
        let mut groups: Vec<_> = sums.groups().collect();
        keep_best(&mut groups, limit, |named| named.sum.rank());
        // The others come to what these leave.
        let mut other = if others.is_empty() { None } else { Some(totals.clone()) };
        if let Some(other) = &mut other {
            groups.iter().for_each(|(_, named)| other.take_away(&named.sum));
        }
        Ok(shown(&totals, groups, other.as_ref(), calendar.as_ref()))
    }

    /// Some groups by their keys; those without conversions are left out, and the others are in no order.
    pub fn of_keys(&self, keys: &[String]) -> Result<ConversionGroups, Damaged> {
        let tables = Tables::open(self)?;
        let mut calendar = Calendar::of(self.group, self.tz);
        let only = Some(GroupKey::all_shown_as(calendar.as_ref(), keys));
        let totals = tables.totals();
        let sums = match &self.tags {
            None => tables.sums(&mut calendar, only),
            Some(tags) => {
                let partners = tables.sums(&mut calendar, None);
                tags.spread(partners.groups(), only, |to: &mut Named<'_>, of| to.sum.merge(&of.sum))
            }
        };
        Ok(shown(&totals, sums.groups().collect(), None, calendar.as_ref()))
    }
}

fn shown(
    totals: &Sum<'_>,
    groups: Vec<(GroupKey<'_>, &Named<'_>)>,
    other: Option<&Sum<'_>>,
    calendar: Option<&Calendar>,
) -> ConversionGroups {
    let groups = groups.into_iter().map(|(under, Named { sum, latest: (_, name) })| ShownGroup {
        key: under.text(calendar),
        label: match *name {
            name if !name.is_empty() && under != GroupKey::NONE => Some(name.to_owned()),
            _ => under.label(calendar),
        },
        sums: sum.into(),
    });
    ConversionGroups { groups: groups.collect(), totals: totals.into(), other: other.map(Sums::from) }
}
