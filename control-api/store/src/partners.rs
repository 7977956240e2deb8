//! Partners and the notes on them.

mod partner;

use serde_json::{Map, Value, json};
use shared::id::{Partner as Kind, PartnerId, ProgramId, WorkspaceId};
use sqlx::{PgConnection, PgExecutor, types::Json};

use model::{
    page::{Order, SortedQuery},
    reference::Reference,
    status::Status,
    time::Timestamp,
};

use partner::Row;
pub use partner::{Invite, Partner, Relationship};

macro_rules! select {
    ($($tail:literal)+, $($argument:expr),+) => {
        sqlx::query_as!(
            Row,
            r#"select r.id as "id: PartnerId", r.key, r.display_name, r.status as "status: Status",
               r.relationship as "relationship: Relationship", r.contact_name, r.contact_email, r.external_id,
               r.invite as "invite: Json<Invite>", r.tags, p.id as "program_id?: ProgramId", p.key as "program_key?",
               p.name as "program_name?", r.metadata as "metadata: Json<Map<String, Value>>",
               (select count(*) from assignments a
                join links l on l.workspace_id = a.workspace_id and l.id = a.link_id
                join domains d on d.workspace_id = l.workspace_id and d.id = l.domain_id
                where a.workspace_id = r.workspace_id and a.partner_id = r.id and a.ended_at is null
                  and l.status = 'active' and (l.expires_at is null or l.expires_at > now())
                  and d.status = 'active') as "active_links!",
               r.version, r.created_at as "created_at: Timestamp", r.updated_at as "updated_at: Timestamp",
               r.erased_at as "erased_at: Timestamp"
               from partners r
               left join programs p on p.workspace_id = r.workspace_id and p.id = r.primary_program_id where "# $(+ $tail)+,
            $($argument),+
        )
    };
}

/// Which partners to list.
#[derive(Debug, Default)]
pub struct Filter {
    /// Only these states.
    pub statuses: Vec<String>,
    /// Only this relationship.
    pub relationship: Option<Relationship>,
    /// Only those with this tag.
    pub tag: Option<String>,
    /// Only those whose primary program it is, or who have a link assigned within it now.
    pub program: Option<ProgramId>,
    /// Part of a name, the key, the external id or the contact.
    pub q: Option<String>,
}

macro_rules! page {
    ($place:literal, $workspace:ident, $filter:ident, $page:ident) => {
        select!(
            "r.workspace_id = $1 and r.status = any($2)
               and ($3::text is null or r.relationship = $3)
               and ($4::text is null or r.tags @> array[$4])
               and ($5::uuid is null or r.id in (
                 select id from partners where workspace_id = $1 and primary_program_id = $5
                 union all
                 select partner_id from assignments where workspace_id = $1 and program_id = $5 and ended_at is null))
               and ($6::text is null or r.display_name ilike $6 or r.key ilike $6 or r.external_id ilike $6
                    or r.contact_name ilike $6 or r.contact_email ilike $6) "
            $place " limit $9",
            $workspace.uuid(),
            &$filter.statuses,
            $filter.relationship.map(Relationship::as_str),
            $filter.tag.as_deref(),
            $filter.program.map(ProgramId::uuid),
            $filter.q.as_deref().map(super::containing),
            $page.after_uuid(),
            $page.after_name(),
            $page.fetch()
        )
    };
}

/// A page of partners.
///
/// # Errors
/// The database's.
pub async fn list(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    filter: &Filter,
    page: &SortedQuery<Kind>,
) -> sqlx::Result<Vec<Partner>> {
    // Each order is a statement of its own, so that each finds its index. By creation no name is compared.
    let rows = match page.order {
        Order::Newest => {
            page!("and ($7::uuid is null or r.id < $7) and $8::text is null order by r.id desc", workspace, filter, page)
                .fetch_all(db)
                .await?
        }
        Order::Oldest => {
            page!("and ($7::uuid is null or r.id > $7) and $8::text is null order by r.id", workspace, filter, page)
                .fetch_all(db)
                .await?
        }
        Order::Name => page!(
            "and ($7::uuid is null or (lower(r.display_name), r.id) > (lower($8), $7)) order by lower(r.display_name), r.id",
            workspace, filter, page
        )
        .fetch_all(db)
        .await?,
        Order::NameReversed => page!(
            "and ($7::uuid is null or (lower(r.display_name), r.id) < (lower($8), $7))
             order by lower(r.display_name) desc, r.id desc",
            workspace, filter, page
        )
        .fetch_all(db)
        .await?,
    };
    Ok(rows.into_iter().map(Partner::from).collect())
}

/// One partner.
///
/// # Errors
/// The database's.
pub async fn get(db: impl PgExecutor<'_>, workspace: WorkspaceId, id: PartnerId) -> sqlx::Result<Option<Partner>> {
    let row = select!("r.workspace_id = $1 and r.id = $2", workspace.uuid(), id.uuid());
    Ok(row.fetch_optional(db).await?.map(Partner::from))
}

