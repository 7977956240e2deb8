//! The state of the sweep, one row that all instances share, and the rows it walks over.

use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgExecutor, types::Json};
use uuid::Uuid;

use super::outbox::Place;
use model::time::Timestamp;

/// What a round found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Counts {
    /// Records compared.
    #[schema(example = 1204)]
    pub compared: i64,
    /// The edge held nothing.
    #[schema(example = 1)]
    pub missing: i64,
    /// The edge held an older version.
    #[schema(example = 0)]
    pub behind: i64,
    /// The edge held a newer version: the database was restored to an earlier moment.
    #[schema(example = 0)]
    pub ahead: i64,
    /// The edge held something else under the same version, or something unreadable.
    #[schema(example = 0)]
    pub different: i64,
}

/// The last row compared: whether links are at it already, workspace, id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Domains come first.
    pub links: bool,
    /// The workspace.
    pub workspace: Uuid,
    /// The domain or link.
    pub id: Uuid,
}

impl Cursor {
    /// Before everything.
    pub const START: Self = Self { links: false, workspace: Uuid::nil(), id: Uuid::nil() };
    /// Before all links.
    pub const LINKS: Self = Self { links: true, ..Self::START };
}

/// A round under way.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    /// The last row compared.
    pub cursor: Cursor,
    /// What was found so far.
    pub counts: Counts,
}

/// Leases the sweep for the next page, if it is time and nobody else has it.
///
/// # Errors
/// The database's.
pub async fn lease(db: impl PgExecutor<'_>, seconds: f64) -> sqlx::Result<Option<Round>> {
    let row = sqlx::query!(
        r#"update edge_sweep
           set leased_until = now() + make_interval(secs => $1), round_started_at = coalesce(round_started_at, now())
           where leased_until <= now() and not_before <= now()
           returning phase = 'links' as "links!", after_workspace, after_id, counts as "counts: Json<Counts>""#,
        seconds,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| {
        let cursor = Cursor {
            links: row.links,
            workspace: row.after_workspace.unwrap_or_default(),
            id: row.after_id.unwrap_or_default(),
        };
        Round { cursor, counts: row.counts.0 }
    }))
}

/// A page is done: where the next one begins, and after how many seconds.
///
/// # Errors
/// The database's.
pub async fn advance(db: impl PgExecutor<'_>, round: Round, pause: f64) -> sqlx::Result<()> {
    sqlx::query!(
        "update edge_sweep set leased_until = '-infinity', not_before = now() + make_interval(secs => $5),
           phase = case when $1 then 'links' else 'domains' end, after_workspace = $2, after_id = $3, counts = $4",
        round.cursor.links,
        round.cursor.workspace,
        round.cursor.id,
        Json(round.counts) as _,
        pause,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The round is over: the next one begins `interval` seconds after this one began, or at once where that has passed.
///
/// # Errors
/// The database's.
pub async fn finish(db: impl PgExecutor<'_>, counts: Counts, interval: f64) -> sqlx::Result<()> {
    sqlx::query!(
        "update edge_sweep set leased_until = '-infinity', phase = 'domains', after_workspace = null, after_id = null,
           counts = '{}', last_counts = $1, last_started_at = round_started_at, last_finished_at = now(),
           not_before = round_started_at + make_interval(secs => $2), round_started_at = null",
        Json(counts) as _,
        interval,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The last round that ended.
#[derive(Debug)]
#[allow(missing_docs)] // Described where it is answered.
pub struct Last {
    pub started_at: Timestamp,
    pub finished_at: Timestamp,
    pub counts: Counts,
}

/// The last round that ended, if one did.
///
/// # Errors
/// The database's.
pub async fn last(db: impl PgExecutor<'_>) -> sqlx::Result<Option<Last>> {
    let row = sqlx::query!(
        r#"select last_started_at as "started_at: Timestamp", last_finished_at as "finished_at: Timestamp",
             last_counts as "counts: Json<Counts>" from edge_sweep"#,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.and_then(|row| {
        Some(Last { started_at: row.started_at?, finished_at: row.finished_at?, counts: row.counts?.0 })
    }))
}

/// The next domains or links after a cursor, in the order of their workspace and id.
///
/// # Errors
/// The database's.
pub async fn page(db: impl PgExecutor<'_>, after: Cursor, limit: i64) -> sqlx::Result<Vec<Place>> {
    if after.links {
        sqlx::query_as!(
            Place,
            r#"select l.workspace_id, 'l:' || d.hostname || '/' || l.slug as "kv_key!", l.id as "link_id?", l.domain_id
               from links l join domains d on d.workspace_id = l.workspace_id and d.id = l.domain_id
               where (l.workspace_id, l.id) > ($1, $2) order by l.workspace_id, l.id limit $3"#,
            after.workspace,
            after.id,
            limit,
        )
        .fetch_all(db)
        .await
    } else {
        sqlx::query_as!(
            Place,
            r#"select workspace_id, 'd:' || hostname as "kv_key!", null::uuid as "link_id?", id as domain_id from domains
               where (workspace_id, id) > ($1, $2) order by workspace_id, id limit $3"#,
            after.workspace,
            after.id,
            limit,
        )
        .fetch_all(db)
        .await
    }
}

/// Of these places, the keys that wait in the outbox: what the edge holds there is known to be old.
///
/// # Errors
/// The database's.
pub async fn waiting(db: impl PgExecutor<'_>, places: &[Place]) -> sqlx::Result<Vec<String>> {
    let workspaces: Vec<Uuid> = places.iter().map(|place| place.workspace_id).collect();
    let keys: Vec<&str> = places.iter().map(|place| place.kv_key.as_str()).collect();
    sqlx::query_scalar!(
        "select o.kv_key from outbox o join unnest($1::uuid[], $2::text[]) as p (workspace_id, kv_key)
         on o.workspace_id = p.workspace_id and o.kv_key = p.kv_key",
        &workspaces,
        &keys as _,
    )
    .fetch_all(db)
    .await
}

/// Raises a record's version above one that the edge holds.
///
/// # Errors
/// The database's.
pub async fn raise(db: &mut PgConnection, place: &Place, held: i64) -> sqlx::Result<()> {
    match place.link_id {
        Some(link) => sqlx::query!(
            "update links set record_version = greatest(record_version, $3) + 1 where workspace_id = $1 and id = $2",
            place.workspace_id,
            link,
            held,
        )
        .execute(db)
        .await?,
        None => sqlx::query!(
            "update domains set record_version = greatest(record_version, $3) + 1 where workspace_id = $1 and id = $2",
            place.workspace_id,
            place.domain_id,
            held,
        )
        .execute(db)
        .await?,
    };
    Ok(())
}
