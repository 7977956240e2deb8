//! Tells the edge what has changed: leases rows of the outbox, builds their records as they are now,
//! publishes them, and clears what has not changed meanwhile. What is uncertain is published again: an older
//! version never wins at the edge, so that is safe.

use std::time::Duration;

use shared::{
    internal::{self, Direction},
    record::{Entry, Replication},
};
use sqlx::postgres::PgListener;
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    config::PublisherKind,
    db::{self, outbox::Leased},
    domain,
    error::ApiError,
};

/// Keys published in one go.
const STEP: i64 = 200;
/// How long a lease lasts, in seconds: longer than one publication may take.
const LEASE_SECONDS: f64 = 30.0;
/// Between two looks, where nothing wakes us.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    if app.config.publisher == PublisherKind::Off {
        return;
    }
    let mut wakes = listen(&app).await;
    while !stop.is_cancelled() {
        match publish_due(&app).await {
            Ok(0) => {}
            Ok(_) => continue,
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
async fn listen(app: &App) -> Option<PgListener> {
    let mut listener = PgListener::connect_with(&app.reads).await.ok()?;
    listener.listen(db::outbox::CHANNEL).await.ok()?;
    Some(listener)
}

async fn wake(listener: Option<&mut PgListener>) -> sqlx::Result<()> {
    match listener {
        Some(listener) => listener.recv().await.map(|_| ()),
        None => std::future::pending().await,
    }
}

/// Publishes what is due and answers how much that was.
async fn publish_due(app: &App) -> Result<usize, ApiError> {
    let leased = db::outbox::lease(&app.db, STEP, LEASE_SECONDS).await?;
    if leased.is_empty() {
        return Ok(0);
    }
    let entries = domain::records::entries(app, &leased).await?;
    match push(app, entries).await {
        Ok(()) => {
            db::outbox::published(&app.db, &leased).await?;
            tracing::debug!(keys = leased.len(), "published");
        }
        Err(error) => {
            let seconds = back_off(&leased);
            tracing::warn!(keys = leased.len(), seconds, error = %format_args!("{error:#}"), "publishing failed");
            db::outbox::failed(&app.db, &leased, seconds, &format!("{error:#}")).await?;
        }
    }
    Ok(leased.len())
}

/// Seconds until the next try: doubling, up to 2, so that a worker that is back is told within 5 s.
fn back_off(leased: &[Leased]) -> f64 {
    let attempts = leased.iter().map(|row| row.attempts).min().unwrap_or(1);
    (0.25 * f64::from(1 << attempts.clamp(0, 3))).min(2.0)
}

/// The signed push to a worker's `POST /_nim/replicate`.
async fn push(app: &App, entries: Vec<Entry>) -> anyhow::Result<()> {
    let url = app.config.edge_url.join("/_nim/replicate")?;
    let body = serde_json::to_vec(&Replication { entries })?;
    let request = internal::Request { method: "POST", target: url.path(), body: &body };
    let (timestamp, signature) =
        internal::sign(&app.config.edge_secrets, Direction::ControlToEdge, request, app.ambient.now());
    let answer = app
        .http
        .post(url)
        .header(internal::TIMESTAMP_HEADER, timestamp)
        .header(internal::SIGNATURE_HEADER, signature)
        .header("content-type", "application/json")
        .body(body)
        .send()
        .await?;
    let status = answer.status();
    anyhow::ensure!(status.is_success(), "the worker answered {status}");
    Ok(())
}
