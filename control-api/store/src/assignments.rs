//! Whom links belonged to, and when. Rows are closed, never changed or deleted.

use serde::Serialize;
use shared::{
    click::Named,
    id::{ApiKeyId, Assignment as Kind, AssignmentId, LinkId, Partner, PartnerId, Program, ProgramId, WorkspaceId},
};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use model::{
    page::PageQuery,
    reference::{NamedObject, References, named},
    status::Status,
    time::Timestamp,
};

/// One period in which a link belonged to a partner, as the API shows it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Assignment {
    /// Its id.
    #[schema(value_type = String, example = "asg_01h455vb4pex5vsknk084sn02q")]
    pub id: AssignmentId,
    /// The link.
    #[schema(value_type = String, example = "lnk_01h455vb4pex5vsknk084sn02q")]
    pub link_id: LinkId,
    /// The partner, as it is called now.
    #[schema(value_type = NamedObject)]
    pub partner: Named<'static, Partner>,
    /// The program, as it is called now, if any.
    #[schema(value_type = Option<NamedObject>)]
    pub program: Option<Named<'static, Program>>,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// When it ended; `null`: it is in force.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// The API key that began it.
    #[schema(value_type = String, example = "key_01h455vb4pex5vsknk084sn02q")]
    pub actor: ApiKeyId,
    /// The API key that ended it.
    #[schema(value_type = Option<String>)]
    pub ended_by: Option<ApiKeyId>,
}

struct Row {
    id: AssignmentId,
    link_id: LinkId,
    partner_id: PartnerId,
    partner_key: String,
    partner_name: String,
    program_id: Option<ProgramId>,
    program_key: Option<String>,
    program_name: Option<String>,
    started_at: Timestamp,
    ended_at: Option<Timestamp>,
    actor: ApiKeyId,
    ended_by: Option<ApiKeyId>,
}

impl From<Row> for Assignment {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            link_id: row.link_id,
            partner: Named { id: row.partner_id, key: row.partner_key.into(), name: row.partner_name.into() },
            program: named(row.program_id, row.program_key, row.program_name),
            started_at: row.started_at,
            ended_at: row.ended_at,
            actor: row.actor,
            ended_by: row.ended_by,
        }
    }
}

macro_rules! select {
    ($tail:literal, $($argument:expr),+) => {
        sqlx::query_as!(
            Row,
            r#"select a.id as "id: AssignmentId", a.link_id as "link_id: LinkId", a.partner_id as "partner_id: PartnerId",
               r.key as partner_key, r.display_name as partner_name, p.id as "program_id?: ProgramId",
               p.key as "program_key?", p.name as "program_name?", a.started_at as "started_at: Timestamp",
               a.ended_at as "ended_at: Timestamp", a.actor_key_id as "actor: ApiKeyId", a.ended_by_key_id as "ended_by: ApiKeyId"
               from assignments a
               join partners r on r.workspace_id = a.workspace_id and r.id = a.partner_id
               left join programs p on p.workspace_id = a.workspace_id and p.id = a.program_id "# + $tail,
            $($argument),+
        )
    };
}

/// A page of a link's history, newest first.
///
/// # Errors
/// The database's.
pub async fn list(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    link: LinkId,
    page: &PageQuery<Kind>,
) -> sqlx::Result<Vec<Assignment>> {
    let rows = select!(
        "where a.workspace_id = $1 and a.link_id = $2 and ($3::uuid is null or a.id < $3)
         order by a.id desc limit $4",
        workspace.uuid(),
        link.uuid(),
        page.before_uuid(),
        page.fetch()
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Assignment::from).collect())
}

/// The latest assignment of a link, ended or not. With the link locked, it is the latest until the
/// transaction ends.
///
/// # Errors
/// The database's.
pub async fn latest(db: impl PgExecutor<'_>, workspace: WorkspaceId, link: LinkId) -> sqlx::Result<Option<Assignment>> {
    let row = select!(
        "where a.workspace_id = $1 and a.link_id = $2 order by a.id desc limit 1",
        workspace.uuid(),
        link.uuid()
    );
    Ok(row.fetch_optional(db).await?.map(Assignment::from))
}

/// The moment of a change to a locked link. Not `now()`: that is when the transaction began, which for one
/// that had to wait for the lock lies before the change it waited for.
///
/// # Errors
/// The database's.
pub async fn moment(db: impl PgExecutor<'_>) -> sqlx::Result<Timestamp> {
    sqlx::query_scalar!(r#"select clock_timestamp() as "at!: Timestamp""#).fetch_one(db).await
}

/// Stores new assignments.
///
/// # Errors
/// The database's; `assignments_one_active` where a link has an active one.
pub async fn insert(db: &mut PgConnection, workspace: WorkspaceId, assignments: &[Assignment]) -> sqlx::Result<()> {
    let column = |of: fn(&Assignment) -> Uuid| assignments.iter().map(of).collect::<Vec<_>>();
    let programs: Vec<Option<Uuid>> = assignments.iter().map(|a| a.program.as_ref().map(|p| p.id.uuid())).collect();
    let started: Vec<_> = assignments.iter().map(|a| a.started_at.0).collect();
    sqlx::query!(
        "insert into assignments (workspace_id, id, link_id, partner_id, program_id, started_at, actor_key_id) \
         select $1, r.* from unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::timestamptz[], $7::uuid[]) as r",
        workspace.uuid(),
        &column(|a| a.id.uuid()),
        &column(|a| a.link_id.uuid()),
        &column(|a| a.partner.id.uuid()),
        &programs as _,
        &started,
        &column(|a| a.actor.uuid()),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Closes an assignment.
///
/// # Errors
/// The database's.
pub async fn close(
    db: &mut PgConnection,
    workspace: WorkspaceId,
    id: AssignmentId,
    at: Timestamp,
    by: ApiKeyId,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update assignments set ended_at = $3, ended_by_key_id = $4 \
         where workspace_id = $1 and id = $2 and ended_at is null",
        workspace.uuid(),
        id.uuid(),
        at.0,
        by.uuid(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A partner, as far as an assignment asks.
#[derive(Debug, Clone)]
pub struct Assignee {
    /// Who it is.
    pub partner: Named<'static, Partner>,
    /// The customer's own id of it.
    pub external_id: Option<String>,
    /// Whether it takes assignments.
    pub status: Status,
    /// Its program unless another is named.
    pub primary_program: Option<ProgramId>,
}

/// Those partners that the references name, kept as they are until the transaction ends; others may read and
/// assign them too.
///
/// # Errors
/// The database's.
pub async fn hold_partners(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    references: &References,
) -> sqlx::Result<Vec<Assignee>> {
    let rows = sqlx::query!(
        r#"select id as "id: PartnerId", key, display_name, external_id, status as "status: Status",
           primary_program_id as "primary_program: ProgramId"
           from partners where workspace_id = $1 and (id = any($2) or key = any($3) or external_id = any($4))
           order by id for share"#,
        workspace.uuid(),
        &references.ids,
        &references.keys,
        &references.externals,
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Assignee {
            partner: Named { id: row.id, key: row.key.into(), name: row.display_name.into() },
            external_id: row.external_id,
            status: row.status,
            primary_program: row.primary_program,
        })
        .collect())
}

/// The ids of those programs that the references name, kept as they are until the transaction ends; others may
/// read and assign them too.
///
/// # Errors
/// The database's.
pub async fn hold_programs(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    references: &References,
) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "select id from programs where workspace_id = $1 and (id = any($2) or key = any($3)) order by id for share",
        workspace.uuid(),
        &references.ids,
        &references.keys,
    )
    .fetch_all(db)
    .await
}
