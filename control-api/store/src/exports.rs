//! Export jobs: asked for, leased by one instance at a time, and ended by an update that only the holder of the lease
//! can make.

mod lease;
pub mod traffic;

pub use lease::{Lease, cleared, due_to_clear, expire, give_up, lease};

use serde::{Deserialize, Serialize};
use shared::id::{ApiKeyId, Export as Kind, ExportId, PartnerId, ProgramId, WorkspaceId};
use sqlx::{PgExecutor, types::Json};

use analytics::scope::Scope;
use model::{conversion::EventType, page::PageQuery, time::Timestamp};

shared::text_enum! {
    /// What is exported.
    pub enum ExportKind {
        /// Partner-attributed conversions, one row each.
        Conversions = "conversions",
        /// Clicks per day, partner, program and link.
        Traffic = "traffic",
    }
}

shared::text_enum! {
    /// The state of an export.
    pub enum ExportStatus {
        /// Waits until what it covers is settled, and for a free instance.
        Queued = "queued",
        /// Is being written.
        Running = "running",
        /// Its file is there.
        Completed = "completed",
        /// Given up.
        Failed = "failed",
        /// Called off.
        Cancelled = "cancelled",
        /// Its file has been removed.
        Expired = "expired",
    }
}

/// Which rows an export holds, as it was resolved when it was asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct ExportFilters {
    /// Of this partner.
    #[schema(value_type = Option<String>)]
    pub partner: Option<PartnerId>,
    /// Of this program.
    #[schema(value_type = Option<String>)]
    pub program: Option<ProgramId>,
    /// Conversions of these types; empty: of all.
    #[schema(value_type = Vec<String>)]
    pub types: Vec<EventType>,
    /// Where the days of the traffic export begin.
    #[schema(example = "Europe/Berlin")]
    pub timezone: String,
}

/// An export, as the API shows it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Export {
    /// Its id.
    #[schema(value_type = String, example = "exp_01h455vb4pex5vsknk084sn02q")]
    pub id: ExportId,
    /// `conversions` or `traffic`.
    #[schema(value_type = String, example = "conversions")]
    pub kind: ExportKind,
    /// `queued`, `running`, `completed`, `failed`, `cancelled` or `expired`.
    #[schema(value_type = String, example = "completed")]
    pub status: ExportStatus,
    /// The first moment covered: of conversions when they occurred, of clicks when they happened.
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// The first moment after it.
    #[schema(value_type = String, format = DateTime)]
    pub to: Timestamp,
    /// It holds what was known then; reports of the same `as_of` agree with it to the row.
    #[schema(value_type = String, format = DateTime)]
    pub as_of: Timestamp,
    /// Which rows.
    #[schema(value_type = ExportFilters)]
    pub filters: Json<ExportFilters>,
    /// Rows written so far, without the header.
    pub rows: i64,
    /// Size of the file.
    pub bytes: Option<i64>,
    /// Why it failed.
    pub error: Option<String>,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When its file was complete.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub completed_at: Option<Timestamp>,
    /// When its file is removed.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// How often it was begun; names the file.
    #[serde(skip)]
    pub attempts: i32,
}

/// The columns of [`Export`], under the alias `e`.
macro_rules! exports {
    ($before:literal, $after:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            Export,
            $before
                + r#" e.id as "id: ExportId", e.kind as "kind: ExportKind", e.status as "status: ExportStatus",
                  e.range_from as "from: Timestamp", e.range_to as "to: Timestamp", e.as_of as "as_of: Timestamp",
                  e.filters as "filters: Json<ExportFilters>", e.rows_written as "rows", e.bytes_written as "bytes",
                  e.error, e.created_at as "created_at: Timestamp", e.completed_at as "completed_at: Timestamp",
                  e.expires_at as "expires_at: Timestamp", e.attempts "#
                + $after,
            $($argument),+
        )
    };
}

/// Queues an export of what is known now, and answers it.
///
/// # Errors
/// The database's.
pub async fn insert(
    db: impl PgExecutor<'_>,
    scope: &Scope,
    id: ExportId,
    kind: ExportKind,
    types: Vec<EventType>,
    actor: ApiKeyId,
) -> sqlx::Result<Export> {
    let filters = ExportFilters {
        partner: scope.filter.partner,
        program: scope.filter.program,
        types,
        timezone: scope.tz.name().to_owned(),
    };
    // Whole milliseconds, so that the `as_of` that is shown is the one that is used.
    exports!(
        "insert into exports as e (workspace_id, id, kind, range_from, range_to, as_of, filters, actor_key_id)
         values ($1, $2, $3, $4, $5, date_trunc('milliseconds', now()), $6, $7) returning",
        "",
        scope.workspace.uuid(),
        id.uuid(),
        kind.as_str(),
        scope.from.0,
        scope.to.0,
        Json(filters) as _,
        actor.uuid(),
    )
    .fetch_one(db)
    .await
}

/// A page of exports, of one kind and in one state where those are named.
///
/// # Errors
/// The database's.
pub async fn list(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    kind: Option<ExportKind>,
    status: Option<ExportStatus>,
    page: &PageQuery<Kind>,
) -> sqlx::Result<Vec<Export>> {
    exports!(
        "select",
        "from exports e where e.workspace_id = $1 and ($2::uuid is null or e.id < $2)
           and ($4::text is null or e.kind = $4) and ($5::text is null or e.status = $5)
         order by e.id desc limit $3",
        workspace.uuid(),
        page.before_uuid(),
        page.fetch(),
        kind.map(ExportKind::as_str),
        status.map(ExportStatus::as_str),
    )
    .fetch_all(db)
    .await
}

/// One export.
///
/// # Errors
/// The database's.
pub async fn get(db: impl PgExecutor<'_>, workspace: WorkspaceId, id: ExportId) -> sqlx::Result<Option<Export>> {
    exports!("select", "from exports e where e.workspace_id = $1 and e.id = $2", workspace.uuid(), id.uuid())
        .fetch_optional(db)
        .await
}

/// One export, locked until the transaction ends.
///
/// # Errors
/// The database's.
pub async fn lock(db: impl PgExecutor<'_>, workspace: WorkspaceId, id: ExportId) -> sqlx::Result<Option<Export>> {
    exports!("select", "from exports e where e.workspace_id = $1 and e.id = $2 for update", workspace.uuid(), id.uuid())
        .fetch_optional(db)
        .await
}

/// Calls an export off; whoever writes it notices at its next heartbeat. Its lease is left to pass, so that nothing is
/// cleared while it may still be written.
///
/// # Errors
/// The database's.
pub async fn cancel(db: impl PgExecutor<'_>, workspace: WorkspaceId, id: ExportId) -> sqlx::Result<Export> {
    exports!(
        "update exports e set status = 'cancelled'
         where e.workspace_id = $1 and e.id = $2 returning",
        "",
        workspace.uuid(),
        id.uuid(),
    )
    .fetch_one(db)
    .await
}
