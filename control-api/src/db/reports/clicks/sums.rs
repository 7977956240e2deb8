//! Adds cells of clicks up under what the report shows. Pure.

use std::cmp::Reverse;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use uuid::Uuid;

use super::{
    super::{
        Bots,
        calendar::{Calendar, quarter},
        keys::{Tags, Under, keep_first},
        ledger::Ledger,
    },
    Counts, Group,
};
use crate::{
    db::{
        packs::{Pack, format::clicks::Table},
        rollups::Grain,
    },
    time::At,
};

/// Everything that a report counts, as it was read.
#[derive(Default)]
pub(super) struct Cells {
    pub(super) group: Option<Group>,
    pub(super) tz: Tz,
    /// For groups by tag.
    pub(super) tags: Option<Tags>,
    pub(super) packs: Vec<Pack>,
    pub(super) rows: Vec<Row>,
    pub(super) singles: Vec<Single>,
}

/// Rows of the rollups: of one bucket, or of one key.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Row {
    pub(super) grain: Grain,
    /// The latest, where there are several.
    pub(super) bucket: DateTime<Utc>,
    /// Nothing where only their time matters.
    pub(super) key: Option<String>,
    #[sqlx(flatten)]
    pub(super) counts: Counts,
}

/// Single clicks, counted by the database.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Single {
    /// The quarter-hour, where their time matters.
    pub(super) at: Option<DateTime<Utc>>,
    pub(super) key: Option<String>,
    pub(super) label: Option<String>,
    /// The latest of them.
    pub(super) click: Uuid,
    #[sqlx(flatten)]
    pub(super) counts: Counts,
}

/// What was added up under one key.
#[derive(Default, Clone, Copy)]
struct Sum<'a> {
    counts: Counts,
    /// The latest bucket of the rollups, of a week the day in it, and its grain.
    last: Option<(DateTime<Utc>, i64, Grain)>,
    /// What holds the latest of the single clicks.
    single: Option<&'a Single>,
}

/// A group that is shown.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) key: String,
    pub(super) counts: Counts,
    /// The name that its latest single click had, else what names it by itself.
    pub(super) label: Option<String>,
    /// That click.
    pub(super) click: Option<Uuid>,
    /// The latest bucket of the rollups that counts, and its grain.
    pub(super) last: Option<(DateTime<Utc>, Grain)>,
}

/// The greatest groups, and the rest.
#[derive(Debug, Default)]
pub(super) struct Top {
    pub(super) totals: Counts,
    pub(super) groups: Vec<Shown>,
    pub(super) other: Option<Counts>,
}

