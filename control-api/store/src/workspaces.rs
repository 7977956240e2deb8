//! Workspaces: the tenants.

use serde::Serialize;
use shared::id::WorkspaceId;
use sqlx::PgExecutor;

use model::{
    access::{Access, Plan},
    time::Timestamp,
};

shared::text_enum! {
    /// What clicks on links of a partner that is not active carry.
    pub enum InactivePartnerClicks {
        /// The partner, as ever.
        Keep = "keep",
        /// No partner context.
        DiscardContext = "discard_context",
    }
}

/// A workspace, as the API shows it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Workspace {
    /// Its id.
    #[schema(value_type = String, example = "ws_01h455vb4pex5vsknk084sn02q")]
    pub id: WorkspaceId,
    /// Its name in addresses, unique.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// `starter`, `professional` or `enterprise`.
    #[schema(value_type = String, example = "professional")]
    pub plan: Plan,
    /// Which surfaces are on.
    pub access: Access,
    /// Days in which a conversion counts for a click, 1 to 365, unless the program says otherwise.
    pub attribution_window_days: i32,
    /// IANA time zone that reports default to.
    #[schema(example = "Europe/Berlin")]
    pub timezone: String,
    /// `keep` or `discard_context`.
    #[schema(value_type = String, example = "keep")]
    pub inactive_partner_clicks: InactivePartnerClicks,
    /// Days that single clicks are kept, 380 to 3,650; `null`: for ever. Counts in reports and conversions stay.
    pub click_retention_days: Option<i32>,
    /// Single clicks from before this moment may have been removed; `null`: none was.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub clicks_pruned_before: Option<Timestamp>,
    /// Raised by every change.
    pub version: i64,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

struct Row {
    id: WorkspaceId,
    slug: String,
    name: String,
    plan: Plan,
    access_partner_setup: bool,
    access_partner_reporting: bool,
    access_partner_conversion_reporting: bool,
    access_partner_exports: bool,
    attribution_window_days: i32,
    timezone: String,
    inactive_partner_clicks: InactivePartnerClicks,
    click_retention_days: Option<i32>,
    clicks_pruned_before: Option<Timestamp>,
    version: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<Row> for Workspace {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            slug: row.slug,
            name: row.name,
            plan: row.plan,
            access: Access {
                partner_setup: row.access_partner_setup,
                partner_reporting: row.access_partner_reporting,
                partner_conversion_reporting: row.access_partner_conversion_reporting,
                partner_exports: row.access_partner_exports,
            },
            attribution_window_days: row.attribution_window_days,
            timezone: row.timezone,
            inactive_partner_clicks: row.inactive_partner_clicks,
            click_retention_days: row.click_retention_days,
            clicks_pruned_before: row.clicks_pruned_before,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// Stores a new workspace.
///
/// # Errors
/// The database's; `workspaces_slug_unique` where the slug is taken.
pub async fn insert(db: impl PgExecutor<'_>, workspace: &Workspace) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into workspaces (id, slug, name, plan, access_partner_setup, access_partner_reporting, \
         access_partner_conversion_reporting, access_partner_exports, attribution_window_days, timezone, \
         inactive_partner_clicks, created_at, updated_at) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)",
        workspace.id.uuid(),
        workspace.slug,
        workspace.name,
        workspace.plan.as_str(),
        workspace.access.partner_setup,
        workspace.access.partner_reporting,
        workspace.access.partner_conversion_reporting,
        workspace.access.partner_exports,
        workspace.attribution_window_days,
        workspace.timezone,
        workspace.inactive_partner_clicks.as_str(),
        workspace.created_at.0,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// One workspace, locked until the transaction ends.
///
/// # Errors
/// The database's.
pub async fn lock(db: impl PgExecutor<'_>, id: WorkspaceId) -> sqlx::Result<Option<Workspace>> {
    let row = sqlx::query_as!(
        Row,
        r#"select id as "id: WorkspaceId", slug, name, plan as "plan: Plan", access_partner_setup, access_partner_reporting,
           access_partner_conversion_reporting, access_partner_exports, attribution_window_days, timezone,
           inactive_partner_clicks as "inactive_partner_clicks: InactivePartnerClicks", click_retention_days,
           clicks_pruned_before as "clicks_pruned_before: Timestamp", version,
           created_at as "created_at: Timestamp", updated_at as "updated_at: Timestamp"
           from workspaces where id = $1 for update"#,
        id.uuid(),
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(Workspace::from))
}

/// One workspace.
///
/// # Errors
/// The database's.
pub async fn get(db: impl PgExecutor<'_>, id: WorkspaceId) -> sqlx::Result<Option<Workspace>> {
    let row = sqlx::query_as!(
        Row,
        r#"select id as "id: WorkspaceId", slug, name, plan as "plan: Plan", access_partner_setup, access_partner_reporting,
           access_partner_conversion_reporting, access_partner_exports, attribution_window_days, timezone,
           inactive_partner_clicks as "inactive_partner_clicks: InactivePartnerClicks", click_retention_days,
           clicks_pruned_before as "clicks_pruned_before: Timestamp", version,
           created_at as "created_at: Timestamp", updated_at as "updated_at: Timestamp"
           from workspaces where id = $1"#,
        id.uuid(),
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(Workspace::from))
}

/// Stores a changed workspace; raises its version.
///
/// # Errors
/// The database's.
pub async fn update(db: impl PgExecutor<'_>, workspace: &mut Workspace, at: Timestamp) -> sqlx::Result<()> {
    workspace.version += 1;
    workspace.updated_at = at;
    sqlx::query!(
        "update workspaces set name = $2, plan = $3, access_partner_setup = $4, access_partner_reporting = $5, \
         access_partner_conversion_reporting = $6, access_partner_exports = $7, attribution_window_days = $8, \
         timezone = $9, inactive_partner_clicks = $10, click_retention_days = $11, version = $12, updated_at = $13 where id = $1",
        workspace.id.uuid(),
        workspace.name,
        workspace.plan.as_str(),
        workspace.access.partner_setup,
        workspace.access.partner_reporting,
        workspace.access.partner_conversion_reporting,
        workspace.access.partner_exports,
        workspace.attribution_window_days,
        workspace.timezone,
        workspace.inactive_partner_clicks.as_str(),
        workspace.click_retention_days,
        workspace.version,
        at.0,
    )
    .execute(db)
    .await?;
    Ok(())
}
