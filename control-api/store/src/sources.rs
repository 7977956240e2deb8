//! Sources of signed events, and their secrets as they lie here: encrypted.

use serde::Serialize;
use shared::id::{Source as Kind, SourceId, WorkspaceId};
use sqlx::PgExecutor;
use uuid::Uuid;

use model::{
    access::{Access, Plan},
    page::PageQuery,
    time::Timestamp,
};

shared::text_enum! {
    /// How a source proves itself.
    pub enum SourceKind {
        /// By Standard Webhooks signatures.
        Signed = "signed",
    }
}

shared::text_enum! {
    /// The state of a source.
    pub enum SourceStatus {
        /// Its events are taken.
        Active = "active",
        /// Its events are refused.
        Disabled = "disabled",
    }
}

/// A source, as the API shows it: never its secret.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Source {
    /// Its id; its events go to `/v1/sources/{id}/events`.
    #[schema(value_type = String, example = "src_01h455vb4pex5vsknk084sn02q")]
    pub id: SourceId,
    /// What people call it.
    pub name: String,
    /// `signed`.
    #[schema(value_type = String, example = "signed")]
    pub kind: SourceKind,
    /// `active` or `disabled`.
    #[schema(value_type = String, example = "active")]
    pub status: SourceStatus,
    /// Until when secrets before the current one are still valid; `null`: none is.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub previous_secret_expires_at: Option<Timestamp>,
    /// Raised by every change.
    pub version: i64,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// When it last sent a genuine request, give or take a minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Timestamp>,
}

/// A secret as stored.
pub struct SealedSecret {
    /// Its id, bound into the ciphertext.
    pub id: Uuid,
    /// The entry of the ring that encrypted it.
    pub kid: i16,
    /// Nonce and ciphertext.
    pub sealed: Vec<u8>,
}

/// What is needed to verify a source's requests.
pub struct Directory {
    /// Whose source it is.
    pub workspace: WorkspaceId,
    /// The workspace's plan.
    pub plan: Plan,
    /// The workspace's surfaces.
    pub access: Access,
    /// The secrets that are valid now, newest first.
    pub secrets: Vec<SealedSecret>,
    /// Whether its last use was noted a moment ago.
    pub noted: bool,
}

