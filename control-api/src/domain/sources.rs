//! Secrets of sources: minted, rotated with an overlap, opened to verify. They are stored only encrypted,
//! bound to their workspace, source and row.

use std::sync::Arc;

use shared::{
    id::{SourceId, WorkspaceId},
    webhook::Secret,
};
use uuid::Uuid;

use crate::{
    app::App,
    db::{
        self,
        sources::{SealedSecret, Source, SourceKind, SourceStatus},
    },
    error::ApiError,
    http::{
        auth::{Access, Plan},
        fields::{Fields, line, word},
        mutation::Mutation,
    },
    seal,
    time::{At, random},
    together::Together,
};

/// Secrets of a source that may be valid at once, so that verifying a request stays bounded work.
const MAX_VALID: u64 = 10;

/// What verifies the requests of a source.
pub struct Verification {
    /// Whose source it is.
    pub workspace: WorkspaceId,
    /// The workspace's plan.
    pub plan: Plan,
    /// The workspace's surfaces.
    pub access: Access,
    /// The secrets that are valid now, newest first; never empty.
    pub secrets: Vec<Secret>,
    /// Whether its last use was noted a moment ago.
    pub noted: bool,
}

/// Requests that want to know what verifies a source, and how each is told.
pub type Lookups = Together<SourceId, (), Result<Option<Arc<Verification>>, ApiError>>;

/// What verifies the requests of a source; `None` where there is no such source, or it is disabled. Requests that come
/// while it is being read share the next reading, never one that began before they came: a secret that has been ended is
/// not taken any more.
///
/// # Errors
/// The database's; and where no secret can be opened, so that senders try again instead of being told that
/// their signature is wrong.
pub async fn verification(app: &App, source: SourceId) -> Result<Option<Arc<Verification>>, ApiError> {
    let serving = app.clone();
    let serve = move |asked: Vec<()>| {
        let app = serving.clone();
        async move {
            match read_verification(&app, source).await {
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
    app.lookups.serve(source, (), usize::MAX, serve).await.unwrap_or_else(|| Err(ApiError::unanswered()))
}

async fn read_verification(app: &App, source: SourceId) -> Result<Option<Verification>, ApiError> {
    let Some(found) = db::sources::secrets(&app.db, source).await? else { return Ok(None) };
    let mut secrets = vec![];
    let mut unopened = None;
    for secret in &found.secrets {
        let belongs_to = belongs_to(found.workspace, source, secret.id);
        match seal::open(&app.config.data_keys, &belongs_to, kid(secret), &secret.sealed) {
            Ok(bytes) => secrets.push(Secret::from_bytes(bytes)),
            Err(error) => {
                tracing::error!(%source, %error, "secret skipped");
                unopened = Some(error);
            }
        }
    }
    match unopened {
        Some(error) if secrets.is_empty() => Err(ApiError::Internal(error.into())),
        _ => {
            let db::sources::Directory { workspace, plan, access, noted, .. } = found;
            Ok(Some(Verification { workspace, plan, access, secrets, noted }))
        }
    }
}

/// An empty source, for a create to fill.
#[must_use]
pub fn draft(id: SourceId, now: At) -> Source {
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
pub async fn create(change: &mut Mutation, source: &Source) -> Result<Secret, ApiError> {
    let workspace = change.workspace();
    db::sources::insert(change.db(), workspace, source).await?;
    let secret = start_secret(change, source.id).await?;
    change.audit("source.create", source.id, None::<&()>, Some(source)).await?;
    Ok(secret)
}

/// Stores a changed source.
///
/// # Errors
/// The database's.
pub async fn update(change: &mut Mutation, before: &Source, source: &mut Source) -> Result<(), ApiError> {
    let workspace = change.workspace();
    let now = change.app().ambient.at();
    db::sources::update(change.db(), workspace, source, now).await?;
    change.audit("source.update", source.id, Some(before), Some(source)).await
}

/// Gives a locked source a new secret and lets all earlier ones end within `overlap_hours`, 0 for at once.
/// Answers the source as it is then, and the secret, to be shown once.
///
/// # Errors
/// 409 where too many earlier secrets would stay valid.
pub async fn rotate(change: &mut Mutation, before: &Source, overlap_hours: i32) -> Result<(Source, Secret), ApiError> {
    let workspace = change.workspace();
    let now = change.app().ambient.at();
    let kept = db::sources::retire_secrets(change.db(), workspace, before.id, overlap_hours).await?;
    if kept >= MAX_VALID {
        return Err(ApiError::Conflict {
            code: "conflict",
            detail: format!(
                "{kept} earlier secrets are still valid; wait until they end, or end them now with overlap_hours 0"
            ),
        });
    }
    let secret = start_secret(change, before.id).await?;
    let mut source = before.clone();
    db::sources::update(change.db(), workspace, &mut source, now).await?;
    let source = db::sources::get(change.db(), workspace, source.id).await?.ok_or(ApiError::NotFound("source"))?;
    change.audit("source.rotate", source.id, Some(before), Some(&source)).await?;
    Ok((source, secret))
}

async fn start_secret(change: &mut Mutation, source: SourceId) -> Result<Secret, ApiError> {
    let workspace = change.workspace();
    let id = shared::id::uuid_v7(change.app().ambient.now(), random());
    let secret = Secret::from_random(random());
    let (kid, sealed) = seal::seal(&change.app().config.data_keys, &belongs_to(workspace, source, id), secret.bytes());
    let sealed = SealedSecret { id, kid: i16::from(kid), sealed };
    db::sources::insert_secret(change.db(), workspace, source, &sealed).await?;
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
