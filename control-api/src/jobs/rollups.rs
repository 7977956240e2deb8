//! Folds stored clicks and final conversions into the rollups, a little behind. Reports don't wait for it: they read both.

use std::time::Duration;

use anyhow::ensure;
use shared::{Millis, id::WorkspaceId};
use store::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{maintenance::trimmed_before, rest::rest};
use crate::app::App;
use analytics::grain::Day;
use model::time::Timestamp;
use store::rollups::Place;

/// The most clicks folded in one transaction, and the fewest that are tried. How many fit into the time that a
/// transaction may take depends on how many groups they fall into, which only trying tells. Many at once are cheap: they
/// share groups.
const MOST: i64 = 128_000;
const FEWEST: i64 = 250;
/// So many folded clicks leave enough room behind to be swept.
const SWEPT: i64 = 200_000;

/// Runs until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    let mut step = MOST / 32;
    let mut pause = Duration::ZERO;
    let mut place = Place::default();
    let mut emptied = 0;
    while rest(&stop, pause).await {
        let began_at_start = place == Place::default();
        pause = match store::rollups::fold_from(&app.db, step, &mut place).await {
            // Another instance folds. Should it stop, the next look begins where its deltas may lie: anywhere.
            Ok(None) => {
                place = Place::default();
                Duration::from_secs(1)
            }
            Ok(Some(folded)) => {
                emptied += folded;
                if folded == step {
                    step = (step * 2).min(MOST);
                    Duration::ZERO
                } else if began_at_start {
                    Duration::from_secs(1)
                } else {
                    Duration::ZERO
                }
            }
            Err(error) => {
                step = (step / 2).max(FEWEST);
                tracing::warn!(%error, step, "folding rollups failed; trying again with fewer");
                Duration::from_millis(500)
            }
        };
        if emptied >= SWEPT {
            emptied = 0;
            if let Err(error) = store::rollups::sweep_deltas(&app.db).await {
                tracing::warn!(%error, "sweeping folded deltas failed; autovacuum will do it");
            }
        }
    }
}

/// The most conversions folded in one transaction.
const CONVERSIONS: i64 = 16_000;

/// The same for conversions, until `stop`.
pub async fn run_conversions(app: App, stop: CancellationToken) {
    let mut pause = Duration::ZERO;
    let mut step = CONVERSIONS;
    let mut emptied = 0;
    while rest(&stop, pause).await {
        pause = match store::conversion_rollups::fold(&app.db, step).await {
            Ok(Some(folded)) if folded == step => {
                emptied += folded;
                step = (step * 2).min(CONVERSIONS);
                Duration::ZERO
            }
            Ok(_) => Duration::from_secs(1),
            Err(error) => {
                step = (step / 2).max(FEWEST);
                tracing::warn!(%error, step, "folding conversions failed; trying again with fewer");
                Duration::from_millis(500)
            }
        };
        if emptied >= SWEPT / 4 {
            emptied = 0;
            if let Err(error) = store::conversion_rollups::sweep_deltas(&app.db).await {
                tracing::warn!(%error, "sweeping folded conversions failed; autovacuum will do it");
            }
        }
    }
}

/// Buckets packed before looking anew for what is due.
const PACKED: i64 = 100;

/// Packs what has come to rest, until `stop`.
pub async fn run_packs(app: App, stop: CancellationToken) {
    let mut pause = Duration::from_secs(5);
    while rest(&stop, pause).await {
        let making = store::packs::make(&app.reads, Timestamp::from_millis(app.clock.now()), PACKED);
        // What is begun and not kept is made another time.
        let made = tokio::select! {
            made = making => made,
            () = stop.cancelled() => return,
        };
        pause = match made {
            Ok(PACKED) => Duration::ZERO,
            Ok(_) => Duration::from_secs(60),
            Err(error) => {
                tracing::warn!(%error, "packing rollups failed; trying again in a minute");
                Duration::from_secs(60)
            }
        };
    }
}

/// What can be done about rollups beside folding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Check {
    /// Tells where they differ from the clicks, and fails if they do
    Verify,
    /// Counts the clicks again and corrects what differs
    Rebuild,
    /// Packs days and months that are over now, where the service would get to them within minutes
    Pack,
}

