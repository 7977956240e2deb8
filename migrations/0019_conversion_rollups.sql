-- Rollups of conversions, so that a year of them is read in a few rows per group. A conversion counts once, when it
-- becomes final, and never changes after that.

-- What a conversion counts as in reports, said once: amounts with the currency they are shown under. A follow-on whose
-- event names no amount reverses the remainder; a currency without an amount is not shown.
create view conversion_facts as
select c.workspace_id, c.id, c.occurred_at, c.recorded_at, c.attributed_at, c.status, c.bot_reason, c.click_id, c.partner_id,
    c.partner_name, c.program_id, c.program_name, c.link_id, c.domain, c.slug, c.type, c.event_name, c.utm_campaign,
    c.country, c.currency, p.gross, p.negative, p.reward,
    case when p.gross is not null or p.negative is not null then c.currency end as amount_currency,
    case when p.reward is not null then c.reward_currency end as reward_currency
from conversions c
cross join lateral (
    select case when c.type in ('lead', 'sale') then c.amount_minor end as gross,
        case when c.type not in ('lead', 'sale') then coalesce(c.amount_minor, c.reversed_minor) end as negative,
        case when c.estimated_commission_minor is not null or c.clawback_minor is not null
            then coalesce(c.estimated_commission_minor, 0) - coalesce(c.clawback_minor, 0) end as reward
) p;

-- Under which key a conversion counts in each dimension, and the name the key had then.
create function conversion_cells(
    partner_id uuid, partner_name text, program_id uuid, program_name text, link_id uuid, domain text, slug text, type text,
    event_name text, currency text, campaign text, country text
) returns table (dimension text, key text, label text)
    language sql immutable parallel safe
    as $$ values
        ('all', 'all', null::text),
        ('partner', coalesce(partner_id::text, 'none'), partner_name),
        ('program', coalesce(program_id::text, 'none'), program_name),
        ('link', coalesce(link_id::text, 'none'), domain || '/' || slug),
        ('domain', coalesce(domain, 'none'), null),
        ('type', type, null),
        ('event_name', coalesce(event_name, 'none'), null),
        ('currency', coalesce(currency, 'none'), null),
        ('campaign', coalesce(campaign, 'none'), null),
        ('country', coalesce(country, 'none'), null)
$$;

create table conversion_rollups (
    workspace_id uuid not null,
    dimension text not null,
    -- `all` has quarter-hours, days and months, for groups of time; the other dimensions months only, which many
    -- conversions share. Parts of months are few enough to be summed one by one.
    grain text not null check (grain in ('quarter', 'day', 'month')),
    bucket timestamptz not null,
    key text not null,
    bot boolean not null,
    -- Empty where no amount, or no reward, is shown.
    currency text not null,
    reward_currency text not null,
    -- What the key went by at the latest click among them, and that click; nil where there is none.
    label text,
    label_click_id uuid not null,
    leads bigint not null,
    sales bigint not null,
    refunds bigint not null,
    cancellations bigint not null,
    reversals bigint not null,
    -- Final, and credited to nobody. All else counts what is credited to a partner.
    unattributed bigint not null,
    -- Sums of 64-bit amounts may be greater than 64 bits.
    gross numeric not null,
    negative numeric not null,
    reward numeric not null,
    primary key (workspace_id, dimension, grain, bucket, key, bot, currency, reward_currency)
);

-- Final conversions that are not in the rollups yet. Reports read both, so they are exact at any moment.
create table conversion_deltas (
    workspace_id uuid not null,
    id uuid not null
);

create function note_settled_conversions() returns trigger
    language plpgsql
    as $$
begin
    insert into conversion_deltas (workspace_id, id)
    select workspace_id, id from after_rows where attributed_at is not null;
    return null;
end
$$;
create trigger conversions_stored after insert on conversions
    referencing new table as after_rows
    for each statement execute function note_settled_conversions();

create function note_conversions_that_settled() returns trigger
    language plpgsql
    as $$
begin
    insert into conversion_deltas (workspace_id, id)
    select n.workspace_id, n.id
    from after_rows n
    join before_rows o on o.workspace_id = n.workspace_id and o.id = n.id
    where o.attributed_at is null and n.attributed_at is not null;
    return null;
end
$$;
create trigger conversions_settled after update on conversions
    referencing old table as before_rows new table as after_rows
    for each statement execute function note_conversions_that_settled();

insert into conversion_deltas (workspace_id, id)
select workspace_id, id from conversions where attributed_at is not null;

-- What still waits is counted from the rows.
create index conversions_waiting on conversions (workspace_id, occurred_at) where attributed_at is null;

-- Cells of some conversions, grain by grain.
create function conversion_grains(dimension text, at timestamptz) returns table (grain text, bucket timestamptz)
    language sql immutable parallel safe
    as $$
    select 'month', date_trunc('month', at, 'UTC')
    union all select 'day', date_trunc('day', at, 'UTC') where dimension = 'all'
    union all select 'quarter', date_bin('15 minutes', at, timestamptz '2000-01-01 00:00:00Z') where dimension = 'all'
$$;

-- What each final conversion adds to the rollups. What is credited to nobody counts, and brings no amounts.
create view conversion_entries as
select f.workspace_id, f.id, f.occurred_at, c.dimension, g.grain, g.bucket, c.key, f.bot_reason is not null as bot,
    case when f.status = 'attributed' then coalesce(f.amount_currency, '') else '' end as currency,
    case when f.status = 'attributed' then coalesce(f.reward_currency, '') else '' end as reward_currency,
    -- The greatest of these holds the latest click and its label: a UUIDv7's text sorts by time. What nobody is credited
    -- with names nobody.
    case when f.status = 'attributed' and f.click_id is not null then f.click_id::text || coalesce(c.label, '')
        else '00000000-0000-0000-0000-000000000000' end collate "C" as latest,
    (f.status = 'attributed' and f.type = 'lead')::int as leads,
    (f.status = 'attributed' and f.type = 'sale')::int as sales,
    (f.status = 'attributed' and f.type = 'refund')::int as refunds,
    (f.status = 'attributed' and f.type = 'cancellation')::int as cancellations,
    (f.status = 'attributed' and f.type = 'reversal')::int as reversals,
    (f.status = 'unattributed')::int as unattributed,
    case when f.status = 'attributed' then coalesce(f.gross, 0) else 0 end as gross,
    case when f.status = 'attributed' then -coalesce(f.negative, 0) else 0 end as negative,
    case when f.status = 'attributed' then coalesce(f.reward, 0) else 0 end as reward
from conversion_facts f
cross join lateral conversion_cells(
    f.partner_id, f.partner_name, f.program_id, f.program_name, f.link_id, f.domain, f.slug, f.type, f.event_name,
    f.currency, f.utm_campaign, f.country
) c
cross join lateral conversion_grains(c.dimension, f.occurred_at) g
where f.attributed_at is not null;
