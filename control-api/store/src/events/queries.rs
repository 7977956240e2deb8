//! Storing conversions, and what their attribution is decided by.

use shared::id::WorkspaceId;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::{
    conversion::{Conversion, Snapshot},
    rows::conversions,
};
use model::time::Timestamp;

/// What attribution needs of a click, and what held at the time of the event.
#[derive(Debug, Clone)]
#[allow(missing_docs)] // Named like the columns of `clicks` and `program_reward_terms`.
pub struct Touch {
    pub click_id: Uuid,
    pub snapshot: Snapshot,
    pub token_reason: String,
    pub window_days: i32,
    pub terms: Option<Terms>,
}

/// The reward terms in force.
#[derive(Debug, Clone)]
#[allow(missing_docs)] // Named like the columns of `program_reward_terms`.
pub struct Terms {
    pub version: i32,
    pub basis: shared::reward::Basis,
    pub rate_bps: Option<i32>,
    pub amount_minor: Option<i64>,
    pub currency: Option<String>,
    pub applies_to: Vec<String>,
    pub hold_days: i32,
}

/// For each pair of a click and the time of an event: the click, the window that counts for it, and the terms
/// of its program in force then (an event that says it came just before its click counts as of the click). Pairs whose click has not arrived are `None`.
///
/// # Errors
/// The database's.
pub async fn touches(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    clicks: &[Uuid],
    occurred: &[Timestamp],
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
             where t.workspace_id = $1 and t.program_id = k.program_id
               and t.started_at <= greatest(i.occurred_at, uuid_extract_timestamp(k.click_id))
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
                snapshot: Snapshot {
                    link_id: Some(row.link_id),
                    domain: Some(row.domain),
                    slug: Some(row.slug),
                    destination: Some(row.destination),
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
                },
                token_reason: row.token_reason,
                window_days: row.window_days,
                terms: row.terms_version.zip(row.basis).map(|(version, basis)| Terms {
                    version,
                    basis,
                    rate_bps: row.rate_bps,
                    amount_minor: row.reward_amount_minor,
                    currency: row.reward_currency,
                    applies_to: row.applies_to.unwrap_or_default(),
                    hold_days: row.hold_days.unwrap_or_default(),
                }),
            });
        }
    }
    Ok(touches)
}

/// What decides about an event without a token.
#[derive(Debug, Clone, Copy)]
pub struct CustomerTouch {
    /// The click.
    pub click_id: Uuid,
    /// Whether it is known to lead to a partner; else that is still open.
    pub attributed: bool,
}

/// For each event without a token: the latest click, up to its time, that led its customer to a lead or sale received
/// before it (or with it). Touches that turned out to be nobody's don't count; those that are still open do.
///
/// # Errors
/// The database's.
pub async fn customer_touches(
    db: impl PgExecutor<'_>,
    workspace: WorkspaceId,
    events: &[&Conversion],
) -> sqlx::Result<Vec<Option<CustomerTouch>>> {
    let customers: Vec<Option<&str>> = events.iter().map(|event| event.customer_id.as_deref()).collect();
    let occurred: Vec<_> = events.iter().map(|event| event.occurred_at.0).collect();
    let recorded: Vec<_> = events.iter().map(|event| event.recorded_at.map(|at| at.0)).collect();
    let rows = sqlx::query!(
        r#"select t.click_id as "click_id?", t.attributed as "attributed?"
           from unnest($2::text[], $3::timestamptz[], $4::timestamptz[]) with ordinality
             as i (customer_id, occurred_at, recorded_at, n)
           left join lateral (
             select c.click_id, c.status = 'attributed' as attributed from conversions c
             where c.workspace_id = $1 and c.customer_id = i.customer_id and c.click_id is not null
               and (c.status = 'attributed' and c.method = 'token' or c.status = 'pending_click' and c.tried = 'token')
               and uuid_extract_timestamp(c.click_id) <= i.occurred_at
               and c.recorded_at <= coalesce(i.recorded_at, now())
             order by c.click_id desc, attributed desc limit 1
           ) t on true
           order by i.n"#,
        workspace.uuid(),
        &customers as _,
        &occurred,
        &recorded as _,
    )
    .fetch_all(db)
    .await?;
    let touch = |(click_id, attributed)| CustomerTouch { click_id, attributed };
    Ok(rows.into_iter().map(|row| row.click_id.zip(row.attributed).map(touch)).collect())
}

