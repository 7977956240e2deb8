//! Folds stored clicks into the rollups, a little behind. Reports don't wait for it: they read both.

use std::time::Duration;

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
