//! Counts clicks. Rollups answer where they can: on ranges of whole quarter-hours, of the latest state, with one
//! dimension in play at most ([`super::spans`] says how a range is cut), packed where they have come to rest. They are
//! read together with the deltas that are not folded into them yet, so the answer is exact at any moment. Everything else
//! is counted from facts, bounded by the time inside click ids. [`cells`] reads, [`sums`] adds up.

mod cells;
mod sums;

pub use cells::first_id;
use cells::{Plan, plan};
use sqlx::PgConnection;
use sums::{Cells, Shown, Top};

use super::{Bots, Scope, keys::NONE, read_by_page, reckon};
use crate::db::packs::Cache;

shared::text_enum! {
    /// What clicks can be grouped by.
    pub enum Group {
        /// The partner at the click.
        Partner = "partner",
        /// The program at the click.
        Program = "program",
        /// The link.
        Link = "link",
        /// ISO 3166-1 alpha-2.
        Country = "country",
        /// Country and region.
        Region = "region",
        /// The visitor's `utm_source`, else the link's.
        Source = "source",
        /// Host of the referring page.
        Referrer = "referrer",
        /// Kind of device.
        Device = "device",
        /// Browser family.
        Browser = "browser",
        /// Operating system family.
        Os = "os",
        /// Short link or QR code.
        Trigger = "trigger",
        /// Tags that the partner carries now.
        Tag = "tag",
        /// The link's `utm_campaign`.
        Campaign = "campaign",
        /// Hostname of the link.
        Domain = "domain",
        /// Hour.
        Hour = "hour",
        /// Calendar day.
        Day = "day",
        /// ISO 8601 week.
        Week = "week",
        /// Calendar month.
        Month = "month",
    }
}

impl Group {
    /// Whether it is a span of time.
    #[must_use]
    pub const fn is_time(self) -> bool {
        matches!(self, Self::Hour | Self::Day | Self::Week | Self::Month)
    }

    /// The dimension of the rollups that holds it; `None` for spans of time, which every dimension holds.
    const fn dimension(self) -> Option<&'static str> {
        match self {
            Self::Tag => Some("partner"),
            Self::Hour | Self::Day | Self::Week | Self::Month => None,
            _ => Some(self.as_str()),
        }
    }
}

/// Clicks by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Counts {
    /// Humans through short links.
    pub human_link: i64,
    /// Humans through QR codes.
    pub human_qr: i64,
    /// Bots through short links.
    pub bot_link: i64,
    /// Bots through QR codes.
    pub bot_qr: i64,
    /// Of those of humans, the ones that had a partner.
    pub human_partner: i64,
}

impl Counts {
    /// Those that `bots` selects.
    const fn selected(self, bots: Bots) -> i64 {
        let (human, bot) = (self.human_link + self.human_qr, self.bot_link + self.bot_qr);
        match bots {
            Bots::All => human + bot,
            Bots::Human => human,
            Bots::Bot => bot,
        }
    }

    const fn add(&mut self, other: Self) {
        self.human_link += other.human_link;
        self.human_qr += other.human_qr;
        self.bot_link += other.bot_link;
        self.bot_qr += other.bot_qr;
        self.human_partner += other.human_partner;
    }
}

/// Clicks by group.
#[derive(Debug, Default)]
pub struct Grouped {
    /// All clicks in scope, each once.
    pub totals: Counts,
    /// Key, label and counts, by what `bots` selects, greatest first.
    pub groups: Vec<(String, Option<String>, Counts)>,
    /// The sum of the groups over the limit.
    pub other: Option<Counts>,
}

/// Whether clicks in scope are counted from facts, one by one.
#[must_use]
pub fn counts_clicks(scope: &Scope, group: Option<Group>) -> bool {
    cells::plan(scope, group) == cells::Plan::Facts
}

/// Counts the clicks in scope by group.
///
/// # Errors
/// The database's.
pub async fn grouped(
    db: &mut PgConnection,
    cache: &Cache,
    scope: &Scope,
    group: Group,
    bots: Bots,
    limit: usize,
) -> sqlx::Result<Grouped> {
    let cells = cells::read(db, cache, scope, Some(group)).await?;
    let mut top = reckon(move || cells.top(bots, limit)).await?;
    name(db, scope, group, &mut top.groups).await?;
    Ok(top.into())
}

