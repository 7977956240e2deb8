-- Stores conversions that are new, and answers their ids.
insert into conversions (
    workspace_id, id, source_id, event_id, payload_hash, type, event_name, customer_id, order_id, original_event_id,
    amount_minor, currency, quantity, occurred_at, metadata, status, method, tried, reason, attributed_at, click_id,
    original_id, window_days, link_id, domain, slug, destination, assignment_id, partner_id, partner_key, partner_name,
    program_id, program_key, program_name, utm_source, utm_medium, utm_campaign, utm_term, utm_content, experiment, variant,
    country, bot_reason, terms_version, reward_basis, reward_rate_bps, reward_amount_minor, reward_currency, hold_until,
    estimated_commission_minor, reversed_minor, clawback_minor, flags
)
select workspace_id, id, source_id, event_id, payload_hash, type, event_name, customer_id, order_id, original_event_id,
    amount_minor, currency, quantity, occurred_at, metadata, status, method, tried, reason,
    case when status in ('attributed', 'unattributed') then now() end, click_id, original_id, window_days, link_id, domain,
    slug, destination, assignment_id, partner_id, partner_key, partner_name, program_id, program_key, program_name,
    utm_source, utm_medium, utm_campaign, utm_term, utm_content, experiment, variant, country, bot_reason, terms_version,
    reward_basis, reward_rate_bps, reward_amount_minor, reward_currency, hold_until, estimated_commission_minor,
    reversed_minor, clawback_minor, string_to_array(flags, ',')
from unnest(
    $1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::bytea[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::text[], $11::bigint[], $12::text[], $13::int[], $14::timestamptz[], $15::jsonb[], $16::text[], $17::text[],
    $18::text[], $19::text[], $20::uuid[], $21::uuid[], $22::int[], $23::uuid[], $24::text[], $25::text[], $26::text[],
    $27::uuid[], $28::uuid[], $29::text[], $30::text[], $31::uuid[], $32::text[], $33::text[], $34::text[], $35::text[],
    $36::text[], $37::text[], $38::text[], $39::text[], $40::text[], $41::text[], $42::text[], $43::int[], $44::text[],
    $45::int[], $46::bigint[], $47::text[], $48::timestamptz[], $49::bigint[], $50::bigint[], $51::bigint[], $52::text[]
) as r (
    workspace_id, id, source_id, event_id, payload_hash, type, event_name, customer_id, order_id, original_event_id,
    amount_minor, currency, quantity, occurred_at, metadata, status, method, tried, reason, click_id, original_id,
    window_days, link_id, domain, slug, destination, assignment_id, partner_id, partner_key, partner_name, program_id,
    program_key, program_name, utm_source, utm_medium, utm_campaign, utm_term, utm_content, experiment, variant, country,
    bot_reason, terms_version, reward_basis, reward_rate_bps, reward_amount_minor, reward_currency, hold_until,
    estimated_commission_minor, reversed_minor, clawback_minor, flags
)
order by order_id nulls first, event_id
on conflict do nothing
returning id
