//! Tells the edge what has changed: leases rows of the outbox, builds their records as they are now,
//! publishes them, and clears what has not changed meanwhile. What is uncertain is published again: an older
//! version never wins at the edge, so that is safe.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    publish::{Failure, Publisher},
};
use domain::Error;
use store::outbox::{Leased, Notices};

/// Between two looks, where nothing wakes us.
const PAUSE: Duration = Duration::from_secs(1);
/// A key alone was not taken: the store may want a second between two writes of one key.
const KEY_PAUSE: f64 = 1.5;

/// What makes no record is looked at again after this long: somebody mends the row by hand.
const SPOILT_PAUSE: f64 = 600.0;

/// Runs until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    let Some(publisher) = app.publisher.clone() else { return };
    let mut wakes = listen(&app).await;
    while !stop.is_cancelled() {
        match turn(&app, &*publisher).await {
            Ok(false) => {}
            Ok(true) => continue,
            Err(error) => tracing::warn!(%error, "replication failed; trying again"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(PAUSE) => {
                if wakes.is_none() {
                    wakes = listen(&app).await;
                }
            }
            woken = wake(wakes.as_mut()) => {
                if woken.is_err() {
                    wakes = None;
                }
            }
        }
    }
}

/// Waking is a kindness: without it the outbox is looked at once a second.
async fn listen(app: &App) -> Option<Notices> {
    Notices::listen(&app.reads).await.ok()
}

async fn wake(notices: Option<&mut Notices>) -> store::Result<()> {
    match notices {
        Some(notices) => notices.next().await,
        None => std::future::pending().await,
    }
}

/// Spreads a change by a step and publishes what is due. Answers whether there was anything to do.
async fn turn(app: &App, publisher: &dyn Publisher) -> Result<bool, Error> {
    let spread = store::outbox::fan_out_step(&app.db).await?;
    Ok(publish_due(app, publisher).await? > 0 || spread)
}

/// Publishes what is due and answers how much that was.
///
/// # Errors
/// The database's.
pub async fn publish_due(app: &App, publisher: &dyn Publisher) -> Result<usize, Error> {
    let limits = publisher.limits();
    let leased = store::outbox::lease(&app.db, limits.entries, limits.lease_seconds).await?;
    if leased.is_empty() {
        return Ok(0);
    }
    let count = leased.len();
    let places: Vec<_> = leased.iter().map(|row| &row.place).collect();
    let made = domain::records::entries(app, &places).await?;
    let (leased, spoilt): (Vec<_>, Vec<_>) = leased.into_iter().zip(made).partition(|(_, entry)| entry.is_some());
    let (leased, entries): (Vec<Leased>, Vec<_>) =
        leased.into_iter().filter_map(|(row, entry)| Some((row, entry?))).unzip();
    if !spoilt.is_empty() {
        let spoilt: Vec<&Leased> = spoilt.iter().map(|(row, _)| row).collect();
        store::outbox::failed(&app.db, &spoilt, SPOILT_PAUSE, "no record can be made of it").await?;
    }
    if leased.is_empty() {
        return Ok(count);
    }
    match publisher.publish(&entries).await {
        Ok(refused) => {
            let (left, done): (Vec<&Leased>, Vec<&Leased>) =
                leased.iter().partition(|row| refused.contains(&row.place.kv_key));
            store::outbox::published(&app.db, &done).await?;
            tracing::debug!(keys = done.len(), "published");
            if !left.is_empty() {
                tracing::warn!(keys = left.len(), "the edge's store did not take some keys");
                store::outbox::failed(&app.db, &left, KEY_PAUSE, "not taken").await?;
            }
        }
        Err(failure) => {
            let seconds = back_off(&leased, &failure, publisher.limits().longest_pause);
            tracing::warn!(keys = leased.len(), seconds, error = %failure, "publishing failed");
            let leased: Vec<&Leased> = leased.iter().collect();
            store::outbox::failed(&app.db, &leased, seconds, &failure.to_string()).await?;
        }
    }
    Ok(count)
}

/// Seconds until the next try: doubling from a quarter, up to what the publisher allows, and not before the other side
/// wants to be asked again.
fn back_off(leased: &[Leased], failure: &Failure, longest: Duration) -> f64 {
    let attempts = leased.iter().map(|row| row.attempts).min().unwrap_or(1);
    let doubled = 0.25 * f64::from(1 << attempts.clamp(0, 12));
    doubled.min(longest.as_secs_f64()).max(failure.pause.unwrap_or_default().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::outbox::Place;

    #[test]
    fn backs_off_as_far_as_it_may() {
        let failed = |attempts, pause: Option<u64>, longest| {
            let place = Place {
                workspace_id: uuid::Uuid::nil(),
                kv_key: String::new(),
                link_id: None,
                domain_id: uuid::Uuid::nil(),
            };
            let failure = Failure { why: anyhow::anyhow!("no"), pause: pause.map(Duration::from_secs) };
            back_off(&[Leased { place, version: 1, attempts }], &failure, Duration::from_secs(longest))
        };
        for (attempts, pause, longest, seconds) in [
            (1, None, 2, 0.5),
            (3, None, 2, 2.0),
            (9, None, 2, 2.0),
            (5, None, 60, 8.0),
            (40, None, 60, 60.0),
            (1, Some(90), 60, 90.0),
        ] {
            assert!((failed(attempts, pause, longest) - seconds).abs() < 1e-9, "{attempts} {pause:?} {longest}");
        }
    }
}