/// Stores a new source, without its secret.
///
/// # Errors
/// The database's.
pub async fn insert(db: impl PgExecutor<'_>, workspace: WorkspaceId, source: &Source) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into sources (workspace_id, id, name, kind, status, created_at, updated_at) \
         values ($1, $2, $3, $4, $5, $6, $6)",
        workspace.uuid(),
        source.id.uuid(),
        source.name,
        source.kind.as_str(),
        source.status.as_str(),
        source.created_at.0,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Stores a secret as the current one.
///
/// # Errors
/// The database's.
pub async fn insert_secret(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    source: SourceId,
    secret: &SealedSecret,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into source_secrets (workspace_id, source_id, id, kid, sealed) values ($1, $2, $3, $4, $5)",
        workspace.uuid(),
        source.uuid(),
        secret.id,
        secret.kid,
        secret.sealed,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Lets every secret of a source end within `overlap_hours`, and forgets those that have ended. Answers how
/// many stay valid that long. A secret whose end is nearer keeps it.
///
/// # Errors
/// The database's.
pub async fn retire_secrets(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    source: SourceId,
    overlap_hours: i32,
) -> sqlx::Result<u64> {
    let kept = sqlx::query!(
        "with ended as (
           delete from source_secrets
           where workspace_id = $1 and source_id = $2 and (expires_at <= now() or $3 = 0)
         )
         update source_secrets set expires_at = least(expires_at, now() + make_interval(hours => $3))
         where workspace_id = $1 and source_id = $2 and (expires_at is null or expires_at > now()) and $3 > 0",
        workspace.uuid(),
        source.uuid(),
        overlap_hours,
    )
    .execute(db)
    .await?;
    Ok(kept.rows_affected())
}

/// A page of sources, optionally of one state, or whose name contains a text.
///
/// # Errors
/// The database's.
pub async fn list(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    status: Option<SourceStatus>,
    q: Option<&str>,
    page: &PageQuery<Kind>,
) -> sqlx::Result<Vec<Source>> {
    sqlx::query_as!(
        Source,
        r#"select s.id as "id: SourceId", s.name, s.kind as "kind: SourceKind", s.status as "status: SourceStatus",
           (select max(e.expires_at) from source_secrets e where e.workspace_id = s.workspace_id
            and e.source_id = s.id and e.expires_at > now()) as "previous_secret_expires_at: Timestamp",
           s.version, s.created_at as "created_at: Timestamp", s.updated_at as "updated_at: Timestamp",
           s.last_used_at as "last_used_at: Timestamp"
           from sources s
           where s.workspace_id = $1 and ($2::text is null or s.status = $2) and ($3::text is null or s.name ilike $3)
             and ($4::uuid is null or s.id < $4)
           order by s.id desc limit $5"#,
        workspace.uuid(),
        status.map(SourceStatus::as_str),
        q.map(super::containing),
        page.before_uuid(),
        page.fetch(),
    )
    .fetch_all(db)
    .await
}

/// One source.
///
/// # Errors
/// The database's.
pub async fn get(db: impl PgExecutor<'_>, workspace: WorkspaceId, id: SourceId) -> sqlx::Result<Option<Source>> {
    sqlx::query_as!(
        Source,
        r#"select s.id as "id: SourceId", s.name, s.kind as "kind: SourceKind", s.status as "status: SourceStatus",
           (select max(e.expires_at) from source_secrets e where e.workspace_id = s.workspace_id
            and e.source_id = s.id and e.expires_at > now()) as "previous_secret_expires_at: Timestamp",
           s.version, s.created_at as "created_at: Timestamp", s.updated_at as "updated_at: Timestamp",
           s.last_used_at as "last_used_at: Timestamp"
           from sources s where s.workspace_id = $1 and s.id = $2"#,
        workspace.uuid(),
        id.uuid(),
    )
    .fetch_optional(db)
    .await
}

/// One source, its row locked until the transaction ends.
///
/// # Errors
/// The database's.
pub async fn lock(db: &mut sqlx::PgConnection, workspace: WorkspaceId, id: SourceId) -> sqlx::Result<Option<Source>> {
    sqlx::query_scalar!(
        "select id from sources where workspace_id = $1 and id = $2 for no key update",
        workspace.uuid(),
        id.uuid(),
    )
    .fetch_optional(&mut *db)
    .await?;
    get(db, workspace, id).await
}

/// Stores a changed source; raises its version.
///
/// # Errors
/// The database's.
pub async fn update(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    source: &mut Source,
    at: Timestamp,
) -> sqlx::Result<()> {
    source.version += 1;
    source.updated_at = at;
    sqlx::query!(
        "update sources set name = $3, status = $4, version = $5, updated_at = $6 where workspace_id = $1 and id = $2",
        workspace.uuid(),
        source.id.uuid(),
        source.name,
        source.status.as_str(),
        source.version,
        source.updated_at.0,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Who a source belongs to and which secrets verify its requests now. `None` where there is no such source or
/// it is disabled. The one query that knows a source before its workspace: sources are a global directory.
///
/// # Errors
/// The database's.
pub async fn secrets(db: impl PgExecutor<'_>, id: SourceId) -> sqlx::Result<Option<Directory>> {
    let rows = sqlx::query!(
        r#"select s.workspace_id as "workspace: WorkspaceId", w.plan as "plan: Plan", w.access_partner_setup,
           w.access_partner_reporting, w.access_partner_conversion_reporting, w.access_partner_exports,
           e.id, e.kid, e.sealed, coalesce(s.last_used_at > now() - interval '1 minute', false) as "noted!"
           from sources s
           join workspaces w on w.id = s.workspace_id
           join source_secrets e on e.workspace_id = s.workspace_id and e.source_id = s.id
           where s.id = $1 and s.status = 'active' and (e.expires_at is null or e.expires_at > now())
           order by e.id desc"#,
        id.uuid(),
    )
    .fetch_all(db)
    .await?;
    let mut found: Option<Directory> = None;
    for row in rows {
        let directory = found.get_or_insert_with(|| Directory {
            workspace: row.workspace,
            plan: row.plan,
            access: Access {
                partner_setup: row.access_partner_setup,
                partner_reporting: row.access_partner_reporting,
                partner_conversion_reporting: row.access_partner_conversion_reporting,
                partner_exports: row.access_partner_exports,
            },
            secrets: vec![],
            noted: row.noted,
        });
        directory.secrets.push(SealedSecret { id: row.id, kid: row.kid, sealed: row.sealed });
    }
    Ok(found)
}

/// Notes that a source was used, at most once a minute. Call it only after its signature held.
///
/// # Errors
/// The database's.
pub async fn note_use(db: impl PgExecutor<'_>, workspace: WorkspaceId, id: SourceId) -> sqlx::Result<()> {
    sqlx::query!(
        "update sources set last_used_at = now() where workspace_id = $1 and id = $2 \
         and (last_used_at is null or last_used_at < now() - interval '1 minute')",
        workspace.uuid(),
        id.uuid(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A stored secret and whose it is.
pub struct Found {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Its source.
    pub source: SourceId,
    /// The secret.
    pub secret: SealedSecret,
}

/// Secrets of every workspace that another entry of the ring than `kid` encrypted, in the order of their keys, after
/// one.
///
/// # Errors
/// The database's.
pub async fn secrets_under_other_keys(
    db: impl PgExecutor<'_>,
    kid: i16,
    after: Option<(WorkspaceId, SourceId, Uuid)>,
    limit: i64,
) -> sqlx::Result<Vec<Found>> {
    let (workspace, source, id) = after.map_or((None, None, None), |(w, s, id)| (Some(w), Some(s), Some(id)));
    let rows = sqlx::query!(
        r#"select workspace_id as "workspace: WorkspaceId", source_id as "source: SourceId", id, kid, sealed
           from source_secrets
           where kid <> $1 and ($2::uuid is null or (workspace_id, source_id, id) > ($2, $3, $4))
           order by workspace_id, source_id, id limit $5"#,
        kid,
        workspace.map(WorkspaceId::uuid),
        source.map(SourceId::uuid),
        id,
        limit,
    )
    .fetch_all(db)
    .await?;
    let found = rows.into_iter().map(|row| Found {
        workspace: row.workspace,
        source: row.source,
        secret: SealedSecret { id: row.id, kid: row.kid, sealed: row.sealed },
    });
    Ok(found.collect())
}

/// Replaces a secret's ciphertext by another one of the same secret; answers whether it still was the one that was
/// read. It waits for no more than this one row, so it can't deadlock with rotations of sources.
///
/// # Errors
/// The database's.
pub async fn reseal(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    source: SourceId,
    old: &SealedSecret,
    new: &SealedSecret,
) -> sqlx::Result<bool> {
    let resealed = sqlx::query!(
        "update source_secrets set kid = $4, sealed = $5
         where workspace_id = $1 and source_id = $2 and id = $3 and sealed = $6",
        workspace.uuid(),
        source.uuid(),
        old.id,
        new.kid,
        new.sealed,
        old.sealed,
    )
    .execute(db)
    .await?;
    Ok(resealed.rows_affected() == 1)
}

/// Removes the secrets of every workspace whose time is over; answers how many.
///
/// # Errors
/// The database's.
pub async fn forget_ended_secrets(db: impl PgExecutor<'_>) -> sqlx::Result<u64> {
    let gone = sqlx::query!("delete from source_secrets where expires_at <= now()").execute(db).await?;
    Ok(gone.rows_affected())
}
