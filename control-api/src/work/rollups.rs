//! Folds stored clicks into the rollups, a little behind. Reports don't wait for it: they read both.

use std::time::Duration;

use anyhow::ensure;
use shared::id::WorkspaceId;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::rest;
use crate::{app::App, db};

/// The most clicks folded in one transaction, and the fewest that are tried. How many fit into the time that a
/// transaction may take depends on how many groups they fall into, which only trying tells.
const MOST: i64 = 16_000;
const FEWEST: i64 = 250;

/// Runs until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    let mut step = MOST / 4;
    let mut pause = Duration::ZERO;
    while rest(&stop, pause).await {
        pause = match db::rollups::fold(&app.db, step).await {
            Ok(folded) if folded == step => {
                step = (step * 2).min(MOST);
                Duration::ZERO
            }
            Ok(_) => Duration::from_secs(1),
            Err(error) => {
                step = (step / 2).max(FEWEST);
                tracing::warn!(%error, step, "folding rollups failed; trying again with fewer");
                Duration::from_millis(500)
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
}

/// Goes through the rollups day by day. Ingest and reports go on meanwhile; a rebuild only keeps the folding waiting,
/// one day at a time.
///
/// # Errors
/// The database's, or that rollups differ.
pub async fn check(db: &PgPool, check: Check, workspace: Option<WorkspaceId>) -> anyhow::Result<()> {
    let days = db::rollups::days(db, workspace.map(shared::Id::uuid)).await?;
    let mut wrong = 0_usize;
    let mut rest = days.iter().copied().peekable();
    while let Some(day) = rest.next() {
        let mut places = match check {
            Check::Verify => db::rollups::verify(db, day).await?,
            Check::Rebuild => db::rollups::rebuild(db, day).await?,
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
    tracing::info!(days = days.len(), wrong, "went through the rollups");
    ensure!(
        check == Check::Rebuild || wrong == 0,
        "the rollups of {wrong} of {} days differ; `control-api rollups rebuild` corrects them",
        days.len()
    );
    Ok(())
}
