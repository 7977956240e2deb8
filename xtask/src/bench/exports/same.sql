select c.id, c.source_id, c.event_id, c.type, c.event_name, c.customer_id, c.order_id, c.original_event_id,
    c.amount_minor, c.currency, c.quantity, c.occurred_at, c.recorded_at, c.status, c.method, c.reason, c.click_id,
    c.original_id, c.window_days, c.link_id, c.domain, c.slug, c.destination, c.partner_id, c.partner_key, c.partner_name,
    p.external_id, p.relationship, p.status, c.program_id, c.program_key, c.program_name, c.utm_source, c.utm_medium,
    c.utm_campaign, c.utm_term, c.utm_content, c.experiment, c.variant, c.country, c.bot_reason, c.terms_version,
    c.reward_basis, c.reward_rate_bps, c.reward_amount_minor, c.reward_currency, c.hold_until,
    c.estimated_commission_minor, c.reversed_minor, c.clawback_minor, c.flags, f.found
from conversions c
left join lateral (
    select s.external_id, s.relationship, s.status from partner_states s
    where s.workspace_id = c.workspace_id and s.partner_id = c.partner_id and s.since <= now()
    order by s.since desc limit 1
) p on true
cross join lateral (
    select exists (
        select 1 from conversions r
        where r.workspace_id = c.workspace_id and r.original_id = c.id and r.status = 'attributed'
            and r.recorded_at <= now() and r.attributed_at <= now()
    ) as found
) f
where c.workspace_id = '${workspace}' and c.recorded_at <= now() and c.status = 'attributed'
    and c.attributed_at <= now() and c.occurred_at >= '2024-01-01' and c.occurred_at < '2030-01-01'
order by c.occurred_at, c.id
