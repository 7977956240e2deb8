//! Stored answers to repeatable requests, for erasures; [`crate::change`] writes and replays them.

use serde_json::Value;
use shared::id::WorkspaceId;
use sqlx::{PgExecutor, PgPool};

/// The answers of a workspace that hold a text, such as an id: their keys, and the answers.
///
/// # Errors
/// The database's.
pub async fn holding(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    text: &str,
) -> sqlx::Result<Vec<(String, Value)>> {
    let rows = sqlx::query!(
        "select key, response from idempotency_keys where workspace_id = $1 and strpos(response::text, $2) > 0",
        workspace.uuid(),
        text,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.key, row.response)).collect())
}

/// Replaces a stored answer.
///
/// # Errors
/// The database's.
pub async fn redact(db: impl PgExecutor<'_>, workspace: WorkspaceId, key: &str, response: &Value) -> sqlx::Result<()> {
    sqlx::query!(
        "update idempotency_keys set response = $3 where workspace_id = $1 and key = $2",
        workspace.uuid(),
        key,
        response,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets answers that are a day old, so many at a time.
///
/// # Errors
/// The database's.
pub async fn forget_old(db: &PgPool, step: i64) -> sqlx::Result<()> {
    loop {
        let gone = sqlx::query!(
            "delete from idempotency_keys where ctid = any(array(
                select ctid from idempotency_keys where created_at < now() - interval '24 hours' limit $1
             ))",
            step,
        )
        .execute(db)
        .await?;
        if gone.rows_affected() < step.unsigned_abs() {
            return Ok(());
        }
    }
}
