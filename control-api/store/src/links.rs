//! Links, shown with the assignment in force.

mod link;

use serde_json::{Value, json};
use shared::{
    destination::{CustomQuery, Utm},
    id::{AssignmentId, DomainId, Link as Kind, LinkId, PartnerId, ProgramId, WorkspaceId},
    record::{ClickTokenMode, LinkStatus},
};
use sqlx::{PgConnection, PgExecutor, types::Json};
use uuid::Uuid;

use model::{
    page::{Order, SortedQuery},
    time::Timestamp,
};

use link::Row;
pub use link::{CurrentAssignment, Link, Variant};

macro_rules! select {
    ($($tail:literal)+, $($argument:expr),+) => {
        sqlx::query_as!(
            Row,
            r#"select l.id as "id: LinkId", d.hostname as domain, l.domain_id as "domain_id: DomainId", l.slug,
               l.destination, l.title, l.status as "status: LinkStatus", l.conversion_tracking,
               l.click_token as "click_token: ClickTokenMode", l.utm as "utm: Json<Utm>",
               l.custom_query as "custom_query: Json<CustomQuery>", l.variants as "variants: Json<Vec<Variant>>",
               l.experiment_key, l.forward_query, l.expires_at as "expires_at: Timestamp", l.expired_url, l.tags, l.version,
               l.created_at as "created_at: Timestamp", l.updated_at as "updated_at: Timestamp",
               a.id as "assignment_id?: AssignmentId", a.started_at as "started_at?: Timestamp",
               r.id as "partner_id?: PartnerId", r.key as "partner_key?", r.display_name as "partner_name?",
               p.id as "program_id?: ProgramId", p.key as "program_key?", p.name as "program_name?"
               from links l
               join domains d on d.workspace_id = l.workspace_id and d.id = l.domain_id
               left join assignments a on a.workspace_id = l.workspace_id and a.link_id = l.id and a.ended_at is null
               left join partners r on r.workspace_id = a.workspace_id and r.id = a.partner_id
               left join programs p on p.workspace_id = a.workspace_id and p.id = a.program_id where "# $(+ $tail)+,
            $($argument),+
        )
    };
}

/// Which links to list.
#[derive(Debug, Default)]
pub struct Filter {
    /// Only these states.
    pub statuses: Vec<String>,
    /// Only links assigned to this partner now.
    pub partner: Option<PartnerId>,
    /// Only links assigned within this program now.
    pub program: Option<ProgramId>,
    /// Only links of this domain.
    pub domain: Option<DomainId>,
    /// Only links with this tag.
    pub tag: Option<String>,
    /// Part of the title, destination or short URL.
    pub q: Option<String>,
}

macro_rules! page {
    ($place:literal, $workspace:ident, $filter:ident, $page:ident) => {
        select!(
            "l.workspace_id = $1 and l.status = any($2)
               and ($3::uuid is null or a.partner_id = $3)
               and ($4::uuid is null or a.program_id = $4)
               and ($5::uuid is null or l.domain_id = $5)
               and ($6::text is null or l.tags @> array[$6])
               and ($7::text is null or l.title ilike $7 or l.destination ilike $7
                    or 'https://' || d.hostname || '/' || l.slug ilike $7) "
            $place " limit $10",
            $workspace.uuid(),
            &$filter.statuses,
            $filter.partner.map(PartnerId::uuid),
            $filter.program.map(ProgramId::uuid),
            $filter.domain.map(DomainId::uuid),
            $filter.tag.as_deref(),
            $filter.q.as_deref().map(super::containing),
            $page.after_uuid(),
            $page.after_name(),
            $page.fetch()
        )
    };
}

/// A page of links.
///
/// # Errors
/// The database's.
pub async fn list(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    filter: &Filter,
    page: &SortedQuery<Kind>,
) -> sqlx::Result<Vec<Link>> {
    // Each order is a statement of its own, so that each finds its index. By creation no slug is compared.
    let rows = match page.order {
        Order::Newest => {
            page!(
                "and ($8::uuid is null or l.id < $8) and $9::text is null order by l.id desc",
                workspace,
                filter,
                page
            )
            .fetch_all(db)
            .await?
        }
        Order::Oldest => {
            page!("and ($8::uuid is null or l.id > $8) and $9::text is null order by l.id", workspace, filter, page)
                .fetch_all(db)
                .await?
        }
        Order::Name => {
            page!("and ($8::uuid is null or (l.slug, l.id) > ($9, $8)) order by l.slug, l.id", workspace, filter, page)
                .fetch_all(db)
                .await?
        }
        Order::NameReversed => {
            page!(
                "and ($8::uuid is null or (l.slug, l.id) < ($9, $8)) order by l.slug desc, l.id desc",
                workspace,
                filter,
                page
            )
            .fetch_all(db)
            .await?
        }
    };
    Ok(rows.into_iter().map(Link::from).collect())
}

/// One link.
///
/// # Errors
/// The database's.
pub async fn get(db: impl PgExecutor<'_>, workspace: WorkspaceId, id: LinkId) -> sqlx::Result<Option<Link>> {
    let row = select!("l.workspace_id = $1 and l.id = $2", workspace.uuid(), id.uuid());
    Ok(row.fetch_optional(db).await?.map(Link::from))
}

