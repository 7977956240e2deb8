//! Housekeeping: partitions made ahead, answers to old idempotency keys and idle counts of requests removed, counts of
//! minted clicks summed up.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::rest;
use crate::{app::App, db, time::At};

/// How far ahead partitions are made, in days: a service that stands still for a month misses none.
const AHEAD_DAYS: i64 = 70;

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

async fn once(app: &App) -> sqlx::Result<()> {
    let mut connection = app.db.acquire().await?;
    let now = app.ambient.now();
    // Every 10 days hits every month.
    for days in (-20..=AHEAD_DAYS).step_by(10) {
        db::clicks::ensure_partition(&mut connection, At::from_millis(now.plus(days * shared::Millis::DAY))).await?;
    }
    sqlx::query!("delete from idempotency_keys where created_at < now() - interval '24 hours'")
        .execute(&mut *connection)
        .await?;
    db::delivery::compact(&mut *connection).await?;
    Ok(())
}
