//! Joins what two transactions could not see of each other: an event and its click, a follow-on and its
//! original, stored at the same moment. And ends the wait of what never found its other half.

use std::time::Duration;

use store::PgConnection;
use tokio_util::sync::CancellationToken;

use super::rest::rest;
use crate::app::App;
use domain::Error;
use domain::{
    attribution::{PATIENCE_DAYS, refuse},
    follow_ons,
    settle::settle_waiting,
};
use model::conversion::{Method, Reason, Status};
use store::events::{Conversion, Place};

/// Conversions looked at in one transaction.
const STEP: usize = 200;
/// Between two looks.
const PAUSE: Duration = Duration::from_secs(2);

/// Runs until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    while rest(&stop, PAUSE).await {
        if let Err(error) = sweep(&app).await {
            tracing::warn!(%error, "late attribution failed; trying again");
        }
    }
}

/// Looks once at everything that waits for what is there, or has waited for too long. What still has to wait does not
/// hold up what comes behind it.
///
/// # Errors
/// The database's.
pub async fn sweep(app: &App) -> Result<(), Error> {
    let mut place = Place::START;
    loop {
        let mut tx = app.db.begin().await?;
        let overlooked = store::events::overlooked(&mut *tx, PATIENCE_DAYS, place, STEP).await?;
        let Some(last) = overlooked.last() else { return Ok(()) };
        place = Place::behind(last);
        let full = overlooked.len() == STEP;
        step(&mut tx, overlooked).await?;
        tx.commit().await?;
        if !full {
            return Ok(());
        }
    }
}

async fn step(tx: &mut PgConnection, overlooked: Vec<Conversion>) -> Result<(), Error> {
    // By the clock that wrote `recorded_at`.
    let now = store::assignments::moment(&mut *tx).await?.millis();
    let deadline = now.plus(-shared::Millis::DAY * i64::from(PATIENCE_DAYS));
    let too_long = |row: &Conversion| row.recorded_at.is_some_and(|at| at.millis() < deadline);
    let (clicks, originals): (Vec<_>, Vec<_>) =
        overlooked.into_iter().partition(|row| row.status == Status::PendingClick);
    let (customers, tokens): (Vec<_>, Vec<_>) = clicks.into_iter().partition(|row| row.tried == Some(Method::Customer));

    let mut left = settle_waiting(tx, Method::Token, tokens).await?;
    left.retain(too_long);
    give_up(tx, &mut left, Reason::ClickNotReceived).await?;
    follow_ons::originals_settled(tx, left.iter()).await?;
    // These wait for nothing but those, so they end when those do.
    settle_waiting(tx, Method::Customer, customers).await?;
    // So do follow-ons whose original is known; only what has none is given up.
    let mut left = follow_ons::settle_each(tx, originals).await?;
    left.retain(too_long);
    give_up(tx, &mut left, Reason::OriginalNotFound).await
}

async fn give_up(tx: &mut PgConnection, rows: &mut [Conversion], reason: Reason) -> Result<(), Error> {
    for row in rows.iter_mut() {
        refuse(row, reason);
    }
    store::events::settle(&mut *tx, rows).await?;
    Ok(())
}
