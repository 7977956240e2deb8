//! Adds cells of conversions up under what the report shows. Groups are ranked first; what they come to is read of those
//! alone that are shown. Pure.

use std::cmp::Reverse;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use smallvec::SmallVec;
use uuid::Uuid;

use super::{
    super::{
        Bots,
        calendar::{Calendar, quarter},
        clicks,
        keys::{NONE, Tags, Under, keep_first},
        ledger::Ledger,
    },
    Grouped, Shown, Sums,
};
use crate::db::packs::{
    self, Pack,
    format::conversions::{Numbers, Pair, Table},
};

/// Everything that a report sums, as it was read.
#[derive(Default)]
pub(super) struct Cells {
    /// The same groups of clicks, which tell spans of time.
    pub(super) group: Option<clicks::Group>,
    pub(super) tz: Tz,
    pub(super) bots: Bots,
    /// For groups by tag.
    pub(super) tags: Option<Tags>,
    pub(super) packs: Vec<Pack>,
    pub(super) rows: Vec<Row>,
}

/// Conversions summed by the database: of one quarter-hour, or of one key.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Row {
    at: Option<DateTime<Utc>>,
    key: Option<String>,
    /// The latest click's id and the label that it carried, in one text.
    latest: Option<String>,
    currency: String,
    reward_currency: String,
    leads: i64,
    sales: i64,
    refunds: i64,
    cancellations: i64,
    reversals: i64,
    gross: String,
    negative: String,
    reward: String,
}

impl Row {
    fn under(&self, calendar: &mut Option<Calendar>) -> Under<'_> {
        match (calendar, self.at) {
            (Some(calendar), Some(at)) => Under::Slot(calendar.slot(at)),
            _ => Under::key(self.key.as_deref().unwrap_or(NONE)),
        }
    }

    fn latest(&self) -> (Uuid, &str) {
        let (click, label) = self.latest.as_deref().and_then(|text| text.split_at_checked(36)).unwrap_or_default();
        (Uuid::try_parse(click).unwrap_or_default(), label)
    }

    fn pair(&self) -> Pair<&str> {
        (&self.currency, &self.reward_currency)
    }

    fn numbers(&self) -> sqlx::Result<Numbers> {
        let Self { leads, sales, refunds, cancellations, reversals, .. } = *self;
        let [gross, negative, reward] = [&self.gross, &self.negative, &self.reward].map(|text| packs::whole(text));
        let (gross, negative, reward) = (gross?, negative?, reward?);
        Ok(Numbers { leads, sales, refunds, cancellations, reversals, gross, negative, reward })
    }
}

/// What a group is ranked by, and where what it comes to is to be found.
#[derive(Default)]
struct Rank {
    sales: i64,
    leads: i64,
    /// The last of its parts.
    part: Option<usize>,
}

/// What a group comes to in one pack or row.
struct Part<'a> {
    of: Of<'a>,
    /// The part before of the same group.
    before: Option<usize>,
}

#[derive(Clone, Copy)]
enum Of<'a> {
    /// The place of the pack, and of the group in it.
    Pack(usize, usize),
    Row(&'a Row),
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

/// Groups by rank.
struct Ranking<'a> {
    ledger: Ledger<'a, Rank>,
    parts: Vec<Part<'a>>,
    packs: Vec<Table<&'a [u8], &'a str>>,
    bots: Bots,
    rows: &'a [Row],
}

impl<'a> Ranking<'a> {
    /// Ranks all groups, or some.
    fn of(cells: &'a Cells, calendar: &mut Option<Calendar>, only: Option<Vec<Under<'a>>>) -> sqlx::Result<Self> {
        let (mut ledger, mut parts, mut packs) = (Ledger::new(only), vec![], vec![]);
        let mut rank = |rank: &mut Rank, (sales, leads), of| {
            rank.sales += sales;
            rank.leads += leads;
            parts.push(Part { of, before: rank.part.replace(parts.len()) });
        };
        let bots = cells.bots;
        for (pack, Pack { bucket, cells, .. }) in cells.packs.iter().enumerate() {
            let table = Table::read(cells)?;
            let groups = table
                .keys()
                .enumerate()
                .filter(|(place, _)| bots.selects(table.bot(*place)))
                .map(|(place, key)| (Under::of(calendar, || quarter(bucket.0, table.part(place)), key), place));
            ledger.add(groups, |of, place| rank(of, table.rank(place), Of::Pack(pack, place)));
            packs.push(table);
        }
        let mut rows: Vec<_> = cells.rows.iter().map(|row| (row.under(calendar), row)).collect();
        rows.sort_unstable_by_key(|(under, _)| *under);
        ledger.add(rows, |of, row| rank(of, (row.sales, row.leads), Of::Row(row)));
        Ok(Self { ledger, parts, packs, bots, rows: &cells.rows })
    }