/// One link, its row locked until the transaction ends. The lock comes first and by itself, so that the
/// assignment read after it is the one in force.
///
/// # Errors
/// The database's.
pub async fn lock(db: &mut PgConnection, workspace: WorkspaceId, id: LinkId) -> sqlx::Result<Option<Link>> {
    sqlx::query_scalar!(
        "select id from links where workspace_id = $1 and id = $2 for no key update",
        workspace.uuid(),
        id.uuid()
    )
    .fetch_optional(&mut *db)
    .await?;
    get(db, workspace, id).await
}

/// Which of these slugs are taken, each on the domain at the same place.
///
/// # Errors
/// The database's.
pub async fn taken(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    domains: &[Uuid],
    slugs: &[&str],
) -> sqlx::Result<Vec<(DomainId, String)>> {
    let rows = sqlx::query!(
        r#"select domain_id as "domain: DomainId", slug from links
           where workspace_id = $1 and (domain_id, slug) in (select * from unnest($2::uuid[], $3::text[]))"#,
        workspace.uuid(),
        domains,
        slugs as _,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.domain, row.slug)).collect())
}

/// Stores new links, without their assignments, but for those whose slug is taken on its domain: the transaction
/// goes on, so that another slug can be tried. Answers the ids of what was stored.
///
/// # Errors
/// The database's.
pub async fn insert(db: &mut PgConnection, workspace: WorkspaceId, links: &[&Link]) -> sqlx::Result<Vec<LinkId>> {
    // As JSON, because arrays of tags of different lengths make no array of Postgres.
    let rows: Vec<Value> = links
        .iter()
        .map(|link| {
            json!({
                "id": link.id.uuid(),
                "domain_id": link.domain_id.uuid(),
                "slug": link.slug,
                "destination": link.destination,
                "title": link.title,
                "status": link.status.as_str(),
                "conversion_tracking": link.conversion_tracking,
                "click_token": link.click_token.as_str(),
                "utm": link.utm,
                "custom_query": link.custom_query,
                "variants": link.variants,
                "experiment_key": link.experiment_key,
                "forward_query": link.forward_query,
                "expires_at": link.expires_at.map(|at| at.0),
                "expired_url": link.expired_url,
                "tags": link.tags,
                "created_at": link.created_at.0,
            })
        })
        .collect();
    // Two requests that store the same slugs meet them in one order, so they wait for each other, never in a circle.
    sqlx::query_scalar!(
        r#"insert into links (workspace_id, id, domain_id, slug, destination, title, status, conversion_tracking,
           click_token, utm, custom_query, variants, experiment_key, forward_query, expires_at, expired_url, tags,
           created_at, updated_at)
           select $1, r.id, r.domain_id, r.slug, r.destination, r.title, r.status, r.conversion_tracking, r.click_token,
             r.utm, r.custom_query, r.variants, r.experiment_key, r.forward_query, r.expires_at, r.expired_url, r.tags,
             r.created_at, r.created_at
           from jsonb_to_recordset($2) as r (id uuid, domain_id uuid, slug text, destination text, title text,
             status text, conversion_tracking boolean, click_token text, utm jsonb, custom_query jsonb, variants jsonb,
             experiment_key text, forward_query boolean, expires_at timestamptz, expired_url text, tags text[],
             created_at timestamptz)
           order by r.domain_id, r.slug
           on conflict on constraint links_slug_unique do nothing
           returning id as "id: LinkId""#,
        workspace.uuid(),
        Value::Array(rows),
    )
    .fetch_all(db)
    .await
}

/// Stores a changed link, without its assignment; raises its version.
///
/// # Errors
/// The database's.
pub async fn update(db: &mut PgConnection, workspace: WorkspaceId, link: &mut Link, at: Timestamp) -> sqlx::Result<()> {
    link.version += 1;
    link.updated_at = at;
    sqlx::query!(
        "update links set destination = $3, title = $4, status = $5, conversion_tracking = $6, click_token = $7, \
         utm = $8, custom_query = $9, variants = $10, experiment_key = $11, forward_query = $12, expires_at = $13, \
         expired_url = $14, tags = $15, version = $16, updated_at = $17 where workspace_id = $1 and id = $2",
        workspace.uuid(),
        link.id.uuid(),
        link.destination,
        link.title,
        link.status.as_str(),
        link.conversion_tracking,
        link.click_token.as_str(),
        Json(&link.utm) as _,
        Json(&link.custom_query) as _,
        Json(&link.variants) as _,
        link.experiment_key,
        link.forward_query,
        link.expires_at.map(|at| at.0),
        link.expired_url,
        &link.tags,
        link.version,
        link.updated_at.0,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What a link shows changed beside its own fields: whom it belongs to.
///
/// # Errors
/// The database's.
pub async fn raise_version(
    db: &mut PgConnection,
    workspace: WorkspaceId,
    link: LinkId,
    at: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update links set version = version + 1, updated_at = $3 where workspace_id = $1 and id = $2",
        workspace.uuid(),
        link.uuid(),
        at.0,
    )
    .execute(db)
    .await?;
    Ok(())
}
