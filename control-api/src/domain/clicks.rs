//! Click ingest: every click of a batch is stored once, known already, or refused by name. What is stored may
//! be what a conversion was waiting for.

use std::collections::{BTreeMap, HashSet};

use sha2::{Digest as _, Sha256};
use shared::{
    Millis,
    click::{Batch, BatchReceipt, Click, MAX_AGE_MILLIS, MAX_AHEAD_MILLIS, MAX_BATCH, Rejected},
};
use uuid::Uuid;

use super::attribution;
use crate::{
    app::App,
    db,
    error::{ATTEMPTS, ApiError},
};

/// A click that is refused for good.
#[derive(Clone)]
struct Refused {
    key: Uuid,
    workspace: Option<Uuid>,
    reason: Rejected,
}

/// Stores a batch in one transaction: rows, deltas, rejections, and the conversions that waited.
///
/// # Errors
/// 400 or 422 where the whole body is no batch; 503 where the database is out of reach (the sender repeats).
pub async fn ingest(app: &App, raw: &[u8]) -> Result<BatchReceipt, ApiError> {
    let batch: Batch<'_> = serde_json::from_slice(raw).map_err(|error| ApiError::InvalidJson(error.to_string()))?;
    if batch.clicks.len() > MAX_BATCH {
        return Err(ApiError::field("/clicks", "length", format!("must have at most {MAX_BATCH} clicks")));
    }
    let now = app.ambient.now();
    let mut clicks = Vec::with_capacity(batch.clicks.len());
    let mut refused = Vec::new();
    for text in &batch.clicks {
        match admit(text.get(), now) {
            Ok(click) => clicks.push(click),
            Err(refusal) => refused.push(refusal),
        }
    }

    let mut attempt = 1;
    let receipt = loop {
        match write(app, &clicks, &refused).await {
            Err(ApiError::Contended(_)) if attempt < ATTEMPTS => attempt += 1,
            other => break other?,
        }
    };
    if !receipt.rejected.is_empty() {
        tracing::warn!(rejected = ?receipt.rejected, "clicks refused");
    }
    Ok(receipt)
}

/// One transaction: what is admitted, what is refused, and what waited for it.
async fn write(app: &App, clicks: &[Click<'_>], refused: &[Refused]) -> Result<BatchReceipt, ApiError> {
    let mut tx = app.db.begin().await?;
    let named: HashSet<Uuid> = clicks.iter().map(|click| click.workspace.uuid()).collect();
    let known: HashSet<Uuid> =
        db::clicks::known_workspaces(&mut tx, &named.iter().copied().collect::<Vec<_>>()).await?.into_iter().collect();
    let (mut admitted, strangers): (Vec<_>, Vec<_>) =
        clicks.iter().partition(|click| known.contains(&click.workspace.uuid()));
    let mut refused = refused.to_vec();
    refused.extend(strangers.iter().map(|click| Refused {
        key: click.id.uuid(),
        workspace: Some(click.workspace.uuid()),
        reason: Rejected::UnknownWorkspace,
    }));
    let stored = db::clicks::insert(&mut tx, &db::clicks::Columns::of(&mut admitted)).await?;
    let rejected = reject(&mut tx, &refused).await?;
    attribution::clicks_landed(&mut tx, &stored).await?;
    tx.commit().await?;
    Ok(BatchReceipt { stored: stored.len() as u64, duplicate: (admitted.len() - stored.len()) as u64, rejected })
}

fn admit(text: &str, now: Millis) -> Result<Click<'_>, Refused> {
    let malformed = || {
        let digest: [u8; 32] = Sha256::digest(text).into();
        let key = Uuid::from_slice(&digest[..16]).unwrap_or_default();
        Refused { key, workspace: None, reason: Rejected::Malformed }
    };
    // Postgres stores no NUL; no destination, header or name of ours holds one.
    if text.contains("\\u0000") {
        return Err(malformed());
    }
    let click: Click<'_> = serde_json::from_str(text).map_err(|_| malformed())?;
    let age = now.since(click.id.time());
    let reason = if click.id.uuid().get_version_num() != 7 {
        return Err(malformed());
    } else if age > MAX_AGE_MILLIS {
        Rejected::TooLate
    } else if age < -MAX_AHEAD_MILLIS {
        Rejected::ClockAhead
    } else {
        return Ok(click);
    };
    Err(Refused { key: click.id.uuid(), workspace: Some(click.workspace.uuid()), reason })
}

async fn reject(tx: &mut sqlx::PgConnection, refused: &[Refused]) -> Result<BTreeMap<String, u64>, ApiError> {
    let mut counts = BTreeMap::new();
    if refused.is_empty() {
        return Ok(counts);
    }
    let keys: Vec<Uuid> = refused.iter().map(|one| one.key).collect();
    let workspaces: Vec<Option<Uuid>> = refused.iter().map(|one| one.workspace).collect();
    let reasons: Vec<&str> = refused.iter().map(|one| one.reason.as_str()).collect();
    db::clicks::reject(tx, &keys, &workspaces, &reasons).await?;
    for reason in reasons {
        *counts.entry(reason.to_owned()).or_default() += 1;
    }
    Ok(counts)
}
