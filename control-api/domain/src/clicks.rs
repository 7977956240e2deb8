//! Click ingest: every click of a batch is stored once, known already, or refused by name. What is stored may
//! be what a conversion was waiting for.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;
use shared::{
    Millis,
    click::{
        Batch, BatchReceipt, Click, Dropped, MAX_AGE_MILLIS, MAX_AHEAD_MILLIS, MAX_BATCH, Minted, Rejected, unreadable,
    },
};
use uuid::{Uuid, Variant};

use store::{
    copy::InsertMode,
    delivery::{Duplicates, Mints},
};

use crate::{
    Context, Error, settle,
    transaction::{Attempts, expected_new},
};

/// Bytes of a text by which rollups group clicks. The worker's own bounds lie below.
const MAX_KEY: usize = 1_000;

/// A click that is refused for good.
#[derive(Clone)]
struct Refused {
    key: Uuid,
    workspace: Option<Uuid>,
    reason: Rejected,
    /// Its place among those minted, where that could be read: it was minted all the same.
    minted: Option<Minted>,
}

impl From<Dropped> for Refused {
    fn from(Dropped { id, workspace, reason, minted }: Dropped) -> Self {
        Self { key: id.uuid(), workspace: workspace.map(shared::Id::uuid), reason, minted }
    }
}

/// Stores a batch in one transaction: rows, deltas, rejections, and the conversions that waited. What the batch tells
/// about delivery is added up after it, so that batches don't wait for each other; a crash in between loses nothing,
/// because a batch that wasn't answered comes again.
///
/// # Errors
/// 400 or 422 where the whole body is no batch; 503 where the database is out of reach (the sender repeats).
pub async fn ingest(context: &Context, raw: &[u8]) -> Result<BatchReceipt, Error> {
    let cleaned = without_nul(raw)?;
    let raw = cleaned.as_deref().unwrap_or(raw);
    let batch: Batch<'_> = serde_json::from_slice(raw).map_err(|error| Error::InvalidJson(error.to_string()))?;
    if batch.clicks.len() > MAX_BATCH {
        return Err(Error::field("/clicks", "length", format!("must have at most {MAX_BATCH} clicks")));
    }
    if batch.dropped.len() > MAX_BATCH {
        return Err(Error::field("/dropped", "length", format!("must have at most {MAX_BATCH} clicks")));
    }
    let now = context.clock.now();
    let mut clicks = Vec::with_capacity(batch.clicks.len());
    let mut refused: Vec<Refused> = batch.dropped.iter().copied().map(Refused::from).collect();
    let mut mints = Mints::default();
    for text in &batch.clicks {
        match admit(text.get(), now) {
            Ok(click) => {
                mints.note(click.id.uuid(), click.minted);
                clicks.push(click);
            }
            Err(refusal) => refused.push(refusal),
        }
    }
    for one in &refused {
        // The mints of older hours have been added up for good by then (`store::delivery::compact`).
        if now.since(shared::id::uuid_millis(one.key)) <= MAX_AGE_MILLIS {
            mints.note(one.key, one.minted);
        }
    }

    let mut attempts = Attempts::of("clicks", clicks.len(), InsertMode::SkipExisting);
    let (stored, duplicates, rejected) = loop {
        match write(context, &clicks, &refused, attempts.mode()).await {
            Ok(written) => break written,
            Err(error) => attempts.again(error)?,
        }
    };
    store::delivery::add_up(&context.db, &mints, &duplicates).await?;
    let receipt = BatchReceipt { stored, duplicate: duplicates.total(), rejected };
    if !receipt.rejected.is_empty() {
        tracing::warn!(rejected = ?receipt.rejected, "clicks refused");
    }
    Ok(receipt)
}