/// Counts the clicks in scope, in total and for some keys of a group; keys without clicks are left out, and nothing has a
/// name.
///
/// # Errors
/// The database's.
pub async fn of_keys(
    db: &mut PgConnection,
    cache: &Cache,
    scope: &Scope,
    group: Group,
    keys: Vec<String>,
) -> sqlx::Result<Grouped> {
    let cells = cells::read(db, cache, scope, Some(group)).await?;
    Ok(reckon(move || cells.of_keys(&keys)).await?.into())
}

impl From<Top> for Grouped {
    fn from(Top { totals, groups, other }: Top) -> Self {
        let groups = groups.into_iter().map(|Shown { key, label, counts, .. }| (key, label, counts));
        Self { totals, groups: groups.collect(), other }
    }
}

/// Names groups that are shown as their latest click did: the rollups' latest bucket knows it, unless a click that is not
/// folded yet is later.
async fn name(db: &mut PgConnection, scope: &Scope, group: Group, shown: &mut [Shown]) -> sqlx::Result<()> {
    let dimension = match plan(scope, Some(group)) {
        Plan::Rollups(dimension) if matches!(group, Group::Partner | Group::Program | Group::Link) => dimension,
        _ => return Ok(()),
    };
    let mut counted: Vec<&mut Shown> = shown.iter_mut().filter(|shown| shown.last.is_some()).collect();
    let (buckets, grains): (Vec<_>, Vec<&str>) =
        counted.iter().filter_map(|shown| shown.last).map(|(bucket, grain)| (bucket, grain.as_str())).unzip();
    let keys: Vec<String> = counted.iter().map(|shown| shown.key.clone()).collect();
    // One row each, anywhere.
    read_by_page(&mut *db, false).await?;
    let names = sqlx::query!(
        r#"select k.place as "place!", r.label_click_id as "click!", r.label
        from unnest($3::text[], $4::timestamptz[], $5::text[]) with ordinality as k (grain, bucket, key, place)
        join click_rollups r on r.workspace_id = $1 and r.dimension = $2 and r.grain = k.grain and r.bucket = k.bucket
            and r.key = k.key"#,
        scope.workspace.uuid(),
        dimension,
        &grains as _,
        &buckets,
        &keys,
    )
    .fetch_all(&mut *db)
    .await?;
    read_by_page(db, true).await?;
    for name in names {
        let place = usize::try_from(name.place - 1).unwrap_or(usize::MAX);
        if let Some(shown) = counted.get_mut(place)
            && shown.key != NONE
            && shown.click.is_none_or(|click| click < name.click)
        {
            shown.label = Some(name.label.unwrap_or_else(|| shown.key.clone()));
        }
    }
    Ok(())
}

/// Humans' clicks that had a partner: what conversions are measured against.
#[derive(Debug, Default)]
pub struct Reach {
    /// All in scope, each once.
    pub total: i64,
    /// By key of the group.
    pub by_key: std::collections::HashMap<String, i64>,
}

/// The clicks that conversions are measured against, read and not yet added up by group.
pub struct Measure {
    total: i64,
    cells: Option<Cells>,
}

impl Measure {
    /// Reads the clicks of humans that had a partner.
    ///
    /// # Errors
    /// The database's.
    pub async fn read(db: &mut PgConnection, cache: &Cache, scope: &Scope, group: Option<Group>) -> sqlx::Result<Self> {
        // In total by the dimension that has the fewest rows.
        let total = cells::read(db, cache, scope, None).await?.totals()?.human_partner;
        let cells = match group {
            Some(group) => Some(cells::read(db, cache, scope, Some(group)).await?),
            None => None,
        };
        Ok(Self { total, cells })
    }

    /// Counts them, in total and for some keys of the group; keys without clicks are left out.
    ///
    /// # Errors
    /// That a pack is damaged.
    pub async fn of_keys(self, keys: Vec<String>) -> sqlx::Result<Reach> {
        let Self { total, cells: Some(cells) } = self else {
            return Ok(Reach { total: self.total, ..Reach::default() });
        };
        let found = reckon(move || cells.of_keys(&keys)).await?;
        let by_key = found.groups.into_iter().map(|shown| (shown.key, shown.counts.human_partner)).collect();
        Ok(Reach { total, by_key })
    }
}
