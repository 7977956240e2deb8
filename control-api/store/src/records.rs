//! What edge records are made of: a link or domain with all that stands around it now.

use serde::Deserialize;
use shared::{
    click::Named,
    destination::{CustomQuery, Utm},
    id::{AssignmentId, Partner, PartnerId, Program, ProgramId},
    record::{ClickTokenMode, LinkStatus},
};
use sqlx::{PgExecutor, types::Json};
use uuid::Uuid;

use model::time::Timestamp;

/// A domain.
#[derive(Debug)]
#[allow(missing_docs)] // Named like the columns.
pub struct DomainRow {
    pub workspace_id: Uuid,
    pub id: Uuid,
    pub hostname: String,
    pub status: String,
    pub root_redirect_url: Option<String>,
    pub not_found_url: Option<String>,
    pub record_version: i64,
}

/// A link with its domain and the assignment in force.
#[derive(Debug)]
#[allow(missing_docs)] // Named like the columns.
pub struct LinkRow {
    pub workspace_id: Uuid,
    pub id: Uuid,
    pub hostname: String,
    pub domain_active: bool,
    pub slug: String,
    pub destination: String,
    pub status: LinkStatus,
    pub conversion_tracking: bool,
    pub click_token: ClickTokenMode,
    pub utm: Json<Utm>,
    pub custom_query: Json<CustomQuery>,
    pub variants: Json<Vec<StoredVariant>>,
    pub experiment_key: Option<String>,
    pub forward_query: bool,
    pub expires_at: Option<Timestamp>,
    pub expired_url: Option<String>,
    pub record_version: i64,
    pub assignment: Option<AssignmentRow>,
}

/// A variant as stored on its link.
#[derive(Debug, Deserialize)]
#[allow(missing_docs)] // Named like the fields of the API.
pub struct StoredVariant {
    pub key: String,
    pub destination: String,
    pub weight: u32,
}

/// The assignment in force.
#[derive(Debug)]
#[allow(missing_docs)] // Named like the record's fields.
pub struct AssignmentRow {
    pub id: AssignmentId,
    pub partner: Option<Named<'static, Partner>>,
    pub program: Option<Named<'static, Program>>,
}

/// The domain of a hostname, in the global directory.
///
/// # Errors
/// The database's.
pub async fn domain_by_hostname(db: impl PgExecutor<'_>, hostname: &str) -> sqlx::Result<Option<DomainRow>> {
    sqlx::query_as!(
        DomainRow,
        "select workspace_id, id, hostname, status, root_redirect_url, not_found_url, record_version
         from domains where hostname = $1",
        hostname,
    )
    .fetch_optional(db)
    .await
}

/// A domain.
///
/// # Errors
/// The database's.
pub async fn domain(db: impl PgExecutor<'_>, workspace: Uuid, id: Uuid) -> sqlx::Result<Option<DomainRow>> {
    sqlx::query_as!(
        DomainRow,
        "select workspace_id, id, hostname, status, root_redirect_url, not_found_url, record_version
         from domains where workspace_id = $1 and id = $2",
        workspace,
        id,
    )
    .fetch_optional(db)
    .await
}

/// A link by its slug.
///
/// # Errors
/// The database's.
pub async fn link_by_slug(
    db: impl PgExecutor<'_> + Copy,
    workspace: Uuid,
    domain: Uuid,
    slug: &str,
) -> sqlx::Result<Option<LinkRow>> {
    let id = sqlx::query_scalar!(
        "select id from links where workspace_id = $1 and domain_id = $2 and slug = $3",
        workspace,
        domain,
        slug,
    )
    .fetch_optional(db)
    .await?;
    match id {
        Some(id) => link(db, workspace, id).await,
        None => Ok(None),
    }
}

/// A link.
///
/// # Errors
/// The database's.
pub async fn link(db: impl PgExecutor<'_>, workspace: Uuid, id: Uuid) -> sqlx::Result<Option<LinkRow>> {
    let row = sqlx::query!(
        r#"select l.workspace_id, l.id, d.hostname, d.status = 'active' as "domain_active!", l.slug, l.destination,
           l.status as "status: LinkStatus", l.conversion_tracking, l.click_token as "click_token: ClickTokenMode",
           l.utm as "utm: Json<Utm>", l.custom_query as "custom_query: Json<CustomQuery>",
           l.variants as "variants: Json<Vec<StoredVariant>>", l.experiment_key, l.forward_query,
           l.expires_at as "expires_at: Timestamp", l.expired_url, l.record_version, a.id as "assignment_id?: AssignmentId",
           (w.inactive_partner_clicks = 'keep' or p.status = 'active') as "in_context?",
           p.id as "partner_id?: PartnerId", p.key as "partner_key?", p.display_name as "partner_name?",
           g.id as "program_id?: ProgramId", g.key as "program_key?", g.name as "program_name?"
           from links l
           join domains d on d.workspace_id = l.workspace_id and d.id = l.domain_id
           join workspaces w on w.id = l.workspace_id
           left join assignments a on a.workspace_id = l.workspace_id and a.link_id = l.id and a.ended_at is null
           left join partners p on p.workspace_id = l.workspace_id and p.id = a.partner_id
           left join programs g on g.workspace_id = l.workspace_id and g.id = a.program_id
           where l.workspace_id = $1 and l.id = $2"#,
        workspace,
        id,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| {
        // Where the workspace discards the context of inactive partners, only the assignment's id goes along: it says
        // why the partner is missing, and names nobody.
        let in_context = row.in_context.unwrap_or(false);
        let partner = match (row.partner_id, row.partner_key, row.partner_name) {
            (Some(id), Some(key), Some(name)) if in_context => Some(Named { id, key: key.into(), name: name.into() }),
            _ => None,
        };
        let program = match (row.program_id, row.program_key, row.program_name) {
            (Some(id), Some(key), Some(name)) if in_context => Some(Named { id, key: key.into(), name: name.into() }),
            _ => None,
        };
        LinkRow {
            workspace_id: row.workspace_id,
            id: row.id,
            hostname: row.hostname,
            domain_active: row.domain_active,
            slug: row.slug,
            destination: row.destination,
            status: row.status,
            conversion_tracking: row.conversion_tracking,
            click_token: row.click_token,
            utm: row.utm,
            custom_query: row.custom_query,
            variants: row.variants,
            experiment_key: row.experiment_key,
            forward_query: row.forward_query,
            expires_at: row.expires_at,
            expired_url: row.expired_url,
            record_version: row.record_version,
            assignment: row.assignment_id.map(|id| AssignmentRow { id, partner, program }),
        }
    }))
}
