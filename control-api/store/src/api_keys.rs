//! API keys, stored only as hashes.

use serde::Serialize;
use shared::id::{ApiKey as Kind, ApiKeyId, WorkspaceId};
use sqlx::PgExecutor;

use model::{
    access::{Access, Caller, Plan, Role},
    page::PageQuery,
    time::Timestamp,
};

/// An API key, as the API shows it: never the key itself.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ApiKey {
    /// Its id.
    #[schema(value_type = String, example = "key_01h455vb4pex5vsknk084sn02q")]
    pub id: ApiKeyId,
    /// What people call it.
    pub name: String,
    /// `admin`, `member` or `viewer`.
    #[schema(value_type = String, example = "admin")]
    pub role: Role,
    /// Whether it may export.
    pub can_export: bool,
    /// The key's first characters.
    #[schema(example = "nim_a1b2c3d4")]
    pub prefix: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last used, give or take a minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Timestamp>,
    /// Since when it is not valid any more.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub revoked_at: Option<Timestamp>,
}

/// Stores a new key.
///
/// # Errors
/// The database's.
pub async fn insert(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    key: &ApiKey,
    hash: &[u8; 32],
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into api_keys (workspace_id, id, name, role, can_export, prefix, hash, created_at) \
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        workspace.uuid(),
        key.id.uuid(),
        key.name,
        key.role.as_str(),
        key.can_export,
        key.prefix,
        hash,
        key.created_at.0,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Who holds the key with this hash, if it is valid; notes its use at most once a minute. Of requests at one moment one
/// notes it, and none waits for another, nor for a revocation under way.
///
/// # Errors
/// The database's.
pub async fn caller(db: impl PgExecutor<'_>, hash: &[u8; 32]) -> sqlx::Result<Option<Caller>> {
    let row = sqlx::query!(
        r#"with found as (
             select k.workspace_id, k.id, k.role, k.can_export, w.plan, w.access_partner_setup,
                    w.access_partner_reporting, w.access_partner_conversion_reporting, w.access_partner_exports
             from api_keys k join workspaces w on w.id = k.workspace_id
             where k.hash = $1 and k.revoked_at is null
           ), noted as (
             update api_keys set last_used_at = now()
             where hash = (
               select k.hash from api_keys k
               where k.hash = $1 and k.revoked_at is null
                 and (k.last_used_at is null or k.last_used_at < now() - interval '1 minute')
               for no key update skip locked
             )
           )
           select workspace_id as "workspace_id: WorkspaceId", id as "id: ApiKeyId", role as "role: Role", can_export,
                  plan as "plan: Plan", access_partner_setup, access_partner_reporting,
                  access_partner_conversion_reporting, access_partner_exports from found"#,
        hash,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Caller {
        workspace: row.workspace_id,
        key: row.id,
        role: row.role,
        can_export: row.can_export,
        plan: row.plan,
        access: Access {
            partner_setup: row.access_partner_setup,
            partner_reporting: row.access_partner_reporting,
            partner_conversion_reporting: row.access_partner_conversion_reporting,
            partner_exports: row.access_partner_exports,
        },
    }))
}

/// A page of keys.
///
/// # Errors
/// The database's.
pub async fn list(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    page: &PageQuery<Kind>,
) -> sqlx::Result<Vec<ApiKey>> {
    sqlx::query_as!(
        ApiKey,
        r#"select id as "id: ApiKeyId", name, role as "role: Role", can_export, prefix, created_at as "created_at: Timestamp",
           last_used_at as "last_used_at: Timestamp", revoked_at as "revoked_at: Timestamp"
           from api_keys where workspace_id = $1 and ($2::uuid is null or id < $2) order by id desc limit $3"#,
        workspace.uuid(),
        page.before_uuid(),
        page.fetch(),
    )
    .fetch_all(db)
    .await
}

/// One key, its row locked until the transaction ends.
///
/// # Errors
/// The database's.
pub async fn lock(db: impl PgExecutor<'_>, workspace: WorkspaceId, id: ApiKeyId) -> sqlx::Result<Option<ApiKey>> {
    sqlx::query_as!(
        ApiKey,
        r#"select id as "id: ApiKeyId", name, role as "role: Role", can_export, prefix, created_at as "created_at: Timestamp",
           last_used_at as "last_used_at: Timestamp", revoked_at as "revoked_at: Timestamp"
           from api_keys where workspace_id = $1 and id = $2 for no key update"#,
        workspace.uuid(),
        id.uuid(),
    )
    .fetch_optional(db)
    .await
}

/// Whether the workspace has a valid admin key besides this one.
///
/// # Errors
/// The database's.
pub async fn has_other_admin(db: impl PgExecutor<'_>, workspace: WorkspaceId, id: ApiKeyId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (
             select 1 from api_keys
             where workspace_id = $1 and id <> $2 and role = 'admin' and revoked_at is null
           ) as "exists!""#,
        workspace.uuid(),
        id.uuid(),
    )
    .fetch_one(db)
    .await
}

/// Ends a key's validity. `None` where there is no such key; a second time changes nothing.
///
/// # Errors
/// The database's.
pub async fn revoke(db: impl PgExecutor<'_>, workspace: WorkspaceId, id: ApiKeyId) -> sqlx::Result<Option<ApiKey>> {
    sqlx::query_as!(
        ApiKey,
        r#"update api_keys set revoked_at = coalesce(revoked_at, now()) where workspace_id = $1 and id = $2
           returning id as "id: ApiKeyId", name, role as "role: Role", can_export, prefix, created_at as "created_at: Timestamp",
           last_used_at as "last_used_at: Timestamp", revoked_at as "revoked_at: Timestamp""#,
        workspace.uuid(),
        id.uuid(),
    )
    .fetch_optional(db)
    .await
}
