//! Rollups: folding into them what was stored, proving them against the clicks, repairing them, and bounding the
//! dimensions that visitors choose the values of. Quarter-hours and days are counted from clicks, a month is the sum of
//! its days; the four of them keep it so.

use futures::TryStreamExt as _;
use sqlx::{PgExecutor, PgPool, Postgres, Transaction};
use uuid::Uuid;

use analytics::{
    fold::clicks::{Delta, Tally},
    grain::{Day, Facts, Grain},
};
use model::time::Timestamp;

/// Only one instance writes rollups at a time; the others find the lock taken and rest.
const LOCK: i64 = 0x6e69_6d72_6f6c_6c75;

/// Values of `source` and of `referrer` that keep rows of their own, per workspace and day.
pub const KEPT_VALUES: i64 = 1_000;

/// Where a fold has come to in the deltas. A mere hint, so that it doesn't read again what it has emptied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(String);

impl Default for Place {
    fn default() -> Self {
        Self("(0,0)".to_owned())
    }
}

/// Folds at most `limit` clicks into the rollups, in one transaction, from a place on, and answers how many. Fewer than
/// `limit` mean that there were no more behind it; it is at the beginning then. `None` while another instance folds.
///
/// # Errors
/// The database's.
pub async fn fold_from(db: &PgPool, limit: i64, place: &mut Place) -> sqlx::Result<Option<i64>> {
    let Some(mut tx) = try_lock(db, LOCK).await? else { return Ok(None) };
    let (mut tally, mut folded, mut last) = (Tally::default(), 0, None);
    let mut taken = sqlx::query_file_as!(Delta, "src/rollups/take.sql", limit, place.0).fetch(&mut *tx);
    while let Some(delta) = taken.try_next().await? {
        tally.count(&delta);
        folded += 1;
        // They come in the order of their places.
        last = Some(delta.place);
    }
    drop(taken);
    let cells = tally.columns();
    sqlx::query_file!(
        "src/rollups/add.sql",
        &cells.workspace,
        &cells.dimension as _,
        &cells.grain as _,
        &cells.bucket,
        &cells.key,
        &cells.label as _,
        &cells.latest,
        &cells.human_link,
        &cells.human_qr,
        &cells.bot_link,
        &cells.bot_qr,
        &cells.human_partner,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    *place = last.filter(|_| folded == limit).map(Place).unwrap_or_default();
    Ok(Some(folded))
}

/// Gives the room of folded deltas back to those that come. Autovacuum would, but looks once a minute: by then reports,
/// which read the deltas too, would have to go through millions of emptied rows.
///
/// # Errors
/// The database's.
pub async fn sweep_deltas(db: &PgPool) -> sqlx::Result<()> {
    sqlx::query("vacuum (skip_locked, truncate false) click_deltas").execute(db).await?;
    Ok(())
}

/// Begins a transaction that alone writes the rollups that `lock` stands for; `None` while another one does.
pub(super) async fn try_lock(db: &PgPool, lock: i64) -> sqlx::Result<Option<Transaction<'static, Postgres>>> {
    let mut tx = db.begin().await?;
    // What is folded at once is grouped in memory, rather than in files.
    let row = sqlx::query!(
        r#"select pg_try_advisory_xact_lock($1) as "mine!", set_config('work_mem', '64MB', true) as "memory!""#,
        lock
    )
    .fetch_one(&mut *tx)
    .await?;
    Ok(row.mine.then_some(tx))
}

/// The same, but waits for its turn.
pub(super) async fn wait_for_lock(db: &PgPool, lock: i64) -> sqlx::Result<Transaction<'static, Postgres>> {
    let mut tx = db.begin().await?;
    sqlx::query!("select pg_advisory_xact_lock($1), set_config('work_mem', '64MB', true)", lock)
        .fetch_one(&mut *tx)
        .await?;
    Ok(tx)
}

/// Every day that has clicks or rollups, of one workspace or of all, oldest first; none whose clicks may be gone.
///
/// # Errors
/// The database's.
pub async fn days(db: &PgPool, workspace: Option<Uuid>) -> sqlx::Result<Vec<Day>> {
    // Skips from day to day along the primary keys, where reading every click would take minutes.
    sqlx::query_as!(
        Day,
        r#"with recursive facts as (
            select w.id as workspace, first.day
            from workspaces w
            cross join lateral (
                select date_trunc('day', uuid_extract_timestamp(click_id), 'UTC') as day
                from clicks c where c.workspace_id = w.id order by click_id limit 1
            ) first
            where $1::uuid is null or w.id = $1
            union all
            select facts.workspace, next.day
            from facts
            cross join lateral (
                select date_trunc('day', uuid_extract_timestamp(click_id), 'UTC') as day
                from clicks c
                where c.workspace_id = facts.workspace and c.click_id >= uuid_at(facts.day + interval '1 day')
                order by click_id limit 1
            ) next
        )
        select d.workspace as "workspace!", d.day as "start!: Timestamp"
        from (
            select workspace, day from facts
            union
            select workspace_id, bucket from click_rollups
            where dimension = 'all' and grain = 'day' and ($1::uuid is null or workspace_id = $1)
        ) d
        join workspaces w on w.id = d.workspace
        where w.clicks_pruned_before is null or d.day >= w.clicks_pruned_before
        order by 1, 2"#,
        workspace
    )
    .fetch_all(db)
    .await
}

