//! The statements of attribution.

use shared::id::WorkspaceId;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::{Conversion, EventType, Method, Reason, Status};
use crate::time::At;

/// One query of whole conversions: the columns are named once, here.
macro_rules! conversions {
    ($tail:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Conversion,
            r#"select c.workspace_id, c.id, c.source_id, c.event_id, c.payload_hash, c.type as "type: EventType", c.event_name,
               c.customer_id, c.order_id, c.original_event_id, c.amount_minor, c.currency, c.quantity,
               c.occurred_at as "occurred_at: At", c.metadata, c.recorded_at as "recorded_at?: At", c.status as "status: Status",
               c.method as "method: Method", c.reason as "reason: Reason", c.attributed_at as "attributed_at: At", c.click_id,
               c.original_id, c.window_days, c.link_id, c.domain, c.slug, c.destination, c.assignment_id, c.partner_id,
               c.partner_key, c.partner_name, c.program_id, c.program_key, c.program_name, c.utm_source, c.utm_medium,
               c.utm_campaign, c.utm_term, c.utm_content, c.experiment, c.variant, c.country, c.bot_reason, c.terms_version,
               c.reward_basis as "reward_basis: shared::reward::Basis", c.reward_rate_bps, c.reward_amount_minor,
               c.reward_currency, c.hold_until as "hold_until: At", c.estimated_commission_minor, c.reversed_minor,
               c.clawback_minor, c.flags "# + $tail
            $(, $argument)*
        )
    };
}

/// What attribution needs of a click, and what held at the time of the event.
#[derive(Debug, Clone)]
#[allow(missing_docs)] // Named like the columns of `clicks` and `program_reward_terms`.
pub struct Touch {
    pub click_id: Uuid,
    pub link_id: Uuid,
    pub domain: String,
    pub slug: String,
    pub destination: String,
    pub assignment_id: Option<Uuid>,
    pub partner_id: Option<Uuid>,
    pub partner_key: Option<String>,
    pub partner_name: Option<String>,
    pub program_id: Option<Uuid>,
    pub program_key: Option<String>,
    pub program_name: Option<String>,
    pub utm_source: Option<String>,
    pub utm_medium: Option<String>,
    pub utm_campaign: Option<String>,
    pub utm_term: Option<String>,
    pub utm_content: Option<String>,
    pub experiment: Option<String>,
    pub variant: Option<String>,
    pub country: Option<String>,
    pub bot_reason: Option<String>,
    pub token_reason: String,
    pub window_days: i32,
    pub terms_version: Option<i32>,
    pub basis: Option<shared::reward::Basis>,
    pub rate_bps: Option<i32>,
    pub reward_amount_minor: Option<i64>,
    pub reward_currency: Option<String>,
    pub applies_to: Option<Vec<String>>,
    pub hold_days: Option<i32>,
}