/// Groups, and what was added up under each.
type Groups<'a, 'l> = Vec<(Under<'a>, &'l Sum<'a>)>;

impl Cells {
    /// All of them, each once.
    pub(super) fn totals(&self) -> sqlx::Result<Counts> {
        Ok(self.sums(&mut None, Some(vec![]))?.0)
    }

    /// The groups that `bots` selects most of.
    pub(super) fn top(&self, bots: Bots, limit: usize) -> sqlx::Result<Top> {
        let selected = |sum: &Sum<'_>| Reverse(sum.counts.selected(bots));
        self.shown(None, |groups| {
            keep_first(groups, limit, |a, b| selected(a.1).cmp(&selected(b.1)).then_with(|| a.0.cmp(&b.0)))
        })
    }

    /// Some groups by their keys; those without clicks are left out.
    pub(super) fn of_keys(&self, keys: &[String]) -> sqlx::Result<Top> {
        self.shown(Some(keys), |_| vec![])
    }

    /// Adds up under all keys or some, lets `choose` leave of the groups what is shown, and answers that and the sum of the
    /// rest.
    fn shown<'a>(
        &'a self,
        keys: Option<&'a [String]>,
        choose: impl for<'l> FnOnce(&mut Groups<'a, 'l>) -> Groups<'a, 'l>,
    ) -> sqlx::Result<Top> {
        let mut calendar = Calendar::of(self.group, self.tz);
        let only = keys.map(|keys| Under::all_shown_as(calendar.as_ref(), keys));
        let (totals, ledger) = match &self.tags {
            None => self.sums(&mut calendar, only)?,
            Some(tags) => {
                let (totals, partners) = self.sums(&mut calendar, None)?;
                (totals, tags.spread(partners.groups(), only, |to: &mut Sum<'_>, of| to.counts.add(of.counts)))
            }
        };
        let mut groups: Groups<'_, '_> = ledger.groups().collect();
        let mut top = Top { totals, ..Top::default() };
        for (_, sum) in choose(&mut groups) {
            top.other.get_or_insert_default().add(sum.counts);
        }
        top.groups = groups
            .into_iter()
            .map(|(under, sum)| Shown {
                key: under.text(calendar.as_ref()),
                counts: sum.counts,
                label: sum
                    .single
                    .and_then(|single| single.label.clone())
                    .filter(|label| !label.is_empty() && under != Under::NONE)
                    .or_else(|| under.label(calendar.as_ref())),
                click: sum.single.map(|single| single.click),
                last: sum.latest_row(),
            })
            .collect();
        Ok(top)
    }

    /// What all come to, and what those under all keys or some do.
    fn sums<'a>(
        &'a self,
        calendar: &mut Option<Calendar>,
        only: Option<Vec<Under<'a>>>,
    ) -> sqlx::Result<(Counts, Ledger<'a, Sum<'a>>)> {
        let mut totals = Counts::default();
        let mut ledger = Ledger::new(only);
        let keys = ledger.keys();
        for &Pack { grain, bucket: At(bucket), ref cells } in &self.packs {
            let table = Table::read(cells)?;
            totals.add(table.totals());
            let cells = table
                .places(keys.as_deref())
                .map(|(place, key)| (Under::of(calendar, || quarter(bucket, table.part(place)), key), place));
            ledger.add(cells, |sum: &mut Sum<'_>, place| {
                sum.add(table.counts(place), Some((bucket, table.part(place), grain)));
            });
        }
        let mut rows: Vec<(Under<'a>, &'a Row)> = self
            .rows
            .iter()
            .map(|row| match (&mut *calendar, &row.key) {
                (Some(calendar), _) => (Under::Slot(calendar.slot(row.bucket)), row),
                (None, Some(key)) => (Under::key(key), row),
                (None, None) => (Under::NONE, row),
            })
            .collect();
        rows.sort_unstable_by_key(|(under, _)| *under);
        ledger.add(rows, |sum, row| sum.add(row.counts, Some((row.bucket, 0, row.grain))));
        let mut singles: Vec<(Under<'a>, &'a Single)> = self
            .singles
            .iter()
            .map(|single| match (&mut *calendar, single.at, &single.key) {
                (Some(calendar), Some(at), _) => (Under::Slot(calendar.slot(at)), single),
                (_, _, Some(key)) => (Under::key(key), single),
                _ => (Under::NONE, single),
            })
            .collect();
        singles.sort_unstable_by_key(|(under, _)| *under);
        ledger.add(singles, |sum, single| {
            sum.add(single.counts, None);
            if sum.single.is_none_or(|latest| latest.click < single.click) {
                sum.single = Some(single);
            }
        });
        self.rows
            .iter()
            .map(|row| row.counts)
            .chain(self.singles.iter().map(|single| single.counts))
            .for_each(|counts| totals.add(counts));
        Ok((totals, ledger))
    }
}

impl<'a> Sum<'a> {
    fn add(&mut self, counts: Counts, bucket: Option<(DateTime<Utc>, i64, Grain)>) {
        self.counts.add(counts);
        self.last = self.last.max(bucket);
    }

    /// The latest bucket that the rollups have a row of, and its grain.
    fn latest_row(&self) -> Option<(DateTime<Utc>, Grain)> {
        self.last.map(|(bucket, day, grain)| match grain {
            Grain::Week => (bucket + TimeDelta::days(day), Grain::Day),
            _ => (bucket, grain),
        })
    }
}
