//! Adds cells of clicks up under what the report shows. Pure.

use std::cmp::Reverse;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use model::time::Timestamp;
use uuid::Uuid;

use super::{
    calendar::{Calendar, quarter},
    counts::{ClickCounts, ClickGroups},
    grain::Grain,
    group::ClickGroup,
    group_key::{GroupKey, keep_first},
    keyed_sums::KeyedSums,
    pack::{Damaged, Pack, clicks::Table},
    scope::Bots,
    tags::Tags,
};

/// Everything that a report counts, as it was read.
#[derive(Default)]
pub struct Cells {
    /// The kind of groups asked for.
    pub group: Option<ClickGroup>,
    /// Where spans of time begin.
    pub tz: Tz,
    /// For groups by tag.
    pub tags: Option<Tags>,
    /// Packs of the range.
    pub packs: Vec<Pack>,
    /// Rows of the rollups, where there is no pack.
    pub rows: Vec<Row>,
    /// Clicks that the rollups do not hold yet.
    pub singles: Vec<Single>,
}

/// Rows of the rollups: of one bucket, or of one key.
#[derive(Debug)]
pub struct Row {
    /// Length of the bucket.
    pub grain: Grain,
    /// The latest, where there are several.
    pub bucket: DateTime<Utc>,
    /// Nothing where only their time matters.
    pub key: Option<String>,
    /// Its clicks.
    pub counts: ClickCounts,
}

/// Single clicks, counted by the database.
#[derive(Debug)]
pub struct Single {
    /// The quarter-hour, where their time matters.
    pub at: Option<DateTime<Utc>>,
    /// The key of the group.
    pub key: Option<String>,
    /// The name that they carried.
    pub label: Option<String>,
    /// The latest of them.
    pub click: Uuid,
    /// How many.
    pub counts: ClickCounts,
}

/// What was added up under one key.
#[derive(Default, Clone, Copy)]
struct Sum<'a> {
    counts: ClickCounts,
    /// The latest bucket of the rollups, of a week the day in it, and its grain.
    last: Option<(DateTime<Utc>, i64, Grain)>,
    /// What holds the latest of the single clicks.
    single: Option<&'a Single>,
}

/// A group that is shown.
#[derive(Debug)]
pub struct Shown {
    /// Its key.
    pub key: String,
    /// Its clicks.
    pub counts: ClickCounts,
    /// The name that its latest single click had, else what names it by itself.
    pub label: Option<String>,
    /// That click.
    pub click: Option<Uuid>,
    /// The latest bucket of the rollups that counts, and its grain.
    pub last: Option<(DateTime<Utc>, Grain)>,
}

/// The greatest groups, and the rest.
#[derive(Debug, Default)]
pub struct Top {
    /// All clicks in scope, each once.
    pub totals: ClickCounts,
    /// The groups that are shown.
    pub groups: Vec<Shown>,
    /// The sum of the others.
    pub other: Option<ClickCounts>,
}

/// Groups, and what was added up under each.
type Groups<'a, 'l> = Vec<(GroupKey<'a>, &'l Sum<'a>)>;

impl Cells {
    /// All of them, each once.
    pub fn totals(&self) -> Result<ClickCounts, Damaged> {
        Ok(self.sums(&mut None, Some(vec![]))?.0)
    }

    /// The groups that `bots` selects most of.
    pub fn top(&self, bots: Bots, limit: usize) -> Result<Top, Damaged> {
        let selected = |sum: &Sum<'_>| Reverse(sum.counts.selected(bots));
        self.shown(None, |groups| {
            keep_first(groups, limit, |a, b| selected(a.1).cmp(&selected(b.1)).then_with(|| a.0.cmp(&b.0)))
        })
    }

    /// Some groups by their keys; those without clicks are left out.
    pub fn of_keys(&self, keys: &[String]) -> Result<Top, Damaged> {
        self.shown(Some(keys), |_| vec![])
    }

    /// Adds up under all keys or some, lets `choose` leave of the groups what is shown, and answers that and the sum of the
    /// rest.
    fn shown<'a>(
        &'a self,
        keys: Option<&'a [String]>,
        choose: impl for<'l> FnOnce(&mut Groups<'a, 'l>) -> Groups<'a, 'l>,
    ) -> Result<Top, Damaged> {
        let mut calendar = Calendar::of(self.group, self.tz);
        let only = keys.map(|keys| GroupKey::all_shown_as(calendar.as_ref(), keys));
        let (totals, sums) = match &self.tags {
            None => self.sums(&mut calendar, only)?,
            Some(tags) => {
                let (totals, partners) = self.sums(&mut calendar, None)?;
                (totals, tags.spread(partners.groups(), only, |to: &mut Sum<'_>, of| to.counts.add(of.counts)))
            }
        };
        let mut groups: Groups<'_, '_> = sums.groups().collect();
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
                    .filter(|label| !label.is_empty() && under != GroupKey::NONE)
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
        only: Option<Vec<GroupKey<'a>>>,
    ) -> Result<(ClickCounts, KeyedSums<'a, Sum<'a>>), Damaged> {
        let mut totals = ClickCounts::default();
        let mut sums = KeyedSums::new(only);
        let keys = sums.keys();
        for &Pack { grain, bucket: Timestamp(bucket), ref cells } in &self.packs {
            let table = Table::read(cells)?;
            totals.add(table.totals());
            let cells = table
                .places(keys.as_deref())
                .map(|(place, key)| (GroupKey::of(calendar, || quarter(bucket, table.part(place)), key), place));
            sums.add(cells, |sum: &mut Sum<'_>, place| {
                sum.add(table.counts(place), Some((bucket, table.part(place), grain)));
            });
        }
        let mut rows: Vec<(GroupKey<'a>, &'a Row)> = self
            .rows
            .iter()
            .map(|row| match (&mut *calendar, &row.key) {
                (Some(calendar), _) => (GroupKey::Slot(calendar.slot(row.bucket)), row),
                (None, Some(key)) => (GroupKey::key(key), row),
                (None, None) => (GroupKey::NONE, row),
            })
            .collect();
        rows.sort_unstable_by_key(|(under, _)| *under);
        sums.add(rows, |sum, row| sum.add(row.counts, Some((row.bucket, 0, row.grain))));
        let mut singles: Vec<(GroupKey<'a>, &'a Single)> = self
            .singles
            .iter()
            .map(|single| match (&mut *calendar, single.at, &single.key) {
                (Some(calendar), Some(at), _) => (GroupKey::Slot(calendar.slot(at)), single),
                (_, _, Some(key)) => (GroupKey::key(key), single),
                _ => (GroupKey::NONE, single),
            })
            .collect();
        singles.sort_unstable_by_key(|(under, _)| *under);
        sums.add(singles, |sum, single| {
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
        Ok((totals, sums))
    }
}

impl From<Top> for ClickGroups {
    fn from(Top { totals, groups, other }: Top) -> Self {
        let groups = groups.into_iter().map(|Shown { key, label, counts, .. }| (key, label, counts));
        Self { totals, groups: groups.collect(), other }
    }
}

impl<'a> Sum<'a> {
    fn add(&mut self, counts: ClickCounts, bucket: Option<(DateTime<Utc>, i64, Grain)>) {
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