/// For each pair of a click and the time of an event: the click, the window that counts for it, and the terms
/// of its program in force then. Pairs whose click has not arrived are `None`.
///
/// # Errors
/// The database's.
pub async fn touches(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    clicks: &[Uuid],
    occurred: &[At],
) -> sqlx::Result<Vec<Option<Touch>>> {
    let times: Vec<_> = occurred.iter().map(|at| at.0).collect();
    let rows = sqlx::query!(
        r#"select i.n as "n!", k.click_id, k.link_id, k.domain, k.slug, k.destination, k.assignment_id, k.partner_id,
           k.partner_key, k.partner_name, k.program_id, k.program_key, k.program_name, k.utm_source, k.utm_medium,
           k.utm_campaign, k.utm_term, k.utm_content, k.experiment, k.variant, k.country, k.bot_reason, k.token_reason,
           coalesce(p.attribution_window_days, w.attribution_window_days) as "window_days!", t.version as "terms_version?",
           t.basis as "basis?: shared::reward::Basis", t.rate_bps as "rate_bps?", t.amount_minor as "reward_amount_minor?",
           t.currency as "reward_currency?", t.applies_to as "applies_to?", t.hold_days as "hold_days?"
           from unnest($2::uuid[], $3::timestamptz[]) with ordinality as i (click_id, occurred_at, n)
           join clicks k on k.workspace_id = $1 and k.click_id = i.click_id
           join workspaces w on w.id = $1
           left join programs p on p.workspace_id = $1 and p.id = k.program_id
           left join lateral (
             select * from program_reward_terms t
             where t.workspace_id = $1 and t.program_id = k.program_id and t.started_at <= i.occurred_at
             order by t.version desc limit 1
           ) t on true"#,
        workspace.uuid(),
        clicks,
        &times,
    )
    .fetch_all(db)
    .await?;
    let mut touches: Vec<Option<Touch>> = vec![None; clicks.len()];
    for row in rows {
        let slot = usize::try_from(row.n - 1).ok().and_then(|n| touches.get_mut(n));
        if let Some(slot) = slot {
            *slot = Some(Touch {
                click_id: row.click_id,
                link_id: row.link_id,
                domain: row.domain,
                slug: row.slug,
                destination: row.destination,
                assignment_id: row.assignment_id,
                partner_id: row.partner_id,
                partner_key: row.partner_key,
                partner_name: row.partner_name,
                program_id: row.program_id,
                program_key: row.program_key,
                program_name: row.program_name,
                utm_source: row.utm_source,
                utm_medium: row.utm_medium,
                utm_campaign: row.utm_campaign,
                utm_term: row.utm_term,
                utm_content: row.utm_content,
                experiment: row.experiment,
                variant: row.variant,
                country: row.country,
                bot_reason: row.bot_reason,
                token_reason: row.token_reason,
                window_days: row.window_days,
                terms_version: row.terms_version,
                basis: row.basis,
                rate_bps: row.rate_bps,
                reward_amount_minor: row.reward_amount_minor,
                reward_currency: row.reward_currency,
                applies_to: row.applies_to,
                hold_days: row.hold_days,
            });
        }
    }
    Ok(touches)
}

/// For each pair of a customer and the time of an event: the latest click, up to then, of an attributed
/// conversion of that customer.
///
/// # Errors
/// The database's.
pub async fn customer_clicks(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    customers: &[&str],
    occurred: &[At],
) -> sqlx::Result<Vec<Option<Uuid>>> {
    let times: Vec<_> = occurred.iter().map(|at| at.0).collect();
    sqlx::query_scalar!(
        r#"select (
             select c.click_id from conversions c
             where c.workspace_id = $1 and c.customer_id = i.customer_id and c.status = 'attributed' and c.click_id is not null
               and uuid_extract_timestamp(c.click_id) <= i.occurred_at
             order by c.click_id desc limit 1
           )
           from unnest($2::text[], $3::timestamptz[]) with ordinality as i (customer_id, occurred_at, n) order by i.n"#,
        workspace.uuid(),
        customers as _,
        &times,
    )
    .fetch_all(db)
    .await
}

/// Takes turns with every other transaction that stores a sale of one of these orders, so that the second of
/// two sees the first.
///
/// # Errors
/// The database's.
pub async fn lock_orders(db: impl PgExecutor<'_>, source: Uuid, orders: &[&str]) -> sqlx::Result<()> {
    sqlx::query!(
        "select pg_advisory_xact_lock(h) from (
           select distinct hashtextextended($1::text || order_id, 0) h from unnest($2::text[]) order_id order by 1
         ) orders",
        source.to_string(),
        orders as _,
    )
    .fetch_all(db)
    .await?;
    Ok(())
}

/// Of these orders, those for which the source has a sale stored already.
///
/// # Errors
/// The database's.
pub async fn sold_orders(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    source: Uuid,
    orders: &[&str],
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"select distinct order_id as "order_id!" from conversions
           where workspace_id = $1 and order_id = any($2) and source_id = $3 and type = 'sale'"#,
        workspace.uuid(),
        orders as _,
        source,
    )
    .fetch_all(db)
    .await
}