/// Takes turns with every other transaction that asks for one of these orders. Orders share a bounded number of locks,
/// because all transactions together have room for some thousands only.
///
/// # Errors
/// The database's.
pub async fn lock_orders(db: impl PgExecutor<'_>, source: Uuid, orders: &[&str]) -> sqlx::Result<()> {
    sqlx::query!(
        "select pg_advisory_xact_lock(h) from (
           select distinct hashtextextended($1::text || abs(hashtext(order_id) % 128), 0) h
           from unnest($2::text[]) order_id order by 1
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
        r#"select order_id as "order_id!" from conversions
           where workspace_id = $1 and order_id = any($2) and source_id = $3 and type = 'sale'
             and not ('duplicate_order' = any(flags))"#,
        workspace.uuid(),
        orders as _,
        source,
    )
    .fetch_all(db)
    .await
}

/// Rows as one text, which a statement reads at once whatever their number. As `json`, which is read as it
/// comes: nothing is made of it first.
fn as_json(rows: &[Conversion]) -> sqlx::Result<String> {
    serde_json::to_string(rows).map_err(|error| sqlx::Error::Encode(error.into()))
}

/// Stores conversions that are new, and answers their ids. Left out is one whose event id is taken, and a sale that says
/// to be its order's first and isn't. In an order that all transactions share: of two that store the same events and
/// orders, one waits for the other, and never both.
///
/// # Errors
/// The database's.
pub(super) async fn insert_new(db: impl PgExecutor<'_>, rows: &[Conversion]) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "insert into conversions (workspace_id, id, source_id, event_id, payload_hash, type, event_name, customer_id, order_id,
           original_event_id, amount_minor, currency, quantity, occurred_at, metadata, status, method, tried, reason, attributed_at,
           click_id, original_id, window_days, link_id, domain, slug, destination, assignment_id, partner_id, partner_key,
           partner_name, program_id, program_key, program_name, utm_source, utm_medium, utm_campaign, utm_term, utm_content,
           experiment, variant, country, bot_reason, terms_version, reward_basis, reward_rate_bps, reward_amount_minor,
           reward_currency, hold_until, estimated_commission_minor, reversed_minor, clawback_minor, flags)
         select workspace_id, id, source_id, event_id, payload_hash, type, event_name, customer_id, order_id,
           original_event_id, amount_minor, currency, quantity, occurred_at, metadata, status, method, tried, reason,
           case when status in ('attributed', 'unattributed') then now() end,
           click_id, original_id, window_days, link_id, domain, slug, destination, assignment_id, partner_id, partner_key,
           partner_name, program_id, program_key, program_name, utm_source, utm_medium, utm_campaign, utm_term, utm_content,
           experiment, variant, country, bot_reason, terms_version, reward_basis, reward_rate_bps, reward_amount_minor,
           reward_currency, hold_until, estimated_commission_minor, reversed_minor, clawback_minor, flags
         from json_populate_recordset(null::conversions, $1::text::json)
         order by order_id nulls first, event_id
         on conflict do nothing
         returning id",
        as_json(rows)?,
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
    // Mostly nothing has waited.
    if rows.is_empty() {
        return Ok(vec![]);
    }
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
         from json_populate_recordset(null::conversions, $1::text::json) r
         where c.workspace_id = r.workspace_id and c.id = r.id and c.status in ('pending_click', 'pending_original')
         returning c.id",
        as_json(rows)?,
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
