//! Branded domains.

use serde::Serialize;
use shared::id::{Domain as Kind, DomainId, WorkspaceId};
use sqlx::{PgConnection, PgExecutor};

use model::{page::SortedQuery, reference::DomainRef, time::Timestamp};

shared::text_enum! {
    /// The state of a domain.
    pub enum DomainStatus {
        /// Its links redirect.
        Active = "active",
        /// It is as if it weren't there.
        Archived = "archived",
    }
}

/// A domain, as the API shows it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Domain {
    /// Its id.
    #[schema(value_type = String, example = "dom_01h455vb4pex5vsknk084sn02q")]
    pub id: DomainId,
    /// Its immutable name, in lower case, international names as punycode.
    #[schema(example = "go.acme.com")]
    pub hostname: String,
    /// `active` or `archived`.
    #[schema(value_type = String, example = "active")]
    pub status: DomainStatus,
    /// Where its `/` leads.
    pub root_redirect_url: Option<String>,
    /// Where visitors of unknown and inactive links go.
    pub not_found_url: Option<String>,
    /// Raised by every change.
    pub version: i64,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

macro_rules! select {
    ($tail:literal, $($argument:expr),+) => {
        sqlx::query_as!(
            Domain,
            r#"select id as "id: DomainId", hostname, status as "status: DomainStatus", root_redirect_url, not_found_url,
               version, created_at as "created_at: Timestamp", updated_at as "updated_at: Timestamp" from domains "# + $tail,
            $($argument),+
        )
    };
}

/// A page of domains in one of these states, or whose name contains a text.
///
/// # Errors
/// The database's.
pub async fn list(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    status: Option<DomainStatus>,
    q: Option<&str>,
    page: &SortedQuery<Kind>,
) -> sqlx::Result<Vec<Domain>> {
    // A workspace has few domains, so sorting them costs nothing that an index would save.
    select!(
        "where workspace_id = $1 and ($2::text is null or status = $2) and ($3::text is null or hostname ilike $3)
           and ($4::uuid is null or case $6
             when 'newest' then id < $4 when 'oldest' then id > $4 when 'name' then hostname > $5 else hostname < $5 end)
         order by case when $6 = 'name' then hostname end, case when $6 = 'name_reversed' then hostname end desc,
           case when $6 = 'oldest' then id end, id desc
         limit $7",
        workspace.uuid(),
        status.map(DomainStatus::as_str),
        q.map(super::containing),
        page.after_uuid(),
        page.after_name(),
        page.order.as_str(),
        page.fetch()
    )
    .fetch_all(db)
    .await
}

/// Those domains that ids or hostnames name.
///
/// # Errors
/// The database's.
pub async fn find_all<'a>(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    references: impl IntoIterator<Item = &'a DomainRef>,
) -> sqlx::Result<Vec<Domain>> {
    let (mut ids, mut hostnames) = (vec![], vec![]);
    for reference in references {
        match reference {
            DomainRef::Id(id) => ids.push(id.uuid()),
            DomainRef::Hostname(hostname) => hostnames.push(hostname.to_string()),
        }
    }
    select!("where workspace_id = $1 and (id = any($2) or hostname = any($3))", workspace.uuid(), &ids, &hostnames)
        .fetch_all(db)
        .await
}

/// A domain named in any way.
///
/// # Errors
/// The database's.
pub async fn find(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    reference: &DomainRef,
) -> sqlx::Result<Option<Domain>> {
    let (id, hostname) = reference.parts();
    select!("where workspace_id = $1 and (id = $2 or hostname = $3)", workspace.uuid(), id, hostname)
        .fetch_optional(db)
        .await
}

/// A domain named in any way, its row locked until the transaction ends.
///
/// # Errors
/// The database's.
pub async fn lock(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    reference: &DomainRef,
) -> sqlx::Result<Option<Domain>> {
    let (id, hostname) = reference.parts();
    select!("where workspace_id = $1 and (id = $2 or hostname = $3) for no key update", workspace.uuid(), id, hostname)
        .fetch_optional(db)
        .await
}

/// Stores a new domain.
///
/// # Errors
/// The database's; `domains_hostname_unique` where any workspace has the hostname.
pub async fn insert(db: &mut PgConnection, workspace: WorkspaceId, domain: &Domain) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into domains (workspace_id, id, hostname, status, root_redirect_url, not_found_url, created_at, \
         updated_at) values ($1, $2, $3, $4, $5, $6, $7, $7)",
        workspace.uuid(),
        domain.id.uuid(),
        domain.hostname,
        domain.status.as_str(),
        domain.root_redirect_url,
        domain.not_found_url,
        domain.created_at.0,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Stores a changed domain; raises its version.
///
/// # Errors
/// The database's.
pub async fn update(
    db: &mut PgConnection,
    workspace: WorkspaceId,
    domain: &mut Domain,
    at: Timestamp,
) -> sqlx::Result<()> {
    domain.version += 1;
    domain.updated_at = at;
    sqlx::query!(
        "update domains set status = $3, root_redirect_url = $4, not_found_url = $5, version = $6, updated_at = $7 \
         where workspace_id = $1 and id = $2",
        workspace.uuid(),
        domain.id.uuid(),
        domain.status.as_str(),
        domain.root_redirect_url,
        domain.not_found_url,
        domain.version,
        domain.updated_at.0,
    )
    .execute(db)
    .await?;
    Ok(())
}
