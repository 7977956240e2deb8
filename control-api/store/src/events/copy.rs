//! The fast way into the store: events that are all new.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::conversion::Conversion;
use crate::copy::Rows;
use model::conversion::{Method, Reason};

/// Bytes that one event takes, more or less.
const ROOM: usize = 768;

/// Stores conversions. False: one of them is stored already, or isn't its order's first sale although it says so, and the
/// transaction is good for nothing but its end.
///
/// # Errors
/// The database's.
pub(super) async fn append(db: &mut PgConnection, conversions: &[Conversion]) -> sqlx::Result<bool> {
    // Each stored and settled at the transaction's time, as by a statement's `now()`.
    let now = sqlx::query_scalar!(r#"select now() as "now!""#).fetch_one(&mut *db).await?;
    // In the order in which `insert` stores them.
    let mut sorted: Vec<&Conversion> = conversions.iter().collect();
    sorted.sort_unstable_by_key(|row| (&row.order_id, &row.event_id));
    let mut rows = Rows::with_room_for(conversions.len() * ROOM);
    sorted.iter().for_each(|conversion| row(&mut rows, conversion, now));
    let copy = "copy conversions (workspace_id, id, source_id, event_id, payload_hash, type, event_name, customer_id, order_id,
            original_event_id, amount_minor, currency, quantity, occurred_at, metadata, status, method, tried, reason,
            attributed_at, click_id, original_id, window_days, link_id, domain, slug, destination, assignment_id, partner_id,
            partner_key, partner_name, program_id, program_key, program_name, utm_source, utm_medium, utm_campaign,
            utm_term, utm_content, experiment, variant, country, bot_reason, terms_version, reward_basis, reward_rate_bps,
            reward_amount_minor, reward_currency, hold_until, estimated_commission_minor, reversed_minor, clawback_minor,
            flags)
        from stdin (format binary)";
    rows.write(db, copy).await
}

fn row(rows: &mut Rows, conversion: &Conversion, now: DateTime<Utc>) {
    let (c, s) = (conversion, &conversion.snapshot);
    rows.columns(53);
    rows.id(Some(c.workspace_id));
    rows.id(Some(c.id));
    rows.id(Some(c.source_id));
    rows.text(&c.event_id);
    rows.bytes(&c.payload_hash);
    rows.text(c.r#type.as_str());
    rows.some(c.event_name.as_deref());
    rows.some(c.customer_id.as_deref());
    rows.some(c.order_id.as_deref());
    rows.some(c.original_event_id.as_deref());
    rows.long(c.amount_minor);
    rows.some(c.currency.as_deref());
    rows.int(c.quantity);
    rows.time(Some(c.occurred_at.0));
    rows.json(&c.metadata);
    rows.text(c.status.as_str());
    rows.some(c.method.map(Method::as_str));
    rows.some(c.tried.map(Method::as_str));
    rows.some(c.reason.map(Reason::as_str));
    rows.time(c.status.is_final().then_some(now));
    rows.id(c.click_id);
    rows.id(c.original_id);
    rows.int(c.window_days);
    rows.id(s.link_id);
    rows.some(s.domain.as_deref());
    rows.some(s.slug.as_deref());
    rows.some(s.destination.as_deref());
    rows.id(s.assignment_id);
    rows.id(s.partner_id);
    rows.some(s.partner_key.as_deref());
    rows.some(s.partner_name.as_deref());
    rows.id(s.program_id);
    rows.some(s.program_key.as_deref());
    rows.some(s.program_name.as_deref());
    rows.some(s.utm_source.as_deref());
    rows.some(s.utm_medium.as_deref());
    rows.some(s.utm_campaign.as_deref());
    rows.some(s.utm_term.as_deref());
    rows.some(s.utm_content.as_deref());
    rows.some(s.experiment.as_deref());
    rows.some(s.variant.as_deref());
    rows.some(s.country.as_deref());
    rows.some(s.bot_reason.as_deref());
    rows.int(c.terms_version);
    rows.some(c.reward_basis.map(shared::reward::Basis::as_str));
    rows.int(c.reward_rate_bps);
    rows.long(c.reward_amount_minor);
    rows.some(c.reward_currency.as_deref());
    rows.time(c.hold_until.map(|at| at.0));
    rows.long(c.estimated_commission_minor);
    rows.long(c.reversed_minor);
    rows.long(c.clawback_minor);
    rows.texts(&c.flags);
}
