//! Folds stored clicks and final conversions into the rollups, a little behind. Reports don't wait for it: they read both.

use std::time::Duration;

use anyhow::ensure;
use shared::{Millis, id::WorkspaceId};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::{rest, upkeep::trimmed_before};
use crate::{
    app::App,
    db::{self, rollups::Place},
};

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
        pause = match db::rollups::fold_from(&app.db, step, &mut place).await {
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
            if let Err(error) = db::rollups::sweep_deltas(&app.db).await {
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
        pause = match db::conversion_rollups::fold(&app.db, step).await {
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
            if let Err(error) = db::conversion_rollups::sweep_deltas(&app.db).await {
                tracing::warn!(%error, "sweeping folded conversions failed; autovacuum will do it");
            }
        }
    }
}

/// What can be done about rollups beside folding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Check {
    /// Tells where they differ from the clicks, and fails if they do
    Verify,
    /// Counts the clicks again and corrects what differs
    Rebuild,
}

/// Goes through the rollups of clicks day by day, and through those of conversions month by month. Ingest and reports go on meanwhile; a rebuild only keeps the folding waiting,
/// one of them at a time.
///
/// # Errors
/// The database's, or that rollups differ.
pub async fn check(db: &PgPool, check: Check, workspace: Option<WorkspaceId>, now: Millis) -> anyhow::Result<()> {
    let days = db::rollups::days(db, workspace.map(shared::Id::uuid)).await?;
    let trimmed_before = trimmed_before(now);
    let mut wrong = 0_usize;
    let mut rest = days.iter().copied().peekable();
    while let Some(day) = rest.next() {
        let mut places = match check {
            Check::Verify => db::rollups::verify(db, day).await?,
            Check::Rebuild => db::rollups::rebuild(db, day, trimmed_before).await?,
        };
        // Days come in order: after its last one, a month is added up.
        if rest.peek().map(|next| next.month()) != Some(day.month()) {
            places += match check {
                Check::Verify => db::rollups::verify_month(db, day.month()).await?,
                Check::Rebuild => db::rollups::rebuild_month(db, day.month()).await?,
            };
        }
        if places > 0 {
            wrong += 1;
            let workspace = WorkspaceId::from_uuid(day.workspace);
            match check {
                Check::Verify => tracing::error!(%workspace, day = %day.start, places, "rollups differ from clicks"),
                Check::Rebuild => tracing::info!(%workspace, day = %day.start, places, "rollups corrected"),
            }
        }
    }
    let months = db::conversion_rollups::months(db, workspace.map(shared::Id::uuid)).await?;
    for &month in &months {
        let places = match check {
            Check::Verify => db::conversion_rollups::verify(db, month).await?,
            Check::Rebuild => db::conversion_rollups::rebuild(db, month).await?,
        };
        if places > 0 {
            wrong += 1;
            let (workspace, month) = (WorkspaceId::from_uuid(month.workspace), month.start);
            match check {
                Check::Verify => tracing::error!(%workspace, %month, places, "rollups differ from conversions"),
                Check::Rebuild => tracing::info!(%workspace, %month, places, "rollups of conversions corrected"),
            }
        }
    }
    tracing::info!(days = days.len(), months = months.len(), wrong, "went through the rollups");
    ensure!(
        check == Check::Rebuild || wrong == 0,
        "the rollups of {wrong} of {} days and {} months of conversions differ; `control-api rollups rebuild` corrects them",
        days.len(),
        months.len()
    );
    Ok(())
}
