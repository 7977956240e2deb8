//! Programs and the versions of their reward terms.

mod program;
mod terms;

pub use terms::start_terms;

use shared::{
    destination::{CustomQuery, Utm},
    id::{Program as Kind, ProgramId, WorkspaceId},
    reward::Basis,
};
use sqlx::{PgExecutor, types::Json};

use model::{
    page::SortedQuery,
    reference::{Reference, References},
    status::Status,
    time::Timestamp,
};

use program::Row;
pub use program::{Program, ProgramKind, RewardTerms};

macro_rules! select {
    ($tail:literal, $($argument:expr),+) => {
        sqlx::query_as!(
            Row,
            r#"select p.id as "id: ProgramId", p.key, p.name, p.status as "status: Status", p.kind as "kind: ProgramKind",
               p.public_label, p.default_destination_url, p.support_email, p.terms_url, p.help_url, p.application_url,
               p.utm as "utm: Json<Utm>", p.custom_query as "custom_query: Json<CustomQuery>", p.attribution_window_days,
               p.version, p.created_at as "created_at: Timestamp", p.updated_at as "updated_at: Timestamp",
               t.version as "terms_version?", t.basis as "basis?: Basis", t.rate_bps as "rate_bps?",
               t.amount_minor as "amount_minor?", t.currency as "currency?", t.applies_to as "applies_to?",
               t.hold_days as "hold_days?", t.note as "note?", t.started_at as "started_at?: Timestamp"
               from programs p
               left join lateral (
                 select * from program_reward_terms t where t.workspace_id = p.workspace_id and t.program_id = p.id
                 order by t.version desc limit 1
               ) t on true where "# + $tail,
            $($argument),+
        )
    };
}

/// Which programs to list.
#[derive(Debug, Default)]
pub struct Filter {
    /// Only these states.
    pub statuses: Vec<String>,
    /// Only this kind.
    pub kind: Option<ProgramKind>,
    /// Part of the name or key.
    pub q: Option<String>,
}

/// A page of programs.
///
/// # Errors
/// The database's.
pub async fn list(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    filter: &Filter,
    page: &SortedQuery<Kind>,
) -> sqlx::Result<Vec<Program>> {
    // A workspace has few programs, so sorting them costs nothing that an index would save.
    let rows = select!(
        "p.workspace_id = $1 and p.status = any($2)
           and ($3::text is null or p.kind = $3)
           and ($4::text is null or p.name ilike $4 or p.key ilike $4)
           and ($5::uuid is null or case $7
             when 'newest' then p.id < $5
             when 'oldest' then p.id > $5
             when 'name' then (lower(p.name), p.id) > (lower($6), $5)
             else (lower(p.name), p.id) < (lower($6), $5) end)
         order by
           case when $7 = 'name' then lower(p.name) end, case when $7 = 'name_reversed' then lower(p.name) end desc,
           case when $7 in ('oldest', 'name') then p.id end, p.id desc
         limit $8",
        workspace.uuid(),
        &filter.statuses,
        filter.kind.map(ProgramKind::as_str),
        filter.q.as_deref().map(super::containing),
        page.after_uuid(),
        page.after_name(),
        page.order.as_str(),
        page.fetch()
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Program::from).collect())
}

/// One program.
///
/// # Errors
/// The database's.
pub async fn get(db: impl PgExecutor<'_>, workspace: WorkspaceId, id: ProgramId) -> sqlx::Result<Option<Program>> {
    Ok(get_all(db, workspace, &[id.uuid()]).await?.pop())
}

/// Those of these programs that exist.
///
/// # Errors
/// The database's.
pub async fn get_all(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    ids: &[uuid::Uuid],
) -> sqlx::Result<Vec<Program>> {
    let rows = select!("p.workspace_id = $1 and p.id = any($2)", workspace.uuid(), ids).fetch_all(db).await?;
    Ok(rows.into_iter().map(Program::from).collect())
}

/// Those programs that the references name.
///
/// # Errors
/// The database's.
pub async fn find_all(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    references: &References,
) -> sqlx::Result<Vec<Program>> {
    let rows = select!(
        "p.workspace_id = $1 and (p.id = any($2) or p.key = any($3))",
        workspace.uuid(),
        &references.ids,
        &references.keys
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(Program::from).collect())
}

/// The id of a program named in any way, its row locked until the transaction ends.
///
/// # Errors
/// The database's.
pub async fn lock(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    reference: &Reference<Kind>,
) -> sqlx::Result<Option<ProgramId>> {
    let (id, key, _) = reference.parts();
    let found = sqlx::query_scalar!(
        "select id from programs where workspace_id = $1 and (id = $2 or key = $3) for no key update",
        workspace.uuid(),
        id,
        key,
    )
    .fetch_optional(db)
    .await?;
    Ok(found.map(ProgramId::from_uuid))
}

/// The id of a program named in any way.
///
/// # Errors
/// The database's.
pub async fn find(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    reference: &Reference<Kind>,
) -> sqlx::Result<Option<ProgramId>> {
    let (id, key, _) = reference.parts();
    let found = sqlx::query_scalar!(
        "select id from programs where workspace_id = $1 and (id = $2 or key = $3)",
        workspace.uuid(),
        id,
        key,
    )
    .fetch_optional(db)
    .await?;
    Ok(found.map(ProgramId::from_uuid))
}

/// Those of these keys that are taken.
///
/// # Errors
/// The database's.
pub async fn taken_keys(db: impl PgExecutor<'_>, workspace: WorkspaceId, keys: &[String]) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!("select key from programs where workspace_id = $1 and key = any($2)", workspace.uuid(), keys)
        .fetch_all(db)
        .await
}

/// Stores a new program, without its terms.
///
/// # Errors
/// The database's; `programs_key_unique` where the key is taken.
pub async fn insert(db: impl PgExecutor<'_>, workspace: WorkspaceId, program: &Program) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into programs (workspace_id, id, key, name, status, kind, public_label, default_destination_url, \
         support_email, terms_url, help_url, application_url, utm, custom_query, attribution_window_days, created_at, \
         updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $16)",
        workspace.uuid(),
        program.id.uuid(),
        program.key,
        program.name,
        program.status.as_str(),
        program.kind.as_str(),
        program.public_label,
        program.default_destination_url,
        program.support_email,
        program.terms_url,
        program.help_url,
        program.application_url,
        Json(&program.utm) as _,
        Json(&program.custom_query) as _,
        program.attribution_window_days,
        program.created_at.0,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Stores a changed program, without its terms; raises its version.
///
/// # Errors
/// The database's.
pub async fn update(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    program: &mut Program,
    at: Timestamp,
) -> sqlx::Result<()> {
    program.version += 1;
    program.updated_at = at;
    sqlx::query!(
        "update programs set name = $3, status = $4, kind = $5, public_label = $6, default_destination_url = $7, \
         support_email = $8, terms_url = $9, help_url = $10, application_url = $11, utm = $12, custom_query = $13, \
         attribution_window_days = $14, version = $15, updated_at = $16 where workspace_id = $1 and id = $2",
        workspace.uuid(),
        program.id.uuid(),
        program.name,
        program.status.as_str(),
        program.kind.as_str(),
        program.public_label,
        program.default_destination_url,
        program.support_email,
        program.terms_url,
        program.help_url,
        program.application_url,
        Json(&program.utm) as _,
        Json(&program.custom_query) as _,
        program.attribution_window_days,
        program.version,
        program.updated_at.0,
    )
    .execute(db)
    .await?;
    Ok(())
}