/// In how many places the rollups of a day differ from its clicks.
///
/// # Errors
/// The database's.
pub async fn verify(db: &PgPool, day: Day) -> sqlx::Result<i64> {
    sqlx::query_file_scalar!("src/rollups/verify.sql", day.workspace, day.start.0).fetch_one(db).await
}

/// Counts a day's clicks again, while ingest and reports go on, and answers how many rows were wrong. Of a day that began
/// before `trimmed_before`, `source` and `referrer` get as many values as [`trim`] leaves them.
///
/// # Errors
/// The database's.
pub async fn rebuild(db: &PgPool, day: Day, trimmed_before: Timestamp) -> sqlx::Result<i64> {
    let mut tx = wait_for_lock(db, LOCK).await?;
    let kept = if day.start < trimmed_before { KEPT_VALUES } else { i64::MAX };
    let changed = sqlx::query_file_scalar!("src/rollups/rebuild.sql", day.workspace, day.start.0, kept)
        .fetch_one(&mut *tx)
        .await?;
    if changed > 0 {
        note_changed(&mut *tx, day, Facts::Clicks, Grain::Day).await?;
        note_changed(&mut *tx, day.month(), Facts::Clicks, Grain::Month).await?;
    }
    tx.commit().await?;
    Ok(changed)
}

/// In how many places the rollups of a month differ from the sum of its days.
///
/// # Errors
/// The database's.
pub async fn verify_month(db: &PgPool, month: Day) -> sqlx::Result<i64> {
    sqlx::query_file_scalar!("src/rollups/verify_month.sql", month.workspace, month.start.0).fetch_one(db).await
}

/// Adds the days of a month together again, and answers how many rows were wrong.
///
/// # Errors
/// The database's.
pub async fn rebuild_month(db: &PgPool, month: Day) -> sqlx::Result<i64> {
    let mut tx = wait_for_lock(db, LOCK).await?;
    let changed = sqlx::query_file_scalar!("src/rollups/rebuild_month.sql", month.workspace, month.start.0)
        .fetch_one(&mut *tx)
        .await?;
    if changed > 0 {
        note_changed(&mut *tx, month, Facts::Clicks, Grain::Month).await?;
    }
    tx.commit().await?;
    Ok(changed)
}

/// Keeps the [`KEPT_VALUES`] greatest values of `source` and `referrer` of days that began before `before`, and adds
/// the rest together. Answers how many days it found with more.
///
/// # Errors
/// The database's.
pub async fn trim(db: &PgPool, since: Timestamp, before: Timestamp) -> sqlx::Result<usize> {
    let crowded = sqlx::query!(
        r#"select workspace_id, dimension, bucket from click_rollups
        where dimension in ('source', 'referrer') and grain = 'day' and bucket >= $1 and bucket < $2
            and key not in ('none', '(other)')
        group by 1, 2, 3
        having count(*) > $3"#,
        since.0,
        before.0,
        KEPT_VALUES
    )
    .fetch_all(db)
    .await?;
    for day in &crowded {
        let Some(mut tx) = try_lock(db, LOCK).await? else { continue };
        sqlx::query_file!("src/rollups/trim.sql", day.workspace_id, day.dimension, day.bucket, KEPT_VALUES)
            .execute(&mut *tx)
            .await?;
        sqlx::query_file!("src/rollups/trim_month.sql", day.workspace_id, day.dimension, day.bucket)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
    }
    Ok(crowded.len())
}

/// Notes that the rollups of a day or month have changed, where no row tells it by itself.
///
/// # Errors
/// The database's.
pub async fn note_changed(db: impl PgExecutor<'_>, day: Day, facts: Facts, grain: Grain) -> sqlx::Result<()> {
    sqlx::query!(
        r#"select rollups_changed($1, $2, $3, $4)::text as "done""#,
        day.workspace,
        facts.as_str(),
        grain.as_str(),
        day.start.0
    )
    .fetch_one(db)
    .await?;
    Ok(())
}
