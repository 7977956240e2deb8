//! The conversions export: one row per partner-attributed conversion.

use shared::{id::ClickId, reward::Basis};

use super::{Table, decimal, scaled};
use crate::conversions::{review_reasons, review_status, signed_amount};
use model::time::Timestamp;
use store::conversions::Row;

/// The columns, in their order. Outside tools rely on both.
pub const COLUMNS: [&str; 46] = [
    "entry_id",
    "event_id",
    "type",
    "event_name",
    "occurred_at",
    "received_at",
    "partner_id",
    "partner_key",
    "partner_name",
    "partner_external_id",
    "partner_relationship",
    "program_id",
    "program_key",
    "program_name",
    "link_id",
    "short_url",
    "destination",
    "click_id",
    "clicked_at",
    "attribution_method",
    "order_id",
    "original_event_id",
    "reverses_entry_id",
    "customer_id",
    "quantity",
    "currency",
    "amount_minor",
    "amount",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
    "experiment_key",
    "variant_key",
    "country",
    "bot",
    "review_status",
    "review_reasons",
    "reward_terms_version",
    "reward_basis",
    "reward_rate",
    "reward_currency",
    "hold_until",
    "estimated_commission_minor",
    "clawback_minor",
];

/// Adds a row.
///
/// # Errors
/// Never, as long as it is as wide as [`COLUMNS`].
pub fn push(table: &mut Table, row: &Row) -> anyhow::Result<()> {
    table.word(Some(row.id))?;
    table.text(Some(&row.event_id))?;
    table.word(Some(row.kind))?;
    table.text(row.event_name.as_deref())?;
    table.word(Some(row.occurred_at))?;
    table.word(Some(row.recorded_at))?;
    table.word(row.partner_id)?;
    table.text(row.partner_key.as_deref())?;
    table.text(row.partner_name.as_deref())?;
    table.text(row.partner_external_id.as_deref())?;
    table.text(row.partner_relationship.as_deref())?;
    table.word(row.program_id)?;
    table.text(row.program_key.as_deref())?;
    table.text(row.program_name.as_deref())?;
    table.word(row.link_id)?;
    table.text(short_url(row.domain.as_deref(), row.slug.as_deref()).as_deref())?;
    table.text(row.destination.as_deref())?;
    table.word(row.click_id)?;
    table.word(row.click_id.map(|click: ClickId| Timestamp::from_millis(click.time())))?;
    table.word(row.method.as_deref())?;
    table.text(row.order_id.as_deref())?;
    table.text(row.original_event_id.as_deref())?;
    table.word(row.original_id)?;
    table.text(row.customer_id.as_deref())?;
    table.number(row.quantity)?;

    let (currency, amount) = (row.currency.as_deref(), signed_amount(row));
    table.text(currency)?;
    table.number(amount)?;
    table.number(amount.map(|minor| decimal(minor, currency.unwrap_or_default())))?;

    for text in [
        &row.utm_source,
        &row.utm_medium,
        &row.utm_campaign,
        &row.utm_term,
        &row.utm_content,
        &row.experiment,
        &row.variant,
        &row.country,
    ] {
        table.text(text.as_deref())?;
    }
    table.word(Some(row.bot_reason.is_some()))?;
    let reasons = review_reasons(row);
    table.word(Some(review_status(&reasons)))?;
    table.word(Some(reasons.join(";")))?;

    table.number(row.terms_version)?;
    table.word(row.reward_basis)?;
    table.number(reward_rate(row))?;
    table.text(row.reward_currency.as_deref())?;
    table.word(row.hold_until)?;
    let follow_on = row.kind.is_follow_on();
    table.number(row.estimated_commission_minor.filter(|_| !follow_on))?;
    table.number(row.clawback_minor.filter(|_| follow_on).map(|minor| -minor))?;
    table.end_row()
}

/// Where visitors clicked. Links are served over HTTPS alone.
#[must_use]
pub fn short_url(domain: Option<&str>, slug: Option<&str>) -> Option<String> {
    Some(format!("https://{}/{}", domain?, slug?))
}

/// Percent with two places for a share, an amount in its currency's places for a fixed sum.
fn reward_rate(row: &Row) -> Option<String> {
    match row.reward_basis? {
        Basis::Percentage => row.reward_rate_bps.map(|bps| scaled(bps.into(), 2)),
        Basis::Fixed => {
            row.reward_amount_minor.map(|minor| decimal(minor, row.reward_currency.as_deref().unwrap_or_default()))
        }
    }
}