    /// What all conversions come to, those of groups that aren't ranked too.
    fn totals(&self) -> sqlx::Result<Sum<'a>> {
        let mut sum = Sum::default();
        let totals = self.packs.iter().flat_map(Table::totals);
        for total in totals.filter(|total| self.bots.selects(total.bot)) {
            sum.add(total.pair, total.numbers);
        }
        for row in self.rows {
            sum.add(row.pair(), row.numbers()?);
        }
        Ok(sum)
    }

    /// What a group comes to, and the name at its latest click; empty: none.
    fn sum(&self, rank: &Rank) -> sqlx::Result<(Sum<'a>, &'a str)> {
        let (mut sum, mut latest) = (Sum::default(), <(Uuid, &str)>::default());
        let mut next = rank.part;
        while let Some(part) = next.and_then(|place| self.parts.get(place)) {
            next = part.before;
            match part.of {
                Of::Pack(pack, place) => {
                    let Some(pack) = self.packs.get(pack) else { continue };
                    let details = pack.details(place)?;
                    latest = latest.max(details.latest);
                    for (total, numbers) in details.numbers {
                        let pair = pack.totals().get(total).map(|total| total.pair).unwrap_or_default();
                        sum.add(pair, numbers);
                    }
                }
                Of::Row(row) => {
                    latest = latest.max(row.latest());
                    sum.add(row.pair(), row.numbers()?);
                }
            }
        }
        Ok((sum, latest.1))
    }
}

/// A group that is shown: what it comes to, and the name at its latest click; empty: none.
type Chosen<'a> = (Under<'a>, Sum<'a>, &'a str);

impl<'a> Ranking<'a> {
    /// The first groups, and the sum of the others, where there are any: what the first ones leave of all.
    fn first(&self, limit: usize) -> sqlx::Result<(Vec<Chosen<'a>>, Option<Sum<'a>>)> {
        let (first, others) = first(self.ledger.groups(), limit, |rank| (rank.sales, rank.leads));
        let mut chosen = vec![];
        let mut other = if others.is_empty() { None } else { Some(self.totals()?) };
        for (under, rank) in first {
            let (sum, name) = self.sum(rank)?;
            if let Some(other) = &mut other {
                other.take_away(&sum);
            }
            chosen.push((under, sum, name));
        }
        Ok((chosen, other))
    }

    /// The same for partners' tags, of all or some. What all partners come to is read: each may have several tags, or none.
    fn first_tags(
        &self,
        tags: &'a Tags,
        only: Option<Vec<Under<'a>>>,
        limit: usize,
    ) -> sqlx::Result<(Vec<Chosen<'a>>, Option<Sum<'a>>)> {
        let partners = self.ledger.groups().map(|(partner, rank)| Ok((partner, self.sum(rank)?.0)));
        let partners: Vec<_> = partners.collect::<sqlx::Result<_>>()?;
        let ledger = tags.spread(partners.iter().map(|(partner, sum)| (*partner, sum)), only, Sum::merge);
        let (first, others) = first(ledger.groups(), limit, Sum::rank);
        let mut other: Option<Sum<'_>> = None;
        for (_, sum) in others {
            other.get_or_insert_default().merge(sum);
        }
        Ok((first.into_iter().map(|(tag, sum)| (tag, sum.clone(), "")).collect(), other))
    }
}

type Groups<'a, 'l, G> = Vec<(Under<'a>, &'l G)>;

/// The groups of most sales, then of most leads, and the others.
fn first<'a, 'l, G>(
    groups: impl Iterator<Item = (Under<'a>, &'l G)>,
    limit: usize,
    rank: impl Fn(&G) -> (i64, i64),
) -> (Groups<'a, 'l, G>, Groups<'a, 'l, G>) {
    let rank = |group: &G| Reverse(rank(group));
    let mut groups: Groups<'a, 'l, G> = groups.collect();
    let others = keep_first(&mut groups, limit, |a, b| rank(a.1).cmp(&rank(b.1)).then_with(|| a.0.cmp(&b.0)));
    (groups, others)
}

impl Cells {
    /// The groups of most sales, then of most leads.
    pub(super) fn top(&self, limit: usize) -> sqlx::Result<Grouped> {
        self.shown(None, limit)
    }

    /// Some groups by their keys; those without conversions are left out.
    pub(super) fn of_keys(&self, keys: &[String]) -> sqlx::Result<Grouped> {
        self.shown(Some(keys), usize::MAX)
    }

    fn shown(&self, keys: Option<&[String]>, limit: usize) -> sqlx::Result<Grouped> {
        let mut calendar = Calendar::of(self.group, self.tz);
        let only = keys.map(|keys| Under::all_shown_as(calendar.as_ref(), keys));
        let (totals, (groups, other)) = match &self.tags {
            None => {
                let ranking = Ranking::of(self, &mut calendar, only)?;
                (ranking.totals()?, ranking.first(limit)?)
            }
            Some(tags) => {
                let ranking = Ranking::of(self, &mut calendar, None)?;
                (ranking.totals()?, ranking.first_tags(tags, only, limit)?)
            }
        };
        let groups = groups.iter().map(|(under, sum, name)| Shown {
            key: under.text(calendar.as_ref()),
            label: match *name {
                name if !name.is_empty() && *under != Under::NONE => Some(name.to_owned()),
                _ => under.label(calendar.as_ref()),
            },
            sums: sum.into(),
        });
        Ok(Grouped { groups: groups.collect(), totals: (&totals).into(), other: other.as_ref().map(Sums::from) })
    }
}