/// Goes through the rollups of clicks day by day, through those of conversions month by month, and then through the packs.
/// Ingest and reports go on meanwhile; a rebuild only keeps the folding waiting, one of them at a time.
///
/// # Errors
/// The database's, or that rollups differ.
pub async fn check(db: &PgPool, check: Check, workspace: Option<WorkspaceId>, now: Millis) -> anyhow::Result<()> {
    let workspace = workspace.map(shared::Id::uuid);
    let wrong = match check {
        Check::Verify => {
            clicks(db, check, workspace, now).await?
                + conversions(db, check, workspace).await?
                + verify_packs(db, workspace).await?
        }
        Check::Rebuild => {
            let corrected = clicks(db, check, workspace, now).await? + conversions(db, check, workspace).await?;
            store::packs::discard(db, workspace).await?;
            pack(db, now).await?;
            corrected
        }
        Check::Pack => {
            pack(db, now).await?;
            0
        }
    };
    ensure!(
        check != Check::Verify || wrong == 0,
        "the rollups of {wrong} days and months differ; `control-api rollups rebuild` corrects them"
    );
    Ok(())
}

/// Those of clicks, day by day; answers how many were wrong.
async fn clicks(db: &PgPool, check: Check, workspace: Option<Uuid>, now: Millis) -> anyhow::Result<usize> {
    let days = store::rollups::days(db, workspace).await?;
    let trimmed_before = trimmed_before(now);
    let mut wrong = 0;
    let mut rest = days.iter().copied().peekable();
    while let Some(day) = rest.next() {
        let mut places = match check {
            Check::Rebuild => store::rollups::rebuild(db, day, trimmed_before).await?,
            _ => store::rollups::verify(db, day).await?,
        };
        // Days come in order: after its last one, a month is added up.
        if rest.peek().map(|next| next.month()) != Some(day.month()) {
            places += match check {
                Check::Rebuild => store::rollups::rebuild_month(db, day.month()).await?,
                _ => store::rollups::verify_month(db, day.month()).await?,
            };
        }
        wrong += usize::from(tell(check, "clicks", day, places));
    }
    tracing::info!(days = days.len(), wrong, "went through the rollups of clicks");
    Ok(wrong)
}

/// Those of conversions, month by month; answers how many were wrong.
async fn conversions(db: &PgPool, check: Check, workspace: Option<Uuid>) -> anyhow::Result<usize> {
    let months = store::conversion_rollups::months(db, workspace).await?;
    let mut wrong = 0;
    for &month in &months {
        let places = match check {
            Check::Rebuild => store::conversion_rollups::rebuild(db, month).await?,
            _ => store::conversion_rollups::verify(db, month).await?,
        };
        wrong += usize::from(tell(check, "conversions", month, places));
    }
    tracing::info!(months = months.len(), wrong, "went through the rollups of conversions");
    Ok(wrong)
}

/// Reports what was found; answers whether anything was wrong.
fn tell(check: Check, of: &str, day: Day, places: i64) -> bool {
    let (workspace, from) = (WorkspaceId::from_uuid(day.workspace), day.start);
    match check {
        _ if places == 0 => return false,
        Check::Rebuild => tracing::info!(%workspace, %from, places, of, "rollups corrected"),
        _ => tracing::error!(%workspace, %from, places, of, "rollups differ from what they count"),
    }
    true
}

async fn verify_packs(db: &PgPool, workspace: Option<Uuid>) -> anyhow::Result<usize> {
    let buckets = store::packs::kept(db, workspace).await?;
    let mut wrong = 0;
    for bucket in &buckets {
        let packs = store::packs::verify(db, bucket).await?;
        if packs > 0 {
            wrong += 1;
            let workspace = WorkspaceId::from_uuid(bucket.workspace);
            let (of, grain, from) = (bucket.facts, bucket.grain, bucket.start);
            tracing::error!(%workspace, %of, %grain, %from, packs, "packs differ from their rollups");
        }
    }
    tracing::info!(buckets = buckets.len(), wrong, "went through the packs");
    Ok(wrong)
}

/// Packs all that is due and over; what another instance is at is left to it.
async fn pack(db: &PgPool, now: Millis) -> anyhow::Result<()> {
    let mut made = 0;
    loop {
        match store::packs::make(db, Timestamp::from_millis(now), PACKED).await? {
            0 => break,
            some => made += some,
        }
    }
    tracing::info!(made, "packed days and months");
    Ok(())
}