/// A partner named in any way, its row locked until the transaction ends.
///
/// # Errors
/// The database's.
pub async fn lock(
    db: &mut PgConnection,
    workspace: WorkspaceId,
    reference: &Reference<Kind>,
) -> sqlx::Result<Option<Partner>> {
    let (id, key, external) = reference.parts();
    let found = sqlx::query_scalar!(
        r#"select id as "id: PartnerId" from partners
           where workspace_id = $1 and (id = $2 or key = $3 or external_id = $4) for no key update"#,
        workspace.uuid(),
        id,
        key,
        external,
    )
    .fetch_optional(&mut *db)
    .await?;
    match found {
        Some(id) => get(db, workspace, id).await,
        None => Ok(None),
    }
}

/// The id of a partner named in any way.
///
/// # Errors
/// The database's.
pub async fn find(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    reference: &Reference<Kind>,
) -> sqlx::Result<Option<PartnerId>> {
    let (id, key, external) = reference.parts();
    sqlx::query_scalar!(
        r#"select id as "id: PartnerId" from partners
           where workspace_id = $1 and (id = $2 or key = $3 or external_id = $4)"#,
        workspace.uuid(),
        id,
        key,
        external,
    )
    .fetch_optional(db)
    .await
}

/// Those of these keys that are taken.
///
/// # Errors
/// The database's.
pub async fn taken_keys(db: impl PgExecutor<'_>, workspace: WorkspaceId, keys: &[String]) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!("select key from partners where workspace_id = $1 and key = any($2)", workspace.uuid(), keys)
        .fetch_all(db)
        .await
}

/// Those of the customer's own ids that partners have.
///
/// # Errors
/// The database's.
pub async fn taken_external_ids(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    ids: &[String],
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"select external_id as "id!" from partners where workspace_id = $1 and external_id = any($2)"#,
        workspace.uuid(),
        ids,
    )
    .fetch_all(db)
    .await
}

/// Stores new partners, but for those whose key or external id is taken; answers the ids of what was stored.
///
/// # Errors
/// The database's.
pub async fn insert(
    db: &mut PgConnection,
    workspace: WorkspaceId,
    partners: &[&Partner],
) -> sqlx::Result<Vec<PartnerId>> {
    // As JSON, because arrays of tags of different lengths make no array of Postgres.
    let rows: Vec<Value> = partners
        .iter()
        .map(|partner| {
            json!({
                "id": partner.id.uuid(),
                "key": partner.key,
                "display_name": partner.display_name,
                "status": partner.status.as_str(),
                "relationship": partner.relationship.as_str(),
                "contact_name": partner.contact_name,
                "contact_email": partner.contact_email,
                "external_id": partner.external_id,
                "invite": partner.invite,
                "tags": partner.tags,
                "primary_program_id": partner.primary_program.as_ref().map(|program| program.id.uuid()),
                "metadata": partner.metadata,
                "created_at": partner.created_at.0,
            })
        })
        .collect();
    // Two requests that store the same keys meet them in one order, so they wait for each other, never in a circle.
    sqlx::query_scalar!(
        r#"insert into partners (workspace_id, id, key, display_name, status, relationship, contact_name,
           contact_email, external_id, invite, tags, primary_program_id, metadata, created_at, updated_at)
           select $1, r.id, r.key, r.display_name, r.status, r.relationship, r.contact_name, r.contact_email,
             r.external_id, r.invite, r.tags, r.primary_program_id, r.metadata, r.created_at, r.created_at
           from jsonb_to_recordset($2) as r (id uuid, key text, display_name text, status text, relationship text,
             contact_name text, contact_email text, external_id text, invite jsonb, tags text[],
             primary_program_id uuid, metadata jsonb, created_at timestamptz)
           order by r.key
           on conflict do nothing
           returning id as "id: PartnerId""#,
        workspace.uuid(),
        Value::Array(rows),
    )
    .fetch_all(db)
    .await
}

/// Stores a changed partner; raises its version.
///
/// # Errors
/// The database's; `partners_external_id_unique` where that is taken.
pub async fn update(
    db: &mut PgConnection,
    workspace: WorkspaceId,
    partner: &mut Partner,
    at: Timestamp,
) -> sqlx::Result<()> {
    partner.version += 1;
    partner.updated_at = at;
    sqlx::query!(
        "update partners set display_name = $3, status = $4, relationship = $5, contact_name = $6, \
         contact_email = $7, external_id = $8, invite = $9, tags = $10, primary_program_id = $11, metadata = $12, \
         erased_at = $13, version = $14, updated_at = $15 where workspace_id = $1 and id = $2",
        workspace.uuid(),
        partner.id.uuid(),
        partner.display_name,
        partner.status.as_str(),
        partner.relationship.as_str(),
        partner.contact_name,
        partner.contact_email,
        partner.external_id,
        partner.invite.as_ref().map(Json) as _,
        &partner.tags,
        partner.primary_program.as_ref().map(|program| program.id.uuid()),
        Json(&partner.metadata) as _,
        partner.erased_at.map(|at| at.0),
        partner.version,
        partner.updated_at.0,
    )
    .execute(db)
    .await?;
    Ok(())
}
