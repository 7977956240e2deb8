//! Joins what two transactions could not see of each other: an event and its click, a follow-on and its
//! original, stored at the same moment. And ends the wait of what never found its other half.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::rest;
use crate::{
    app::App,
    db::{
        self,
        events::{Conversion, Reason, Status},
    },
    domain::{
        attribution::{PATIENCE_DAYS, refuse, settle_waiting},
        follow_ons,
    },
    error::ApiError,
};

/// Conversions settled in one transaction.
const STEP: i64 = 200;
/// Between two looks.
const PAUSE: Duration = Duration::from_secs(2);

/// Runs until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    let mut pause = PAUSE;
    while rest(&stop, pause).await {
        pause = match sweep(&app).await {
            Ok(settled) if settled == STEP => Duration::ZERO,
            Ok(_) => PAUSE,
            Err(error) => {
                tracing::warn!(%error, "late attribution failed; trying again");
                PAUSE
            }
        };
    }
}

async fn sweep(app: &App) -> Result<i64, ApiError> {
    let mut tx = app.db.begin().await?;
    let overlooked = db::events::overlooked(&mut *tx, PATIENCE_DAYS, STEP).await?;
    let count = i64::try_from(overlooked.len()).unwrap_or(STEP);
    let patience = shared::Millis::DAY * i64::from(PATIENCE_DAYS);
    let deadline = app.ambient.now().plus(-patience);
    let (clicks, originals): (Vec<Conversion>, Vec<Conversion>) =
        overlooked.into_iter().partition(|row| row.status == Status::PendingClick);

    settle_waiting(&mut tx, clicks.clone()).await?;
    follow_ons::settle_each(&mut tx, originals.clone()).await?;
    // What is still pending now and has waited long enough is given up; `settle` leaves the rest alone.
    let mut given_up: Vec<Conversion> = clicks
        .into_iter()
        .chain(originals)
        .filter(|row| row.recorded_at.is_some_and(|at| at.millis() < deadline))
        .collect();
    for row in &mut given_up {
        let reason =
            if row.status == Status::PendingClick { Reason::ClickNotReceived } else { Reason::OriginalNotFound };
        refuse(row, reason);
    }
    db::events::settle(&mut *tx, &given_up).await?;
    let leading: Vec<Conversion> = given_up.into_iter().filter(|row| !row.r#type.is_follow_on()).collect();
    follow_ons::originals_settled(&mut tx, &leading).await?;
    tx.commit().await?;
    Ok(count)
}
