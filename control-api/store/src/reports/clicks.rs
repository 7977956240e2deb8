//! Counts clicks. Rollups answer where they can: on ranges of whole quarter-hours, of the latest state, with one
//! dimension in play at most ([`super::spans`] says how a range is cut), packed where they have come to rest. They are
//! read together with the deltas that are not folded into them yet, so the answer is exact at any moment. Everything else
//! is counted from facts, bounded by the time inside click ids. [`cells`] reads, [`sums`] adds up.

mod cells;

pub use cells::first_id;
use cells::{Plan, plan};
use sqlx::PgConnection;

use super::{read_by_page, reckon};
use crate::packs::{Cache, decode};
use analytics::{
    clicks::{Cells, Shown},
    counts::{ClickGroups, Reach},
    group::ClickGroup,
    group_key::NONE,
    scope::{Bots, Scope},
};

/// Whether clicks in scope are counted from facts, one by one.
#[must_use]
pub fn counts_clicks(scope: &Scope, group: Option<ClickGroup>) -> bool {
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
    group: ClickGroup,
    bots: Bots,
    limit: usize,
) -> sqlx::Result<ClickGroups> {
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
    group: ClickGroup,
    keys: Vec<String>,
) -> sqlx::Result<ClickGroups> {
    let cells = cells::read(db, cache, scope, Some(group)).await?;
    Ok(reckon(move || cells.of_keys(&keys)).await?.into())
}

/// Names groups that are shown as their latest click did: the rollups' latest bucket knows it, unless a click that is not
/// folded yet is later.
async fn name(db: &mut PgConnection, scope: &Scope, group: ClickGroup, shown: &mut [Shown]) -> sqlx::Result<()> {
    let dimension = match plan(scope, Some(group)) {
        Plan::Rollups(dimension) if matches!(group, ClickGroup::Partner | ClickGroup::Program | ClickGroup::Link) => {
            dimension
        }
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
    pub async fn read(
        db: &mut PgConnection,
        cache: &Cache,
        scope: &Scope,
        group: Option<ClickGroup>,
    ) -> sqlx::Result<Self> {
        // In total by the dimension that has the fewest rows.
        let total = cells::read(db, cache, scope, None).await?.totals().map_err(decode)?.human_partner;
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
