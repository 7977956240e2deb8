//! Tags of partners, for groups by tag.

use analytics::tags::Tags;
use shared::id::WorkspaceId;
use sqlx::PgExecutor;

/// Reads the tags that partners carry now.
pub(super) async fn tags(db: impl PgExecutor<'_>, workspace: WorkspaceId) -> sqlx::Result<Tags> {
    let rows = sqlx::query!(
        "select id, tags from partners where workspace_id = $1 and cardinality(tags) > 0",
        workspace.uuid()
    )
    .fetch_all(db)
    .await?;
    Ok(Tags::new(rows.into_iter().map(|row| (row.id, row.tags))))
}
