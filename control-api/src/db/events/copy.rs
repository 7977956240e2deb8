//! The fast way into the store: a batch that holds nothing but new events.

use shared::reward::Basis;
use sqlx::PgConnection;

use super::{Conversion, Method, Reason};
use crate::{db::copy::Rows, time::At};

/// Bytes that a conversion takes, more or less.
const ROOM: usize = 768;

/// Stores conversions, in the order of their event ids, so that batches that overlap wait for each other in one order. `now`
/// is the time of the transaction. False: one of them is stored already, and the transaction is good for nothing but its end.
///
/// # Errors
/// The database's.
pub async fn append(db: &mut PgConnection, conversions: &[Conversion], now: At) -> sqlx::Result<bool> {
    let mut sorted: Vec<&Conversion> = conversions.iter().collect();
    sorted.sort_unstable_by(|a, b| a.event_id.cmp(&b.event_id));
    let mut rows = Rows::with_room_for(sorted.len() * ROOM);
    sorted.into_iter().for_each(|one| row(&mut rows, one, now));
    let copy = "copy conversions (workspace_id, id, source_id, event_id, payload_hash, type, event_name, customer_id, order_id,
            original_event_id, amount_minor, currency, quantity, occurred_at, metadata, status, method, tried, reason, attributed_at,
            click_id, original_id, window_days, link_id, domain, slug, destination, assignment_id, partner_id, partner_key,
            partner_name, program_id, program_key, program_name, utm_source, utm_medium, utm_campaign, utm_term, utm_content,
            experiment, variant, country, bot_reason, terms_version, reward_basis, reward_rate_bps, reward_amount_minor,
            reward_currency, hold_until, estimated_commission_minor, reversed_minor, clawback_minor, flags)
        from stdin (format binary)";
    rows.write(db, copy).await
}

fn row(rows: &mut Rows, one: &Conversion, now: At) {
    rows.columns(53);
    rows.id(Some(one.workspace_id));
    rows.id(Some(one.id));
    rows.id(Some(one.source_id));
    rows.text(&one.event_id);
    rows.bytes(&one.payload_hash);
    rows.text(one.r#type.as_str());
    rows.some(one.event_name.as_deref());
    rows.some(one.customer_id.as_deref());
    rows.some(one.order_id.as_deref());
    rows.some(one.original_event_id.as_deref());
    rows.long(one.amount_minor);
    rows.some(one.currency.as_deref());
    rows.int(one.quantity);
    rows.time(Some(one.occurred_at));
    rows.json(&one.metadata);
    rows.text(one.status.as_str());
    rows.some(one.method.map(Method::as_str));
    rows.some(one.tried.map(Method::as_str));
    rows.some(one.reason.map(Reason::as_str));
    rows.time(Some(now).filter(|_| one.status.is_final()));
    rows.id(one.click_id);
    rows.id(one.original_id);
    rows.int(one.window_days);
    rows.id(one.link_id);
    rows.some(one.domain.as_deref());
    rows.some(one.slug.as_deref());
    rows.some(one.destination.as_deref());
    rows.id(one.assignment_id);
    rows.id(one.partner_id);
    rows.some(one.partner_key.as_deref());
    rows.some(one.partner_name.as_deref());
    rows.id(one.program_id);
    rows.some(one.program_key.as_deref());
    rows.some(one.program_name.as_deref());
    rows.some(one.utm_source.as_deref());
    rows.some(one.utm_medium.as_deref());
    rows.some(one.utm_campaign.as_deref());
    rows.some(one.utm_term.as_deref());
    rows.some(one.utm_content.as_deref());
    rows.some(one.experiment.as_deref());
    rows.some(one.variant.as_deref());
    rows.some(one.country.as_deref());
    rows.some(one.bot_reason.as_deref());
    rows.int(one.terms_version);
    rows.some(one.reward_basis.map(Basis::as_str));
    rows.int(one.reward_rate_bps);
    rows.long(one.reward_amount_minor);
    rows.some(one.reward_currency.as_deref());
    rows.time(one.hold_until);
    rows.long(one.estimated_commission_minor);
    rows.long(one.reversed_minor);
    rows.long(one.clawback_minor);
    rows.texts(&one.flags);
}
