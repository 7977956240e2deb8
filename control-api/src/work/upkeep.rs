//! Housekeeping: partitions made ahead, what nobody keeps any longer let go of, counts of minted clicks summed up,
//! rollups of visitors' own words bounded.

use std::time::Duration;

use shared::Millis;
use tokio_util::sync::CancellationToken;

use super::rest;
use crate::{app::App, db, time::At};

/// How far ahead partitions are made, in days: a service that stands still for a month misses none.
const AHEAD_DAYS: i64 = 70;
/// Clicks may be late by 15 days, and then their fold; after that nothing comes to a day any more.
const SETTLED_DAYS: i64 = 17;
/// Partitions are looked at when they are out of reach of the ones made anew for late clicks.
const OLD_DAYS: i64 = 60;
/// Clicks deleted at a time: far less than a transaction has time for.
const STEP: i64 = 5_000;

/// Runs until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    let mut pause = Duration::from_secs(60);
    while rest(&stop, pause).await {
        pause = Duration::from_secs(3_600);
        app.limits.forget_idle();
        if let Err(error) = once(&app).await {
            tracing::warn!(%error, "upkeep failed; trying again in an hour");
        }
    }
}

/// Does all of it once.
///
/// # Errors
/// The database's.
pub async fn once(app: &App) -> sqlx::Result<()> {
    let mut connection = app.db.acquire().await?;
    let days_from_now = |days: i64| At::from_millis(app.ambient.now().plus(days * Millis::DAY));
    // Every 10 days hits every month.
    for days in (-20..=AHEAD_DAYS).step_by(10) {
        db::clicks::ensure_partition(&mut connection, days_from_now(days)).await?;
    }
    sqlx::query!("delete from idempotency_keys where created_at < now() - interval '24 hours'")
        .execute(&mut *connection)
        .await?;
    db::delivery::compact(&mut *connection).await?;
    drop(connection);

    let trimmed = db::rollups::trim(&app.db, days_from_now(-SETTLED_DAYS), days_from_now(-1)).await?;
    let pruned_before = db::retention::announce(&app.db, days_from_now(0)).await?;
    // Whole partitions first: what goes with them need not be deleted row by row.
    let dropped = db::retention::drop_partitions(&app.reads, days_from_now(-OLD_DAYS)).await?;
    let mut pruned = 0;
    for (workspace, before) in pruned_before {
        loop {
            let gone = db::retention::prune(&app.db, workspace, before, STEP).await?;
            pruned += gone;
            if gone == 0 {
                break;
            }
        }
    }
    if trimmed > 0 || pruned > 0 || !dropped.is_empty() {
        tracing::info!(trimmed, pruned, ?dropped, "upkeep");
    }
    Ok(())
}
