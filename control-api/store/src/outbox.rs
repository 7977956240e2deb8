//! The replication outbox: what the edge must still be told. One coalesced row per key of the edge store,
//! written in the transaction of the change.

mod fan_out;

use std::time::Duration;

use shared::{
    id::{DomainId, WorkspaceId},
    record::link_key,
};
use sqlx::{PgConnection, PgExecutor, PgPool, postgres::PgListener};
use uuid::Uuid;

pub use fan_out::{Many, fan_out_step, touch_many};

use super::links::Link;
use model::time::Timestamp;

/// Wakes the replicators of all instances.
const CHANNEL: &str = "nim_outbox";

/// Links were made or changed: raises their records' versions and enqueues them. `ids` are links of the workspace.
///
/// # Errors
/// The database's.
pub async fn touch_links(db: &mut PgConnection, workspace: WorkspaceId, ids: &[Uuid]) -> sqlx::Result<()> {
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
         set version = outbox.version + 1, enqueued_at = now(), attempts = 0",
        workspace.uuid(),
        ids,
    )
    .execute(&mut *db)
    .await?;
    wake(db).await
}

/// Links were made just now: their records have no version before. From what the caller holds, without reading it back.
///
/// # Errors
/// The database's.
pub async fn enqueue_new_links(db: &mut PgConnection, workspace: WorkspaceId, links: &[&Link]) -> sqlx::Result<()> {
    if links.is_empty() {
        return Ok(());
    }
    let keys: Vec<String> = links.iter().map(|link| link_key(&link.domain, &link.slug)).collect();
    let ids: Vec<Uuid> = links.iter().map(|link| link.id.uuid()).collect();
    let domains: Vec<Uuid> = links.iter().map(|link| link.domain_id.uuid()).collect();
    sqlx::query!(
        "insert into outbox (workspace_id, kv_key, link_id, domain_id)
         select $1, r.* from unnest($2::text[], $3::uuid[], $4::uuid[]) as r (kv_key, link_id, domain_id) order by r.kv_key
         on conflict (workspace_id, kv_key) do update
         set link_id = excluded.link_id, version = outbox.version + 1, enqueued_at = now(), attempts = 0",
        workspace.uuid(),
        &keys,
        &ids,
        &domains,
    )
    .execute(&mut *db)
    .await?;
    wake(db).await
}

async fn wake(db: impl PgExecutor<'_>) -> sqlx::Result<()> {
    sqlx::query!("select pg_notify($1, '')", CHANNEL).fetch_one(db).await?;
    Ok(())
}

/// A domain was made or changed: its own record.
///
/// # Errors
/// The database's.
pub async fn touch_domain(db: &mut PgConnection, workspace: WorkspaceId, domain: DomainId) -> sqlx::Result<()> {
    sqlx::query!(
        "with touched as (
           update domains set record_version = record_version + 1 where workspace_id = $1 and id = $2 returning id, hostname
         )
         insert into outbox (workspace_id, kv_key, domain_id) select $1, 'd:' || hostname, id from touched
         on conflict (workspace_id, kv_key) do update
         set version = outbox.version + 1, enqueued_at = now(), attempts = 0",
        workspace.uuid(),
        domain.uuid(),
    )
    .execute(&mut *db)
    .await?;
    wake(db).await
}

/// What stands under one key of the edge's store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The workspace.
    pub workspace_id: Uuid,
    /// The key.
    pub kv_key: String,
    /// The link, or `None` for the domain's own record.
    pub link_id: Option<Uuid>,
    /// The domain.
    pub domain_id: Uuid,
}

/// A row that this instance has leased.
#[derive(Debug)]
pub struct Leased {
    /// What to publish.
    pub place: Place,
    /// What was leased; a change meanwhile raises it.
    pub version: i64,
    /// How often it was tried, this time included.
    pub attempts: i32,
}

