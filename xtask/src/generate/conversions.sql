-- One day's conversions: of the human clicks with a partner one in thirty is a lead and one in fifty a sale, some hours
-- later; every twelfth sale is refunded, half of those in part.
with touched as materialized (
    select c.*, (hashint8extended(('x' || substr(c.click_id::text, 22, 2) || substr(c.click_id::text, 25, 12))::bit(56)::bigint, ${seed}) & 9007199254740991) as n
    from clicks c
    where c.workspace_id = (select id from w) and c.bot_reason is null and c.partner_id is not null
        and c.click_id >= uuid_at(timestamptz '${start}' + interval '${day} days')
        and c.click_id < uuid_at(timestamptz '${start}' + interval '${day} days 24 hours')
), chosen as (
    select t.*, kind, uuid_extract_timestamp(t.click_id) + make_interval(secs => 259200 * pg_temp.r(n, 30 + ordinal::int)) as at,
        100 * (10 + (pg_temp.h(n, 33) & 1023)) as amount,
        (array['EUR', 'USD', 'JPY'])[pg_temp.zipf(n, 34, 3)] as money
    from touched t
    cross join lateral unnest(array['lead', 'sale']) with ordinality as k (kind, ordinal)
    where pg_temp.r(n, 35 + ordinal::int) < case kind when 'lead' then 0.033 else 0.02 end
), events as (
    select c.*, e.*
    from chosen c
    cross join lateral (values
        (kind, at, pg_temp.uuid_of(at, n, case kind when 'lead' then 40 else 42 end), kind || '-' || n, null::uuid, null,
            case kind when 'sale' then amount end, null::bigint),
        ('refund', at + interval '3 days', pg_temp.uuid_of(at + interval '3 days', n, 44), 'refund-' || n,
            pg_temp.uuid_of(at, n, 42), 'sale-' || n, amount / (1 + (n & 1)), amount / (1 + (n & 1)))
    ) as e (type, occurred_at, id, event, original, original_event, value, reversed)
    where original is null or (kind = 'sale' and n % 12 = 0)
)
insert into conversions (
    workspace_id, id, source_id, event_id, payload_hash, type, customer_id, order_id, original_event_id, amount_minor,
    currency, occurred_at, recorded_at, status, method, attributed_at, click_id, original_id, window_days, link_id, domain,
    slug, destination, assignment_id, partner_id, partner_key, partner_name, program_id, program_key, program_name,
    utm_source, utm_medium, utm_campaign, country, terms_version, reward_basis, reward_rate_bps, reward_currency, hold_until,
    estimated_commission_minor, reversed_minor, clawback_minor
)
select workspace_id, id, pg_temp.setup_id(7, 0), event, sha256(event::bytea), type, 'customer-' || n,
    case when type <> 'lead' then 'order-' || n end, original_event, value, case when value is not null then money end,
    occurred_at, occurred_at + interval '1 second', 'attributed', case when original is null then 'token' else 'original' end,
    occurred_at + interval '1 second', click_id, original, 30, link_id, domain, slug, destination, assignment_id, partner_id,
    partner_key, partner_name, program_id, program_key, program_name, utm_source, utm_medium, utm_campaign, country, 1,
    'percentage', 1000, case when value is not null then money end, at + interval '30 days',
    case when type = 'sale' then value / 10 end, reversed, reversed / 10
from events
on conflict do nothing;
