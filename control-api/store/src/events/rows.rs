//! Whole rows of `conversions`.

/// One query of whole conversions: the columns are named once, here.
macro_rules! conversions {
    ($tail:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query!(
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
        .map(|row| $crate::events::conversion::Conversion {
            workspace_id: row.workspace_id,
            id: row.id,
            source_id: row.source_id,
            event_id: row.event_id,
            payload_hash: row.payload_hash,
            r#type: row.r#type,
            event_name: row.event_name,
            customer_id: row.customer_id,
            order_id: row.order_id,
            original_event_id: row.original_event_id,
            amount_minor: row.amount_minor,
            currency: row.currency,
            quantity: row.quantity,
            occurred_at: row.occurred_at,
            metadata: row.metadata,
            recorded_at: row.recorded_at,
            status: row.status,
            method: row.method,
            tried: row.tried,
            reason: row.reason,
            attributed_at: row.attributed_at,
            click_id: row.click_id,
            original_id: row.original_id,
            window_days: row.window_days,
            snapshot: $crate::events::conversion::Snapshot {
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
            },
            terms_version: row.terms_version,
            reward_basis: row.reward_basis,
            reward_rate_bps: row.reward_rate_bps,
            reward_amount_minor: row.reward_amount_minor,
            reward_currency: row.reward_currency,
            hold_until: row.hold_until,
            estimated_commission_minor: row.estimated_commission_minor,
            reversed_minor: row.reversed_minor,
            clawback_minor: row.clawback_minor,
            flags: row.flags,
        })
    };
}

pub(super) use conversions;