/// Leases due rows for `seconds`, the oldest first. Nobody else gets them meanwhile, so that a key is
/// published by one instance at a time.
///
/// # Errors
/// The database's.
pub async fn lease(db: impl PgExecutor<'_>, limit: i64, seconds: f64) -> sqlx::Result<Vec<Leased>> {
    let rows = sqlx::query!(
        "update outbox o set not_before = now() + make_interval(secs => $2), attempts = attempts + 1
         where (workspace_id, kv_key) in (
           select workspace_id, kv_key from outbox where not_before <= now() order by enqueued_at limit $1 for update skip locked
         )
         returning workspace_id, kv_key, link_id, domain_id, version, attempts",
        limit,
        seconds,
    )
    .fetch_all(db)
    .await?;
    let leased = rows.into_iter().map(|row| Leased {
        place: Place {
            workspace_id: row.workspace_id,
            kv_key: row.kv_key,
            link_id: row.link_id,
            domain_id: row.domain_id,
        },
        version: row.version,
        attempts: row.attempts,
    });
    Ok(leased.collect())
}

/// Published: clears what is still as it was leased; what has changed meanwhile is due again at once.
///
/// # Errors
/// The database's.
pub async fn published(pool: &PgPool, leased: &[&Leased]) -> sqlx::Result<()> {
    let workspaces: Vec<Uuid> = leased.iter().map(|row| row.place.workspace_id).collect();
    let keys: Vec<&str> = leased.iter().map(|row| row.place.kv_key.as_str()).collect();
    let versions: Vec<i64> = leased.iter().map(|row| row.version).collect();
    let mut tx = pool.begin().await?;
    sqlx::query!(
        "delete from outbox o using unnest($1::uuid[], $2::text[], $3::bigint[]) as p (workspace_id, kv_key, version)
         where o.workspace_id = p.workspace_id and o.kv_key = p.kv_key and o.version = p.version",
        &workspaces,
        &keys as _,
        &versions,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "update outbox o set not_before = now(), attempts = 0
         from unnest($1::uuid[], $2::text[]) as p (workspace_id, kv_key)
         where o.workspace_id = p.workspace_id and o.kv_key = p.kv_key",
        &workspaces,
        &keys as _,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

/// Not published, or not certainly: due again after `seconds`.
///
/// # Errors
/// The database's.
pub async fn failed(db: impl PgExecutor<'_>, leased: &[&Leased], seconds: f64, error: &str) -> sqlx::Result<()> {
    let workspaces: Vec<Uuid> = leased.iter().map(|row| row.place.workspace_id).collect();
    let keys: Vec<&str> = leased.iter().map(|row| row.place.kv_key.as_str()).collect();
    sqlx::query!(
        "update outbox o set not_before = now() + make_interval(secs => $3), last_error = $4
         from unnest($1::uuid[], $2::text[]) as p (workspace_id, kv_key)
         where o.workspace_id = p.workspace_id and o.kv_key = p.kv_key",
        &workspaces,
        &keys as _,
        seconds,
        error,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Enqueues records as they are.
///
/// # Errors
/// The database's.
pub async fn enqueue(db: &mut PgConnection, places: &[&Place]) -> sqlx::Result<()> {
    let workspaces: Vec<Uuid> = places.iter().map(|place| place.workspace_id).collect();
    let keys: Vec<&str> = places.iter().map(|place| place.kv_key.as_str()).collect();
    let links: Vec<Option<Uuid>> = places.iter().map(|place| place.link_id).collect();
    let domains: Vec<Uuid> = places.iter().map(|place| place.domain_id).collect();
    sqlx::query!(
        "insert into outbox (workspace_id, kv_key, link_id, domain_id)
         select * from unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[]) order by 1, 2
         on conflict (workspace_id, kv_key) do update
         set version = outbox.version + 1, enqueued_at = now(), attempts = 0",
        &workspaces,
        &keys as _,
        &links as _,
        &domains,
    )
    .execute(&mut *db)
    .await?;
    wake(db).await
}

/// Raises every record above all that the edge may hold and enqueues it, some thousand in a transaction. Who has leased a
/// key keeps it until the lease is over, so that no two publish it at once. Versions grow by
/// one per change, so the time in milliseconds is above any that a lost day can have made. Answers how many records.
///
/// # Errors
/// The database's.
pub async fn raise_and_enqueue_all(pool: &PgPool) -> sqlx::Result<i64> {
    const STEP: i64 = 2_000;
    let mut count = 0;
    let mut after = (Uuid::nil(), Uuid::nil());
    loop {
        let step = sqlx::query!(
            r#"with page as (
                 select workspace_id, id, hostname from domains where (workspace_id, id) > ($1, $2)
                 order by workspace_id, id limit $3 for update
               ), raised as (
                 update domains d
                 set record_version = greatest(d.record_version + 1, (extract(epoch from clock_timestamp()) * 1000)::bigint)
                 from page where d.workspace_id = page.workspace_id and d.id = page.id
               ), queued as (
                 insert into outbox (workspace_id, kv_key, domain_id)
                 select workspace_id, 'd:' || hostname, id from page order by 1, 2
                 on conflict (workspace_id, kv_key) do update set version = outbox.version + 1
               )
               select workspace_id, id, count(*) over () as "count!" from page order by workspace_id desc, id desc limit 1"#,
            after.0,
            after.1,
            STEP,
        )
        .fetch_optional(pool)
        .await?;
        let Some(step) = step else { break };
        count += step.count;
        after = (step.workspace_id, step.id);
    }
    after = (Uuid::nil(), Uuid::nil());
    loop {
        let step = sqlx::query!(
            r#"with page as (
                 select l.workspace_id, l.id, l.domain_id, 'l:' || d.hostname || '/' || l.slug as kv_key
                 from links l join domains d on d.workspace_id = l.workspace_id and d.id = l.domain_id
                 where (l.workspace_id, l.id) > ($1, $2) order by l.workspace_id, l.id limit $3 for update of l
               ), raised as (
                 update links l
                 set record_version = greatest(l.record_version + 1, (extract(epoch from clock_timestamp()) * 1000)::bigint)
                 from page where l.workspace_id = page.workspace_id and l.id = page.id
               ), queued as (
                 insert into outbox (workspace_id, kv_key, link_id, domain_id)
                 select workspace_id, kv_key, id, domain_id from page order by 1, 2
                 on conflict (workspace_id, kv_key) do update set version = outbox.version + 1
               )
               select workspace_id, id, count(*) over () as "count!" from page order by workspace_id desc, id desc limit 1"#,
            after.0,
            after.1,
            STEP,
        )
        .fetch_optional(pool)
        .await?;
        let Some(step) = step else { break };
        count += step.count;
        after = (step.workspace_id, step.id);
    }
    wake(pool).await?;
    Ok(count)
}

/// How far the edge is behind: the keys that wait, and since when the oldest of them does.
///
/// # Errors
/// The database's.
pub async fn backlog(db: impl PgExecutor<'_>) -> sqlx::Result<(i64, Option<Timestamp>)> {
    let row = sqlx::query!(r#"select count(*) as "queued!", min(enqueued_at) as "oldest: Timestamp" from outbox"#)
        .fetch_one(db)
        .await?;
    Ok((row.queued, row.oldest))
}

/// Takes the next turn at an API that takes only so many requests, and answers how long to wait for it. Instances share
/// the turns.
///
/// # Errors
/// The database's.
pub async fn api_turn(db: impl PgExecutor<'_>, spacing: Duration) -> sqlx::Result<Duration> {
    let seconds = sqlx::query_scalar!(
        r#"update edge_api set next_at = greatest(next_at, clock_timestamp()) + make_interval(secs => $1)
           returning extract(epoch from next_at - clock_timestamp())::float8 - $1 as "wait!""#,
        spacing.as_secs_f64(),
    )
    .fetch_one(db)
    .await?;
    Ok(Duration::from_secs_f64(seconds.max(0.0)))
}

/// Nobody asks that API for a while.
///
/// # Errors
/// The database's.
pub async fn api_rest(db: impl PgExecutor<'_>, pause: Duration) -> sqlx::Result<()> {
    sqlx::query!(
        "update edge_api set next_at = greatest(next_at, clock_timestamp() + make_interval(secs => $1))",
        pause.as_secs_f64(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Notices of new work in the outbox.
pub struct Notices(PgListener);

impl Notices {
    /// Listens on a connection of its own.
    ///
    /// # Errors
    /// The database's.
    pub async fn listen(pool: &PgPool) -> sqlx::Result<Self> {
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen(CHANNEL).await?;
        Ok(Self(listener))
    }

    /// Waits for the next notice.
    ///
    /// # Errors
    /// The database's.
    pub async fn next(&mut self) -> sqlx::Result<()> {
        self.0.recv().await.map(|_| ())
    }
}
