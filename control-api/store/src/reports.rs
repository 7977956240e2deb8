//! Reports: what they are asked for, and the snapshot they read. Each report is read in one snapshot, so that its
//! totals and groups agree however much arrives meanwhile.
//!
//! [`clicks`] counts traffic, from rollups where those hold the answer and from facts elsewhere;
//! [`conversions`] sums conversions likewise; [`hints`] looks around where a report came out empty.

pub mod clicks;
pub mod conversions;
mod fragments;
pub mod hints;
mod tags;

use analytics::pack::Damaged;
use shared::id::WorkspaceId;
use sqlx::{PgExecutor, PgPool, Postgres, Transaction};

use model::time::Timestamp;

use crate::packs::decode;

/// Since when a workspace's single clicks are kept; `None`: since ever.
///
/// # Errors
/// The database's.
pub async fn clicks_pruned_before(db: impl PgExecutor<'_>, workspace: WorkspaceId) -> sqlx::Result<Option<Timestamp>> {
    let before = sqlx::query_scalar!(
        r#"select clicks_pruned_before as "before: Timestamp" from workspaces where id = $1"#,
        workspace.uuid()
    );
    Ok(before.fetch_optional(db).await?.flatten())
}

/// Begins a snapshot: everything read in it is of one moment, and no statement takes longer than half a minute.
///
/// # Errors
/// The database's.
pub async fn snapshot(db: &PgPool) -> sqlx::Result<Transaction<'static, Postgres>> {
    let mut tx = db.begin_with("begin isolation level repeatable read, read only").await?;
    // Planned for the very range that is asked for, and sorted in memory.
    let settings = "set local statement_timeout = '30s'; set local work_mem = '32MB';
        set local plan_cache_mode = 'force_custom_plan'";
    sqlx::raw_sql(settings).execute(&mut *tx).await?;
    Ok(tx)
}

/// Lets statements of a snapshot take as long as they do.
///
/// # Errors
/// The database's.
pub async fn lift_time_limit(db: impl PgExecutor<'_>) -> sqlx::Result<()> {
    sqlx::raw_sql("set local statement_timeout = 0").execute(db).await?;
    Ok(())
}

/// How rows are found by an index for the rest of a transaction. To sum many, in the order of their pages: what is read
/// together lies on few pages, but the planner takes the order of the key for the order of the table, and visits each page
/// once for every row. To find the first of many, in the order of the key.
///
/// # Errors
/// The database's.
pub async fn read_by_page(db: impl PgExecutor<'_>, yes: bool) -> sqlx::Result<()> {
    sqlx::raw_sql(if yes { "set local enable_indexscan = off" } else { "set local enable_indexscan = on" })
        .execute(db)
        .await?;
    Ok(())
}

/// Adds up what was read, away from the threads that requests wait for: a year of a hundred thousand cells takes
/// milliseconds.
async fn reckon<T: Send + 'static>(work: impl FnOnce() -> Result<T, Damaged> + Send + 'static) -> sqlx::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(decode),
        Err(stopped) => Err(sqlx::Error::Io(stopped.into())),
    }
}

/// How far the database has written; a replica that has come as far knows everything that was stored by now.
///
/// # Errors
/// The database's.
pub async fn written(db: impl PgExecutor<'_>) -> sqlx::Result<String> {
    sqlx::query_scalar!(r#"select pg_current_wal_lsn()::text as "at!""#).fetch_one(db).await
}

/// Whether a replica has come so far. What is no replica has.
///
/// # Errors
/// The replica's.
pub async fn has_reached(replica: impl PgExecutor<'_>, at: &str) -> sqlx::Result<bool> {
    let sql = "select not pg_is_in_recovery() or coalesce(pg_last_wal_replay_lsn() >= $1::text::pg_lsn, false)";
    sqlx::query_scalar(sql).bind(at).fetch_one(replica).await
}

/// Milliseconds that have passed since a moment, by the database's clock; negative: it is still to come.
///
/// # Errors
/// The database's.
pub async fn age(db: impl PgExecutor<'_>, at: Timestamp) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"select floor(extract(epoch from clock_timestamp() - $1) * 1000)::bigint as "age!""#, at.0,)
        .fetch_one(db)
        .await
}