/// Stores conversions that are new, and answers their ids. One whose event id is taken is left out.
///
/// # Errors
/// The database's.
pub async fn insert(db: impl PgExecutor<'_>, rows: &[Conversion]) -> sqlx::Result<Vec<Uuid>> {
    let rows = serde_json::to_value(rows).map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query_scalar!(
        "insert into conversions (workspace_id, id, source_id, event_id, payload_hash, type, event_name, customer_id, order_id,
           original_event_id, amount_minor, currency, quantity, occurred_at, metadata, status, method, reason, attributed_at,
           click_id, original_id, window_days, link_id, domain, slug, destination, assignment_id, partner_id, partner_key,
           partner_name, program_id, program_key, program_name, utm_source, utm_medium, utm_campaign, utm_term, utm_content,
           experiment, variant, country, bot_reason, terms_version, reward_basis, reward_rate_bps, reward_amount_minor,
           reward_currency, hold_until, estimated_commission_minor, reversed_minor, clawback_minor, flags)
         select workspace_id, id, source_id, event_id, payload_hash, type, event_name, customer_id, order_id,
           original_event_id, amount_minor, currency, quantity, occurred_at, metadata, status, method, reason,
           case when status in ('attributed', 'unattributed') then now() end,
           click_id, original_id, window_days, link_id, domain, slug, destination, assignment_id, partner_id, partner_key,
           partner_name, program_id, program_key, program_name, utm_source, utm_medium, utm_campaign, utm_term, utm_content,
           experiment, variant, country, bot_reason, terms_version, reward_basis, reward_rate_bps, reward_amount_minor,
           reward_currency, hold_until, estimated_commission_minor, reversed_minor, clawback_minor, flags
         from jsonb_populate_recordset(null::conversions, $1)
         order by event_id
         on conflict (workspace_id, source_id, event_id) do nothing
         returning id",
        rows,
    )
    .fetch_all(db)
    .await
}

/// Writes what attribution found about conversions that were pending; one that another transaction has
/// settled meanwhile is left alone. Answers the ids written.
///
/// # Errors
/// The database's.
pub async fn settle(db: impl PgExecutor<'_>, rows: &[Conversion]) -> sqlx::Result<Vec<Uuid>> {
    let rows = serde_json::to_value(rows).map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query_scalar!(
        "update conversions c set
           currency = r.currency, status = r.status, method = r.method, reason = r.reason,
           attributed_at = case when r.status in ('attributed', 'unattributed') then now() end,
           click_id = r.click_id, original_id = r.original_id, window_days = r.window_days, link_id = r.link_id,
           domain = r.domain, slug = r.slug, destination = r.destination, assignment_id = r.assignment_id,
           partner_id = r.partner_id, partner_key = r.partner_key, partner_name = r.partner_name,
           program_id = r.program_id, program_key = r.program_key, program_name = r.program_name,
           utm_source = r.utm_source, utm_medium = r.utm_medium, utm_campaign = r.utm_campaign, utm_term = r.utm_term,
           utm_content = r.utm_content, experiment = r.experiment, variant = r.variant, country = r.country,
           bot_reason = r.bot_reason, terms_version = r.terms_version, reward_basis = r.reward_basis,
           reward_rate_bps = r.reward_rate_bps, reward_amount_minor = r.reward_amount_minor,
           reward_currency = r.reward_currency, hold_until = r.hold_until,
           estimated_commission_minor = r.estimated_commission_minor, reversed_minor = r.reversed_minor,
           clawback_minor = r.clawback_minor, flags = r.flags
         from jsonb_populate_recordset(null::conversions, $1) r
         where c.workspace_id = r.workspace_id and c.id = r.id and c.status in ('pending_click', 'pending_original')
         returning c.id",
        rows,
    )
    .fetch_all(db)
    .await
}

/// The conversions a source has stored under these event ids.
///
/// # Errors
/// The database's.
pub async fn by_event(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    source: Uuid,
    events: &[&str],
) -> sqlx::Result<Vec<Conversion>> {
    conversions!(
        "from conversions c where c.workspace_id = $1 and c.source_id = $2 and c.event_id = any($3)",
        workspace.uuid(),
        source,
        events as _,
    )
    .fetch_all(db)
    .await
}

