//! Whole rows of `conversions`.

/// One query of whole conversions: the columns are named once, here.
macro_rules! conversions {
    ($tail:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            $crate::events::Conversion,
            r#"select c.workspace_id, c.id, c.source_id, c.event_id, c.payload_hash, c.type as "type: model::conversion::EventType", c.event_name,
               c.customer_id, c.order_id, c.original_event_id, c.amount_minor, c.currency, c.quantity,
               c.occurred_at as "occurred_at: model::time::Timestamp", c.metadata, c.recorded_at as "recorded_at?: model::time::Timestamp", c.status as "status: model::conversion::Status",
               c.method as "method: model::conversion::Method", c.tried as "tried: model::conversion::Method", c.reason as "reason: model::conversion::Reason", c.attributed_at as "attributed_at: model::time::Timestamp", c.click_id,
               c.original_id, c.window_days, c.link_id, c.domain, c.slug, c.destination, c.assignment_id, c.partner_id,
               c.partner_key, c.partner_name, c.program_id, c.program_key, c.program_name, c.utm_source, c.utm_medium,
               c.utm_campaign, c.utm_term, c.utm_content, c.experiment, c.variant, c.country, c.bot_reason, c.terms_version,
               c.reward_basis as "reward_basis: shared::reward::Basis", c.reward_rate_bps, c.reward_amount_minor,
               c.reward_currency, c.hold_until as "hold_until: model::time::Timestamp", c.estimated_commission_minor, c.reversed_minor,
               c.clawback_minor, c.flags "# + $tail
            $(, $argument)*
        )
    };
}

pub(super) use conversions;
