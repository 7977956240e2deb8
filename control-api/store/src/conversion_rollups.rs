//! Rollups of conversions: folding into them what became final, proving them against the conversions, and repairing them.
//! A month is the unit of proof and repair, since it is the coarsest grain.

use sqlx::PgPool;
use uuid::Uuid;

use super::rollups;
use analytics::{
    fold::conversions::{self, Settled},
    grain::{Day, Facts, Grain},
};
use model::conversion::EventType;

/// Only one instance writes these rollups at a time.
const LOCK: i64 = 0x6e69_6d72_6f6c_6c76;

/// Folds at most `limit` conversions into the rollups, in one transaction, and answers how many; `None` while another
/// instance folds.
///
/// # Errors
/// The database's.
pub async fn fold(db: &PgPool, limit: i64) -> sqlx::Result<Option<i64>> {
    let Some(mut tx) = rollups::try_lock(db, LOCK).await? else { return Ok(None) };
    let settled = sqlx::query_file_as!(Settled, "src/conversion_rollups/take.sql", limit).fetch_all(&mut *tx).await?;
    let cells = conversions::columns(&settled);
    sqlx::query_file!(
        "src/conversion_rollups/add.sql",
        &cells.workspace,
        &cells.dimension as _,
        &cells.grain as _,
        &cells.bucket,
        &cells.key,
        &cells.bot,
        &cells.currency,
        &cells.reward_currency,
        &cells.label as _,
        &cells.latest,
        &cells.leads,
        &cells.sales,
        &cells.refunds,
        &cells.cancellations,
        &cells.reversals,
        &cells.unattributed,
        &cells.gross,
        &cells.negative,
        &cells.reward,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(Some(i64::try_from(settled.len()).unwrap_or(i64::MAX)))
}

/// Gives the room of folded deltas back to those that come.
///
/// # Errors
/// The database's.
pub async fn sweep_deltas(db: &PgPool) -> sqlx::Result<()> {
    sqlx::query("vacuum (skip_locked, truncate false) conversion_deltas").execute(db).await?;
    Ok(())
}

/// Every month that has conversions or rollups, of one workspace or of all, oldest first.
///
/// # Errors
/// The database's.
pub async fn months(db: &PgPool, workspace: Option<Uuid>) -> sqlx::Result<Vec<Day>> {
    // Skips from month to month along the index of times.
    sqlx::query_as!(
        Day,
        r#"with recursive facts as (
            select w.id as workspace, first.month
            from workspaces w
            cross join lateral (
                select date_trunc('month', occurred_at, 'UTC') as month
                from conversions c where c.workspace_id = w.id order by occurred_at limit 1
            ) first
            where $1::uuid is null or w.id = $1
            union all
            select facts.workspace, next.month
            from facts
            cross join lateral (
                select date_trunc('month', occurred_at, 'UTC') as month
                from conversions c
                where c.workspace_id = facts.workspace and c.occurred_at >= facts.month + interval '1 month'
                order by occurred_at limit 1
            ) next
        )
        select d.workspace as "workspace!", d.month as "start!: model::time::Timestamp"
        from (
            select workspace, month from facts
            union
            select workspace_id, bucket from conversion_rollups
            where dimension = 'all' and grain = 'month' and ($1::uuid is null or workspace_id = $1)
        ) d
        order by 1, 2"#,
        workspace
    )
    .fetch_all(db)
    .await
}

/// In how many places the rollups of a month differ from its conversions.
///
/// # Errors
/// The database's.
pub async fn verify(db: &PgPool, month: Day) -> sqlx::Result<i64> {
    sqlx::query_file_scalar!("src/conversion_rollups/verify.sql", month.workspace, month.start.0).fetch_one(db).await
}

/// Counts a month's conversions again, while events and reports go on, and answers how many rows were wrong.
///
/// # Errors
/// The database's.
pub async fn rebuild(db: &PgPool, month: Day) -> sqlx::Result<i64> {
    let mut tx = rollups::wait_for_lock(db, LOCK).await?;
    let changed = sqlx::query_file_scalar!("src/conversion_rollups/rebuild.sql", month.workspace, month.start.0)
        .fetch_one(&mut *tx)
        .await?;
    if changed > 0 {
        rollups::note_changed(&mut *tx, month, Facts::Conversions, Grain::Month).await?;
        // Which of its days were wrong isn't known.
        for day in month.days() {
            rollups::note_changed(&mut *tx, day, Facts::Conversions, Grain::Day).await?;
        }
    }
    tx.commit().await?;
    Ok(changed)
}