/// One conversion, locked until the transaction ends.
///
/// # Errors
/// The database's.
pub async fn lock(db: impl PgExecutor<'_>, workspace: Uuid, id: Uuid) -> sqlx::Result<Option<Conversion>> {
    conversions!("from conversions c where c.workspace_id = $1 and c.id = $2 for update of c", workspace, id)
        .fetch_optional(db)
        .await
}

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

/// Conversions that wait although what they wait for is stored, or have waited too long: what concurrent
/// transactions could not see of each other. Locked; those that somebody else works on are skipped.
///
/// # Errors
/// The database's.
pub async fn overlooked(db: impl PgExecutor<'_>, patience_days: i32, limit: i64) -> sqlx::Result<Vec<Conversion>> {
    conversions!(
        "from conversions c
         where c.attributed_at is null and (
             c.recorded_at < now() - make_interval(days => $1)
             or (c.status = 'pending_click'
                 and exists (select 1 from clicks k where k.workspace_id = c.workspace_id and k.click_id = c.click_id))
             or (c.status = 'pending_original'
                 and exists (select 1 from conversions o where o.workspace_id = c.workspace_id and o.event_id = c.original_event_id
                     and o.type in ('lead', 'sale') and o.attributed_at is not null))
             or (c.status = 'pending_original' and c.original_event_id is null
                 and exists (select 1 from conversions o where o.workspace_id = c.workspace_id and o.order_id = c.order_id
                     and o.type in ('lead', 'sale') and o.attributed_at is not null))
         )
         order by c.workspace_id, c.id limit $2 for update of c skip locked",
        patience_days,
        limit,
    )
    .fetch_all(db)
    .await
}

/// The follow-ons that wait for one of these originals, locked. Those that somebody else works on are
/// skipped: that transaction waits for the original, and then sees it settled.
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
         order by c.id for update of c skip locked",
        workspace,
        events as _,
        orders as _,
    )
    .fetch_all(db)
    .await
}

/// What a follow-on may reverse, the best first: by the event it names, else by its order; its own source
/// before others, and for orders sales before leads.
///
/// # Errors
/// The database's.
pub async fn originals(db: impl PgExecutor<'_>, follow_on: &Conversion) -> sqlx::Result<Vec<Conversion>> {
    conversions!(
        "from conversions c
         where c.workspace_id = $1 and c.type in ('lead', 'sale') and c.id <> $2
           and case when $3::text is not null then c.event_id = $3 else c.order_id = $4 end
         order by c.source_id <> $5, case when $3::text is null then c.type = 'lead' else false end, c.id",
        follow_on.workspace_id,
        follow_on.id,
        follow_on.original_event_id,
        follow_on.order_id,
        follow_on.source_id,
    )
    .fetch_all(db)
    .await
}

/// What has been reversed of an original so far in a currency, and taken back of its commission.
#[derive(Debug, Clone, Copy, Default)]
pub struct SoFar {
    /// Minor units.
    pub reversed_minor: i64,
    /// Minor units.
    pub clawback_minor: i64,
    /// Follow-ons that count.
    pub count: i64,
}

/// What has been reversed of an original so far. The original must be locked.
///
/// # Errors
/// The database's.
pub async fn so_far(db: impl PgExecutor<'_>, original: &Conversion) -> sqlx::Result<SoFar> {
    sqlx::query_as!(
        SoFar,
        r#"select least(coalesce(sum(reversed_minor), 0), 9223372036854775807)::bigint as "reversed_minor!",
           coalesce(sum(clawback_minor), 0)::bigint as "clawback_minor!", count(*) as "count!"
           from conversions where workspace_id = $1 and original_id = $2 and currency is not distinct from $3"#,
        original.workspace_id,
        original.id,
        original.currency,
    )
    .fetch_one(db)
    .await
}
