//! Secrets of sources: minted, rotated with an overlap, opened to verify. They are stored only encrypted,
//! bound to their workspace, source and row.

pub mod lookup;

use std::sync::Arc;

use shared::{
    id::{SourceId, WorkspaceId},
    webhook::Secret,
};
use uuid::Uuid;

use crate::{
    context::Context,
    error::Error,
    input::{Fields, line, word},
    seal,
};
use model::time::{Timestamp, random};

use self::lookup::Verification;
use store::{
    change::Change,
    sources::{SealedSecret, Source, SourceKind, SourceStatus},
};

/// Secrets of a source that may be valid at once, so that verifying a request stays bounded work.
const MAX_VALID: u64 = 10;

/// What verifies the requests of a source; `None` where there is no such source, or it is disabled. Requests that come
/// while it is being read share the next reading, never one that began before they came: a secret that has been ended is
/// not taken any more.
///
/// # Errors
/// The database's; and where no secret can be opened, so that senders try again instead of being told that
/// their signature is wrong.
pub async fn verification(context: &Context, source: SourceId) -> Result<Option<Arc<Verification>>, Error> {
    let serving = context.clone();
    let serve = move |asked: Vec<()>| {
        let context = serving.clone();
        async move {
            match read_verification(&context, source).await {
                Ok(found) => {
                    let found = found.map(Arc::new);
                    asked.iter().map(|()| Ok(found.clone())).collect()
                }
                Err(error) => {
                    let mut others: Vec<_> = asked.iter().skip(1).map(|()| Err(error.for_another())).collect();
                    others.push(Err(error));
                    others
                }
            }
        }
    };
    context.lookups.serve(source, (), usize::MAX, serve).await.unwrap_or_else(|| Err(Error::unanswered()))
}

async fn read_verification(context: &Context, source: SourceId) -> Result<Option<Verification>, Error> {
    let Some(found) = store::sources::secrets(&context.db, source).await? else { return Ok(None) };
    let mut secrets = vec![];
    let mut unopened = None;
    for secret in &found.secrets {
        let belongs_to = belongs_to(found.workspace, source, secret.id);
        match seal::open(&context.data_keys, &belongs_to, kid(secret), &secret.sealed) {
            Ok(bytes) => secrets.push(Secret::from_bytes(bytes)),
            Err(error) => {
                tracing::error!(%source, %error, "secret skipped");
                unopened = Some(error);
            }
        }
    }
    match unopened {
        Some(error) if secrets.is_empty() => Err(Error::Internal(error.into())),
        _ => {
            let store::sources::Directory { workspace, plan, access, noted, .. } = found;
            Ok(Some(Verification { workspace, plan, access, secrets, noted }))
        }
    }
}

/// An empty source, for a create to fill.
#[must_use]
pub fn draft(id: SourceId, now: Timestamp) -> Source {
    Source {
        id,
        name: String::new(),
        kind: SourceKind::Signed,
        status: SourceStatus::Active,
        previous_secret_expires_at: None,
        version: 1,
        created_at: now,
        updated_at: now,
        last_used_at: None,
    }
}

/// Reads what a body says into a source.
pub fn read(fields: &mut Fields<'_>, source: &mut Source) {
    fields.set("name", &mut source.name, line(200));
    fields.set("status", &mut source.status, word);
}

/// Stores a new source and answers its secret, to be shown once.
///
/// # Errors
/// The database's.
pub async fn create(context: &Context, change: &mut Change, source: &Source) -> Result<Secret, Error> {
    let workspace = change.workspace();
    store::sources::insert(change.db(), workspace, source).await?;
    let secret = start_secret(context, change, source.id).await?;
    change.audit("source.create", source.id, None::<&()>, Some(source)).await?;
    Ok(secret)
}

/// Stores a changed source.
///
/// # Errors
/// The database's.
pub async fn update(change: &mut Change, before: &Source, source: &mut Source) -> Result<(), Error> {
    let workspace = change.workspace();
    let now = change.clock().at();
    store::sources::update(change.db(), workspace, source, now).await?;
    Ok(change.audit("source.update", source.id, Some(before), Some(source)).await?)
}

/// Gives a locked source a new secret and lets all earlier ones end within `overlap_hours`, 0 for at once.
/// Answers the source as it is then, and the secret, to be shown once.
///
/// # Errors
/// 409 where too many earlier secrets would stay valid.
pub async fn rotate(
    context: &Context,
    change: &mut Change,
    before: &Source,
    overlap_hours: i32,
) -> Result<(Source, Secret), Error> {
    let workspace = change.workspace();
    let now = change.clock().at();
    let kept = store::sources::retire_secrets(change.db(), workspace, before.id, overlap_hours).await?;
    if kept >= MAX_VALID {
        return Err(Error::Conflict {
            code: "conflict",
            detail: format!(
                "{kept} earlier secrets are still valid; wait until they end, or end them now with overlap_hours 0"
            ),
        });
    }
    let secret = start_secret(context, change, before.id).await?;
    let mut source = before.clone();
    store::sources::update(change.db(), workspace, &mut source, now).await?;
    let source = store::sources::get(change.db(), workspace, source.id).await?.ok_or(Error::NotFound("source"))?;
    change.audit("source.rotate", source.id, Some(before), Some(&source)).await?;
    Ok((source, secret))
}

async fn start_secret(context: &Context, change: &mut Change, source: SourceId) -> Result<Secret, Error> {
    let workspace = change.workspace();
    let id = shared::id::uuid_v7(change.clock().now(), random());
    let secret = Secret::from_random(random());
    let (kid, sealed) = seal::seal(&context.data_keys, &belongs_to(workspace, source, id), secret.bytes());
    let sealed = SealedSecret { id, kid: i16::from(kid), sealed };
    store::sources::insert_secret(change.db(), workspace, source, &sealed).await?;
    Ok(secret)
}

/// The ring's entry that encrypted a secret. A kid of a ring is a byte; 0 is none.
pub(super) fn kid(secret: &SealedSecret) -> u8 {
    u8::try_from(secret.kid).unwrap_or(0)
}

/// What a secret is bound to: a row copied to another workspace, source or id can't be opened there.
pub(super) fn belongs_to(workspace: WorkspaceId, source: SourceId, secret: Uuid) -> Vec<u8> {
    [workspace.uuid(), source.uuid(), secret].iter().flat_map(|id| *id.as_bytes()).collect()
}
