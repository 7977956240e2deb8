//! Adds cells of conversions up under what the report shows. Pure.

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
        keys::{Tags, Under, keep_first, keep_keys},
        ledger::Ledger,
    },
    Grouped, Shown, Sums,
};
use crate::db::packs::{
    self, Pack,
    format::{self, Key},
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
    /// The same as a pack would hold it.
    fn cell(&self) -> sqlx::Result<format::Conversions<'_>> {
        let (click, label) = self.latest.as_deref().and_then(|text| text.split_at_checked(36)).unwrap_or_default();
        Ok(format::Conversions {
            part: 0,
            key: self.key.as_deref().map_or(Key::Text(super::super::keys::NONE), Key::of),
            bot: false,
            currency: &self.currency,
            reward_currency: &self.reward_currency,
            click: Uuid::try_parse(click).unwrap_or_default(),
            label,
            leads: self.leads,
            sales: self.sales,
            refunds: self.refunds,
            cancellations: self.cancellations,
            reversals: self.reversals,
            gross: packs::whole(&self.gross)?,
            negative: packs::whole(&self.negative)?,
            reward: packs::whole(&self.reward)?,
        })
    }
}

/// What was summed under one key.
#[derive(Default)]
struct Sum<'a> {
    counts: Counts,
    /// Gross and negative by currency: one mostly.
    revenue: SmallVec<[(&'a str, i128, i128); 1]>,
    reward: SmallVec<[(&'a str, i128); 1]>,
    /// The latest click, and the label that it carried.
    latest: (Uuid, &'a str),
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    leads: i64,
    sales: i64,
    refunds: i64,
    cancellations: i64,
    reversals: i64,
}

impl<'a> Sum<'a> {
    fn add(&mut self, cell: &format::Conversions<'a>) {
        let format::Conversions { leads, sales, refunds, cancellations, reversals, .. } = *cell;
        self.counts.add(Counts { leads, sales, refunds, cancellations, reversals });
        if !cell.currency.is_empty() {
            self.add_revenue(cell.currency, cell.gross, cell.negative);
        }
        if !cell.reward_currency.is_empty() {
            self.add_reward(cell.reward_currency, cell.reward);
        }
        self.latest = self.latest.max((cell.click, cell.label));
    }

    /// Adds another one; which of them was named last is of no use where groups are not what was summed.
    fn merge(&mut self, other: &Self) {
        self.counts.add(other.counts);
        for &(currency, gross, negative) in &other.revenue {
            self.add_revenue(currency, gross, negative);
        }
        for &(currency, reward) in &other.reward {
            self.add_reward(currency, reward);
        }
    }

    fn add_revenue(&mut self, currency: &'a str, gross: i128, negative: i128) {
        match self.revenue.iter_mut().find(|of| of.0 == currency) {
            Some(of) => {
                of.1 += gross;
                of.2 += negative;
            }
            None => self.revenue.push((currency, gross, negative)),
        }
    }

    fn add_reward(&mut self, currency: &'a str, reward: i128) {
        match self.reward.iter_mut().find(|of| of.0 == currency) {
            Some(of) => of.1 += reward,
            None => self.reward.push((currency, reward)),
        }
    }
}

impl Counts {
    const fn add(&mut self, other: Self) {
        self.leads += other.leads;
        self.sales += other.sales;
        self.refunds += other.refunds;
        self.cancellations += other.cancellations;
        self.reversals += other.reversals;
    }
}

impl From<&Sum<'_>> for Sums {
    fn from(sum: &Sum<'_>) -> Self {
        let Counts { leads, sales, refunds, cancellations, reversals } = sum.counts;
        let revenue = sum.revenue.iter().map(|&(currency, gross, negative)| (currency.to_owned(), (gross, negative)));
        let reward = sum.reward.iter().map(|&(currency, reward)| (currency.to_owned(), reward));
        Self { leads, sales, refunds, cancellations, reversals, revenue: revenue.collect(), reward: reward.collect() }
    }
}

/// Groups, and what was summed under each.
type Groups<'a, 'l> = Vec<(Under<'a>, &'l Sum<'a>)>;

impl Cells {
    /// The groups of most sales, then of most leads.
    pub(super) fn top(&self, limit: usize) -> sqlx::Result<Grouped> {
        self.shown(|groups| {
            let rank = |sum: &Sum<'_>| Reverse((sum.counts.sales, sum.counts.leads));
            keep_first(groups, limit, |a, b| rank(a.1).cmp(&rank(b.1)).then_with(|| a.0.cmp(&b.0)))
        })
    }

    /// Some groups by their keys; those without conversions are left out.
    pub(super) fn of_keys(&self, keys: &[String]) -> sqlx::Result<Grouped> {
        let calendar = Calendar::of(self.group, self.tz);
        self.shown(|groups| {
            keep_keys(groups, keys, calendar.as_ref());
            vec![]
        })
    }

    /// Sums, lets `choose` leave of the groups what is shown, and answers that and the sum of the rest.
    fn shown(&self, choose: impl for<'a, 'l> FnOnce(&mut Groups<'a, 'l>) -> Groups<'a, 'l>) -> sqlx::Result<Grouped> {
        let mut calendar = Calendar::of(self.group, self.tz);
        let sums = self.sums(&mut calendar)?;
        let mut totals = Sum::default();
        for (_, sum) in sums.groups() {
            totals.merge(sum);
        }
        let tagged = self.tags.as_ref().map(|tags| tags.spread(&sums, Sum::merge)).transpose()?;
        let mut groups: Groups<'_, '_> = tagged.as_ref().unwrap_or(&sums).groups().collect();
        let mut other: Option<Sum<'_>> = None;
        for (_, sum) in choose(&mut groups) {
            other.get_or_insert_default().merge(sum);
        }
        let groups = groups.iter().map(|(under, sum)| Shown {
            key: under.text(calendar.as_ref()),
            label: match sum.latest.1 {
                label if !label.is_empty() && *under != Under::NONE => Some(label.to_owned()),
                _ => under.label(calendar.as_ref()),
            },
            sums: (*sum).into(),
        });
        Ok(Grouped { groups: groups.collect(), totals: (&totals).into(), other: other.as_ref().map(Sums::from) })
    }

    fn sums<'a>(&'a self, calendar: &mut Option<Calendar>) -> sqlx::Result<Ledger<'a, Sum<'a>>> {
        let mut ledger = Ledger::default();
        let bots = self.bots;
        for Pack { bucket, cells, .. } in &self.packs {
            let cells = format::cells::<format::Conversions<'_>>(cells);
            let selected = cells.filter(|cell| cell.as_ref().map_or(true, |cell| bots.selects(cell.bot)));
            let cells = selected.map(|cell| {
                let cell = cell?;
                Ok((Under::of(calendar, quarter(bucket.0, cell.part), cell.key), cell))
            });
            ledger.add(cells, |sum: &mut Sum<'_>, cell| sum.add(&cell))?;
        }
        let mut rows = vec![];
        for row in &self.rows {
            let cell = row.cell()?;
            let under = match (&mut *calendar, row.at) {
                (Some(calendar), Some(at)) => Under::Slot(calendar.slot(at)),
                _ => Under::Key(cell.key),
            };
            rows.push((under, cell));
        }
        rows.sort_unstable_by_key(|(under, _)| *under);
        ledger.add(rows.into_iter().map(Ok), |sum, cell| sum.add(&cell))?;
        Ok(ledger)
    }
}