/// One transaction: what is admitted, what is refused, and what waited for it. Answers how many were new, those that
/// were not, and how many are refused by reason.
async fn write(
    context: &Context,
    clicks: &[Click<'_>],
    refused: &[Refused],
    mode: InsertMode,
) -> Result<(u64, Duplicates, BTreeMap<String, u64>), Error> {
    let mut tx = context.db.begin().await?;
    let named: HashSet<Uuid> = clicks.iter().map(|click| click.workspace.uuid()).collect();
    let known: HashSet<Uuid> = store::clicks::known_workspaces(&mut tx, &named.iter().copied().collect::<Vec<_>>())
        .await?
        .into_iter()
        .collect();
    let (mut admitted, strangers): (Vec<_>, Vec<_>) =
        clicks.iter().partition(|click| known.contains(&click.workspace.uuid()));
    let mut refused = refused.to_vec();
    refused.extend(strangers.iter().map(|click| Refused {
        key: click.id.uuid(),
        workspace: Some(click.workspace.uuid()),
        reason: Rejected::UnknownWorkspace,
        minted: click.minted,
    }));
    let mut duplicates = Duplicates::of(&admitted);
    // In the order of their key, so that batches that overlap lock rows in the same order.
    admitted.sort_unstable_by_key(|click| (click.workspace, click.id));
    let stored = match mode {
        InsertMode::Optimistic => {
            let stored = store::clicks::append(&mut tx, &admitted).await?;
            expected_new(
                stored.then(|| admitted.iter().map(|click| (click.workspace.uuid(), click.id.uuid())).collect()),
            )?
        }
        InsertMode::SkipExisting | InsertMode::Serialized => {
            store::clicks::insert(&mut tx, &store::clicks::Columns::of(&admitted)).await?
        }
    };
    let rejected = reject(&mut tx, &refused).await?;
    settle::clicks_landed(&mut tx, &stored).await?;
    tx.commit().await?;
    duplicates.take(&stored);
    Ok((stored.len() as u64, duplicates, rejected))
}

/// The batch without U+0000, which Postgres can't store, where it seems to hold any. Nothing that matters holds one, so a
/// click that brought one along is kept.
fn without_nul(raw: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    fn clean(value: &mut Value) {
        match value {
            Value::String(text) => text.retain(|c| c != '\0'),
            Value::Array(items) => items.iter_mut().for_each(clean),
            Value::Object(fields) => fields.values_mut().for_each(clean),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    if !std::str::from_utf8(raw).is_ok_and(|text| text.contains("\\u0000")) {
        return Ok(None);
    }
    let mut batch: Value = serde_json::from_slice(raw).map_err(|error| Error::InvalidJson(error.to_string()))?;
    clean(&mut batch);
    Ok(Some(serde_json::to_vec(&batch)?))
}

fn admit(text: &str, now: Millis) -> Result<Click<'_>, Refused> {
    let malformed = || Refused { key: unreadable(text), workspace: None, reason: Rejected::Malformed, minted: None };
    let click: Click<'_> = serde_json::from_str(text).map_err(|_| malformed())?;
    let age = now.since(click.id.time());
    // The database reads the time of no other id.
    let has_time = click.id.uuid().get_version_num() == 7 && click.id.uuid().get_variant() == Variant::RFC4122;
    let reason = if !has_time || is_overlong(&click) {
        return Err(malformed());
    } else if age > MAX_AGE_MILLIS {
        Rejected::TooLate
    } else if age < -MAX_AHEAD_MILLIS {
        Rejected::ClockAhead
    } else {
        return Ok(click);
    };
    let (key, workspace) = (click.id.uuid(), Some(click.workspace.uuid()));
    Err(Refused { key, workspace, reason, minted: click.minted })
}

/// Whether a text is longer than the worker writes any, and than a key of the rollups may be: one such row would hold up
/// the folding of all others.
fn is_overlong(click: &Click<'_>) -> bool {
    let campaign = click.utm.campaign.as_deref();
    let texts = [&click.source, &click.referrer_host, &click.country, &click.region].map(Option::as_deref);
    texts.into_iter().chain([campaign, Some(&*click.domain)]).flatten().any(|text| text.len() > MAX_KEY)
}

async fn reject(tx: &mut store::PgConnection, refused: &[Refused]) -> Result<BTreeMap<String, u64>, Error> {
    let mut counts = BTreeMap::new();
    if refused.is_empty() {
        return Ok(counts);
    }
    let keys: Vec<Uuid> = refused.iter().map(|one| one.key).collect();
    let workspaces: Vec<Option<Uuid>> = refused.iter().map(|one| one.workspace).collect();
    let reasons: Vec<&str> = refused.iter().map(|one| one.reason.as_str()).collect();
    store::clicks::reject(tx, &keys, &workspaces, &reasons).await?;
    for reason in reasons {
        *counts.entry(reason.to_owned()).or_default() += 1;
    }
    Ok(counts)
}
