//! Folds stored clicks into the rollups, a little behind. Reports don't wait for it: they read both.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::rest;
use crate::{app::App, db};

/// Clicks folded in one transaction: far below what one may take in time.
const STEP: i64 = 20_000;

/// Runs until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    let mut pause = Duration::ZERO;
    while rest(&stop, pause).await {
        pause = match db::rollups::fold(&app.db, STEP).await {
            Ok(folded) if folded == STEP => Duration::ZERO,
            Ok(_) => Duration::from_secs(1),
            Err(error) => {
                tracing::warn!(%error, "folding rollups failed; trying again");
                Duration::from_secs(2)
            }
        };
    }
}
