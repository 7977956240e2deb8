//! What waits for what: leads and sales for their clicks, follow-ons for their originals.

use std::collections::HashMap;

use shared::reward::SoFar;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::{conversion::Conversion, rows::conversions};
use model::time::Timestamp;

/// The conversions that wait for one of these clicks, locked in the order of their ids.
///
/// # Errors
/// The database's.
pub async fn waiting_for_clicks(
    db: impl PgExecutor<'_>,
    workspaces: &[Uuid],
    clicks: &[Uuid],
) -> sqlx::Result<Vec<Conversion>> {
    conversions!(
        "from conversions c join unnest($1::uuid[], $2::uuid[]) as k (workspace_id, click_id)
           on c.workspace_id = k.workspace_id and c.click_id = k.click_id
         where c.status = 'pending_click' order by c.workspace_id, c.id for update of c",
        workspaces,
        clicks,
    )
    .fetch_all(db)
    .await
}

/// Where a look through what waits has come to.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    recorded_at: Timestamp,
    workspace: Uuid,
    id: Uuid,
}

impl Place {
    /// Before everything.
    pub const START: Self =
        Self { recorded_at: Timestamp(chrono::DateTime::UNIX_EPOCH), workspace: Uuid::nil(), id: Uuid::nil() };

    /// Behind a stored conversion.
    #[must_use]
    pub fn behind(row: &Conversion) -> Self {
        let recorded_at = row.recorded_at.unwrap_or(Self::START.recorded_at);
        Self { recorded_at, workspace: row.workspace_id, id: row.id }
    }
}

/// Conversions that wait although what they wait for is stored or settled, or have waited too long: what concurrent
/// transactions could not see of each other, in the order of receipt. Locked; those that somebody else works on are
/// skipped.
///
/// # Errors
/// The database's.
pub async fn overlooked(
    db: impl PgExecutor<'_>,
    patience_days: i32,
    after: Place,
    limit: usize,
) -> sqlx::Result<Vec<Conversion>> {
    conversions!(
        "from conversions c
         where c.attributed_at is null and (c.recorded_at, c.workspace_id, c.id) > ($2, $3, $4) and (
             c.recorded_at < now() - make_interval(days => $1)
             or (c.status = 'pending_click'
                 and exists (select 1 from clicks k where k.workspace_id = c.workspace_id and k.click_id = c.click_id))
             or (c.status = 'pending_click' and c.tried = 'customer'
                 and not exists (select 1 from conversions t where t.workspace_id = c.workspace_id and t.click_id = c.click_id
                     and t.customer_id = c.customer_id and t.status = 'pending_click' and t.tried = 'token'))
             or (c.status = 'pending_original'
                 and exists (select 1 from conversions o where o.workspace_id = c.workspace_id and o.event_id = c.original_event_id
                     and o.type in ('lead', 'sale') and o.attributed_at is not null))
             or (c.status = 'pending_original' and c.original_event_id is null
                 and exists (select 1 from conversions o where o.workspace_id = c.workspace_id and o.order_id = c.order_id
                     and o.type in ('lead', 'sale') and o.attributed_at is not null))
         )
         order by c.recorded_at, c.workspace_id, c.id limit $5 for update of c skip locked",
        patience_days,
        after.recorded_at.0,
        after.workspace,
        after.id,
        i64::try_from(limit).unwrap_or(i64::MAX),
    )
    .fetch_all(db)
    .await
}

/// The follow-ons that wait for one of these originals, locked, in the order of receipt. Those that somebody else
/// works on are skipped: that transaction waits for the original, and then sees it settled.
///
/// # Errors
/// The database's.
pub async fn waiting_for_originals(
    db: impl PgExecutor<'_>,
    workspace: Uuid,
    events: &[&str],
    orders: &[&str],
) -> sqlx::Result<Vec<Conversion>> {
    conversions!(
        "from conversions c
         where c.workspace_id = $1 and c.status = 'pending_original'
           and (c.original_event_id = any($2) or (c.original_event_id is null and c.order_id = any($3)))
         order by c.recorded_at, c.id for update of c skip locked",
        workspace,
        events as _,
        orders as _,
    )
    .fetch_all(db)
    .await
}

/// The leads and sales of these events and orders, locked in the order of their ids: whoever reverses them, or settles
/// them, takes turns.
///
/// # Errors
/// The database's.
pub async fn hold_originals(
    db: impl PgExecutor<'_>,
    workspace: Uuid,
    events: &[&str],
    orders: &[&str],
) -> sqlx::Result<Vec<Conversion>> {
    conversions!(
        "from conversions c
         where c.workspace_id = $1 and c.type in ('lead', 'sale') and (c.event_id = any($2) or c.order_id = any($3))
         order by c.id for update of c",
        workspace,
        events as _,
        orders as _,
    )
    .fetch_all(db)
    .await
}

/// What has been reversed so far of each of these originals that has been at all: in its own currency, and of its
/// commission. The originals must be locked.
///
/// # Errors
/// The database's.
pub async fn so_far(
    db: impl PgExecutor<'_>,
    workspace: Uuid,
    originals: &[Uuid],
) -> sqlx::Result<HashMap<Uuid, SoFar>> {
    let rows = sqlx::query!(
        r#"select o.id,
           least(coalesce(sum(r.reversed_minor) filter (where r.currency = o.currency), 0), 9223372036854775807)::bigint
             as "reversed_minor!",
           coalesce(sum(r.clawback_minor), 0)::bigint as "clawback_minor!"
           from conversions o
           -- Said twice, so that both are read by index, however little the planner knows of a young table.
           join conversions r on r.workspace_id = $1 and r.original_id = any($2) and r.original_id = o.id
           where o.workspace_id = $1 and o.id = any($2) group by o.workspace_id, o.id"#,
        workspace,
        originals,
    )
    .fetch_all(db)
    .await?;
    let so_far = rows
        .into_iter()
        .map(|row| (row.id, SoFar { reversed_minor: row.reversed_minor, clawback_minor: row.clawback_minor }));
    Ok(so_far.collect())
}
