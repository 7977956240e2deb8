//! Notes on partners, appended only; only an erasure changes them.

use serde::Serialize;
use shared::id::{ApiKeyId, Note as Kind, NoteId, PartnerId, WorkspaceId};
use sqlx::PgExecutor;

use model::{page::PageQuery, time::Timestamp};

/// What stands in place of a text that was erased.
pub const ERASED: &str = "[erased]";

/// A note, as the API shows it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Note {
    /// Its id.
    #[schema(value_type = String, example = "note_01h455vb4pex5vsknk084sn02q")]
    pub id: NoteId,
    /// The partner.
    #[schema(value_type = String, example = "prt_01h455vb4pex5vsknk084sn02q")]
    pub partner_id: PartnerId,
    /// The API key that wrote it.
    #[schema(value_type = String, example = "key_01h455vb4pex5vsknk084sn02q")]
    pub author: ApiKeyId,
    /// What it says.
    pub text: String,
    /// When it was written.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// Stores a new note.
///
/// # Errors
/// The database's.
pub async fn insert(db: impl PgExecutor<'_>, workspace: WorkspaceId, note: &Note) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into partner_notes (workspace_id, partner_id, id, author_key_id, body, created_at) \
         values ($1, $2, $3, $4, $5, $6)",
        workspace.uuid(),
        note.partner_id.uuid(),
        note.id.uuid(),
        note.author.uuid(),
        note.text,
        note.created_at.0,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A page of a partner's notes.
///
/// # Errors
/// The database's.
pub async fn list(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    partner: PartnerId,
    page: &PageQuery<Kind>,
) -> sqlx::Result<Vec<Note>> {
    sqlx::query_as!(
        Note,
        r#"select id as "id: NoteId", partner_id as "partner_id: PartnerId", author_key_id as "author: ApiKeyId",
           body as text, created_at as "created_at: Timestamp"
           from partner_notes where workspace_id = $1 and partner_id = $2 and ($3::uuid is null or id < $3)
           order by id desc limit $4"#,
        workspace.uuid(),
        partner.uuid(),
        page.before_uuid(),
        page.fetch(),
    )
    .fetch_all(db)
    .await
}

/// Erases the texts of a partner's notes.
///
/// # Errors
/// The database's.
pub async fn erase(db: impl PgExecutor<'_>, workspace: WorkspaceId, partner: PartnerId) -> sqlx::Result<()> {
    sqlx::query!(
        "update partner_notes set body = $3 where workspace_id = $1 and partner_id = $2",
        workspace.uuid(),
        partner.uuid(),
        ERASED,
    )
    .execute(db)
    .await?;
    Ok(())
}
