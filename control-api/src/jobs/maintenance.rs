//! Housekeeping: partitions made ahead, what nobody keeps any longer let go of, counts of minted clicks summed up,
//! rollups of visitors' own words bounded.

use std::time::Duration;

use shared::Millis;
use tokio_util::sync::CancellationToken;

use super::rest::rest;
use crate::app::App;
use model::time::Timestamp;

/// How far ahead partitions are made, in days: a service that stands still for a month misses none.
const AHEAD_DAYS: i64 = 70;
/// Clicks may be late by 15 days, and then their fold; after that nothing comes to a day any more.
const SETTLED_DAYS: i64 = 17;
/// Partitions are looked at when they are out of reach of the ones made anew for late clicks.
const OLD_DAYS: i64 = 60;
/// Clicks deleted at a time: far less than a transaction has time for.
const STEP: i64 = 5_000;

/// Days that began before this have been trimmed, or are about to be.
pub(super) fn trimmed_before(now: Millis) -> Timestamp {
    Timestamp::from_millis(now.plus(-Millis::DAY))
}

/// Runs until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    let mut pause = Duration::from_secs(60);
    while rest(&stop, pause).await {
        pause = Duration::from_secs(3_600);
        app.limits.forget_idle();
        if let Err(error) = until(&app, &stop).await {
            tracing::warn!(%error, "upkeep failed; trying again in an hour");
        }
    }
}

/// Does all of it once.
///
/// # Errors
/// As [`until`].
pub async fn once(app: &App) -> store::Result<()> {
    until(app, &CancellationToken::new()).await
}

/// Does all of it once; nothing where another instance is at it. What fails holds up nothing else. Ends early on `stop`.
///
/// # Errors
/// The database's, by the first step that failed.
async fn until(app: &App, stop: &CancellationToken) -> store::Result<()> {
    let Some(turn) = store::retention::Turn::take(&app.reads).await? else { return Ok(()) };
    let done = [
        ("partitions", partitions(app).await),
        ("idempotency keys", store::idempotency::forget_old(&app.db, STEP).await),
        ("counts of minted clicks", store::delivery::compact(&app.db).await),
        ("trimming of rollups", trim(app).await),
        ("retention", retention(app, stop).await),
    ];
    let mut first = turn.end().await;
    for (step, outcome) in done {
        if let Err(error) = outcome {
            tracing::warn!(%error, step, "a step of upkeep failed");
            first = first.and(Err(error));
        }
    }
    first
}

fn days_from_now(app: &App, days: i64) -> Timestamp {
    Timestamp::from_millis(app.clock.now().plus(days * Millis::DAY))
}

async fn partitions(app: &App) -> store::Result<()> {
    // Every 10 days hits every month.
    for days in (-20..=AHEAD_DAYS).step_by(10) {
        store::clicks::ensure_partition(&mut *app.db.acquire().await?, days_from_now(app, days)).await?;
    }
    Ok(())
}

async fn trim(app: &App) -> store::Result<()> {
    // A day with very many values takes longer than a request's transaction may.
    let trimmed =
        store::rollups::trim(&app.reads, days_from_now(app, -SETTLED_DAYS), trimmed_before(app.clock.now())).await?;
    if trimmed > 0 {
        tracing::info!(trimmed, "days of rollups trimmed");
    }
    Ok(())
}

async fn retention(app: &App, stop: &CancellationToken) -> store::Result<()> {
    let pruned_before = store::retention::announce(&app.db, days_from_now(app, 0)).await?;
    // Whole partitions first: what goes with them need not be deleted row by row.
    let dropped = store::retention::drop_partitions(&app.reads, days_from_now(app, -OLD_DAYS)).await?;
    let mut pruned = 0;
    for (workspace, before) in pruned_before {
        while !stop.is_cancelled() {
            let gone = store::retention::prune(&app.db, workspace, before, STEP).await?;
            pruned += gone;
            if gone == 0 {
                break;
            }
        }
    }
    if pruned > 0 || !dropped.is_empty() {
        tracing::info!(pruned, ?dropped, "clicks that nobody keeps are gone");
    }
    Ok(())
}
