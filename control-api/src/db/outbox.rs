//! The replication outbox: what the edge must still be told. One coalesced row per key of the edge store,
//! written in the transaction of the change.

use shared::id::{DomainId, LinkId, PartnerId, ProgramId, WorkspaceId};
use sqlx::{PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

/// Wakes the replicators of all instances.
pub const CHANNEL: &str = "nim_outbox";

/// Raises the record version of links and enqueues them. `ids` are links of the workspace.
async fn touch(db: &mut PgConnection, workspace: WorkspaceId, ids: &[Uuid]) -> sqlx::Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "with touched as (
           update links set record_version = record_version + 1
           where workspace_id = $1 and id in (select id from links where workspace_id = $1 and id = any($2) order by id for update)
           returning id, domain_id, slug
         )
         insert into outbox (workspace_id, kv_key, link_id, domain_id)
         select $1, 'l:' || d.hostname || '/' || t.slug, t.id, t.domain_id
         from touched t join domains d on d.workspace_id = $1 and d.id = t.domain_id
         order by 2
         on conflict (workspace_id, kv_key) do update
         set version = outbox.version + 1, enqueued_at = now(), attempts = 0, not_before = least(outbox.not_before, now())",
        workspace.uuid(),
        ids,
    )
    .execute(&mut *db)
    .await?;
    wake(db).await
}

async fn wake(db: impl PgExecutor<'_>) -> sqlx::Result<()> {
    sqlx::query!("select pg_notify($1, '')", CHANNEL).fetch_one(db).await?;
    Ok(())
}

/// A link was made or changed, or its assignment was.
///
/// # Errors
/// The database's.
pub async fn touch_link(db: &mut PgConnection, workspace: WorkspaceId, link: LinkId) -> sqlx::Result<()> {
    touch(db, workspace, &[link.uuid()]).await
}

/// A partner was renamed, or became active or inactive: its links' records carry that.
///
/// # Errors
/// The database's.
pub async fn touch_links_of_partner(
    db: &mut PgConnection,
    workspace: WorkspaceId,
    partner: PartnerId,
) -> sqlx::Result<()> {
    let links = sqlx::query_scalar!(
        "select link_id from assignments where workspace_id = $1 and partner_id = $2 and ended_at is null",
        workspace.uuid(),
        partner.uuid(),
    )
    .fetch_all(&mut *db)
    .await?;
    touch(db, workspace, &links).await
}

/// A program was renamed.
///
/// # Errors
/// The database's.
pub async fn touch_links_of_program(
    db: &mut PgConnection,
    workspace: WorkspaceId,
    program: ProgramId,
) -> sqlx::Result<()> {
    let links = sqlx::query_scalar!(
        "select link_id from assignments where workspace_id = $1 and program_id = $2 and ended_at is null",
        workspace.uuid(),
        program.uuid(),
    )
    .fetch_all(&mut *db)
    .await?;
    touch(db, workspace, &links).await
}

/// The workspace changed what clicks of inactive partners carry.
///
/// # Errors
/// The database's.
pub async fn touch_links_of_inactive_partners(db: &mut PgConnection, workspace: WorkspaceId) -> sqlx::Result<()> {
    let links = sqlx::query_scalar!(
        "select a.link_id from assignments a join partners p on p.workspace_id = a.workspace_id and p.id = a.partner_id
         where a.workspace_id = $1 and a.ended_at is null and p.status <> 'active'",
        workspace.uuid(),
    )
    .fetch_all(&mut *db)
    .await?;
    touch(db, workspace, &links).await
}

/// A domain was made or changed; with `and_links`, in a way that its links' records carry.
///
/// # Errors
/// The database's.
pub async fn touch_domain(
    db: &mut PgConnection,
    workspace: WorkspaceId,
    domain: DomainId,
    links: DomainLinks,
) -> sqlx::Result<()> {
    sqlx::query!(
        "with touched as (
           update domains set record_version = record_version + 1 where workspace_id = $1 and id = $2 returning id, hostname
         )
         insert into outbox (workspace_id, kv_key, domain_id) select $1, 'd:' || hostname, id from touched
         on conflict (workspace_id, kv_key) do update
         set version = outbox.version + 1, enqueued_at = now(), attempts = 0, not_before = least(outbox.not_before, now())",
        workspace.uuid(),
        domain.uuid(),
    )
    .execute(&mut *db)
    .await?;
    if links == DomainLinks::Too {
        let links = sqlx::query_scalar!(
            "select id from links where workspace_id = $1 and domain_id = $2",
            workspace.uuid(),
            domain.uuid(),
        )
        .fetch_all(&mut *db)
        .await?;
        touch(db, workspace, &links).await?;
    }
    wake(db).await
}

/// Whether a domain's change concerns its links' records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DomainLinks {
    /// Only the domain's own record.
    Unchanged,
    /// Its links' as well.
    Too,
}

/// Enqueues every record of every workspace, to rebuild the edge's store. Answers how many.
///
/// # Errors
/// The database's.
pub async fn enqueue_all(pool: &PgPool) -> sqlx::Result<u64> {
    let mut tx = pool.begin().await?;
    let domains = sqlx::query!(
        "insert into outbox (workspace_id, kv_key, domain_id) select workspace_id, 'd:' || hostname, id from domains
         on conflict (workspace_id, kv_key) do update set version = outbox.version + 1, not_before = now()",
    )
    .execute(&mut *tx)
    .await?
    .rows_affected();
    let links = sqlx::query!(
        "insert into outbox (workspace_id, kv_key, link_id, domain_id)
         select l.workspace_id, 'l:' || d.hostname || '/' || l.slug, l.id, l.domain_id
         from links l join domains d on d.workspace_id = l.workspace_id and d.id = l.domain_id
         on conflict (workspace_id, kv_key) do update set version = outbox.version + 1, not_before = now()",
    )
    .execute(&mut *tx)
    .await?
    .rows_affected();
    wake(&mut *tx).await?;
    tx.commit().await?;
    Ok(domains + links)
}
