//! What the test of a source reads: all its secrets that are kept still, and whether clicks are stored.

use std::collections::HashSet;

use shared::id::{ClickId, SourceId, SourceSecretId, WorkspaceId};
use sqlx::PgExecutor;
use uuid::Uuid;

use model::time::Timestamp;

/// A secret as stored, with its time.
pub struct KeptSecret {
    /// Its id, bound into the ciphertext.
    pub id: SourceSecretId,
    /// The entry of the ring that encrypted it.
    pub kid: i16,
    /// Nonce and ciphertext.
    pub sealed: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends; `None`: it is the current one.
    pub expires_at: Option<Timestamp>,
    /// Whether it has ended.
    pub expired: bool,
}

/// The secrets of a source, the newest first; those that have ended are kept until the next rotation.
///
/// # Errors
/// The database's.
pub async fn secrets(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    source: SourceId,
) -> sqlx::Result<Vec<KeptSecret>> {
    sqlx::query_as!(
        KeptSecret,
        r#"select id as "id: SourceSecretId", kid, sealed, created_at as "created_at: Timestamp", expires_at as "expires_at: Timestamp",
           coalesce(expires_at <= now(), false) as "expired!"
           from source_secrets where workspace_id = $1 and source_id = $2 order by id desc limit 20"#,
        workspace.uuid(),
        source.uuid(),
    )
    .fetch_all(db)
    .await
}

/// Of these clicks, those that are stored.
///
/// # Errors
/// The database's.
pub async fn clicks_received(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    clicks: &[ClickId],
) -> sqlx::Result<HashSet<ClickId>> {
    let ids: Vec<Uuid> = clicks.iter().map(|click| click.uuid()).collect();
    let found = sqlx::query_scalar!(
        r#"select click_id as "id: ClickId" from clicks where workspace_id = $1 and click_id = any($2)"#,
        workspace.uuid(),
        &ids,
    )
    .fetch_all(db)
    .await?;
    Ok(found.into_iter().collect())
}
