-- Facts: clicks and conversions. Appended, never rewritten.

-- The first moment, as a UUIDv7 bound: clicks are partitioned by the time inside their id.
create function uuid_at(at timestamptz) returns uuid
    language sql immutable strict parallel safe
    return (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '00000000000000000000')::uuid;

-- One row per click, as it was when it happened.
create table clicks (
    workspace_id uuid not null,
    click_id uuid not null,
    link_id uuid not null,
    domain text not null,
    slug text not null,
    destination text not null,
    assignment_id uuid,
    partner_id uuid,
    partner_key text,
    partner_name text,
    program_id uuid,
    program_key text,
    program_name text,
    -- link | qr
    trigger text not null,
    source text,
    utm_source text,
    utm_medium text,
    utm_campaign text,
    utm_term text,
    utm_content text,
    experiment text,
    variant text,
    referrer_host text,
    country text,
    region text,
    city text,
    device text not null,
    browser text not null,
    os text not null,
    -- NULL: a human.
    bot_reason text,
    -- appended, or why not.
    token_reason text not null,
    colo text,
    record_version bigint not null,
    -- Start of the storing transaction, by the database's clock; `as_of` compares with it.
    recorded_at timestamptz not null default now(),
    primary key (workspace_id, click_id)
) partition by range (click_id);

-- Makes the partition of the month that holds `at` (UTC), if it is missing. Partitions are named clicks_YYYYMM.
create function ensure_click_partition(at timestamptz) returns void
    language plpgsql as $$
declare
    month_start timestamptz := date_trunc('month', at, 'UTC');
    month_end timestamptz := date_trunc('month', month_start + interval '768 hours', 'UTC');
    name text := 'clicks_' || to_char(month_start at time zone 'UTC', 'YYYYMM');
begin
    if to_regclass(name) is null then
        execute format('create table if not exists %I partition of clicks for values from (%L) to (%L)',
            name, uuid_at(month_start), uuid_at(month_end));
    end if;
end $$;

-- Clicks that the store refused for good, by reason: nothing vanishes silently. One row each, so that a batch that is
-- delivered again counts nothing twice.
create table click_rejections (
    -- The click's id, or half the SHA-256 of its text where it has none that can be read.
    click_key uuid primary key,
    -- NULL where the click named no workspace.
    workspace_id uuid,
    reason text not null,
    recorded_at timestamptz not null default now()
);
create index click_rejections_by_time on click_rejections (recorded_at);

-- What has been stored but not folded into the rollups yet: one narrow row per new click, appended in the transaction
-- that stores it. A compactor folds and deletes them; reports read rollups plus these, so they are exact at any moment
-- and no two writers wait for each other on a hot row.
create table click_deltas (
    workspace_id uuid not null,
    click_id uuid not null,
    link_id uuid not null,
    domain text not null,
    slug text not null,
    partner_id uuid,
    partner_name text,
    program_id uuid,
    program_name text,
    trigger text not null,
    source text,
    campaign text,
    referrer_host text,
    country text,
    region text,
    device text not null,
    browser text not null,
    os text not null,
    bot boolean not null
);

-- Clicks counted per dimension, key and span of time. `grain` is the span: 'quarter' (15 minutes, because offsets of time
-- zones are multiples of that) or 'day' (UTC), so that a long range reads few rows and its ends are still cut exactly.
create table click_rollups (
    workspace_id uuid not null,
    dimension text not null,
    grain text not null check (grain in ('quarter', 'day')),
    bucket timestamptz not null,
    -- Id or text; 'none' where the click had no value.
    key text not null,
    -- The name the key went by at its latest click in the bucket, and that click.
    label text,
    label_click_id uuid not null,
    human_link bigint not null,
    human_qr bigint not null,
    bot_link bigint not null,
    bot_qr bigint not null,
    primary key (workspace_id, dimension, grain, bucket, key)
);

-- One row per accepted event, for ever. Who gets the credit is decided once; the snapshot below is copied then.
create table conversions (
    workspace_id uuid not null,
    id uuid not null,
    source_id uuid not null,
    event_id text not null,
    -- SHA-256 of the canonical JSON as received: the same event again is a duplicate, another one a conflict.
    payload_hash bytea not null,
    type text not null check (type in ('lead', 'sale', 'refund', 'cancellation', 'reversal')),
    event_name text,
    customer_id text,
    order_id text,
    original_event_id text,
    -- As received, >= 0; NULL where omitted.
    amount_minor bigint check (amount_minor >= 0),
    currency text,
    quantity integer,
    occurred_at timestamptz not null,
    metadata jsonb not null default '{}',
    -- Start of the storing transaction, by the database's clock; `as_of` compares with it.
    recorded_at timestamptz not null default now(),

    status text not null check (status in ('attributed', 'pending_click', 'pending_original', 'unattributed')),
    method text check (method in ('token', 'customer', 'original')),
    reason text,
    -- When the status became final; NULL while pending.
    attributed_at timestamptz,
    -- The click that a valid token named, or that the customer's touch or the original led to.
    click_id uuid,
    -- The conversion that a follow-on reverses.
    original_id uuid,
    window_days integer,

    -- Copied from the click.
    link_id uuid,
    domain text,
    slug text,
    destination text,
    assignment_id uuid,
    partner_id uuid,
    partner_key text,
    partner_name text,
    program_id uuid,
    program_key text,
    program_name text,
    utm_source text,
    utm_medium text,
    utm_campaign text,
    utm_term text,
    utm_content text,
    experiment text,
    variant text,
    country text,
    bot_reason text,

    -- The reward terms in force at occurred_at (follow-ons: their original's), copied likewise.
    terms_version integer,
    reward_basis text,
    reward_rate_bps integer,
    reward_amount_minor bigint,
    reward_currency text,
    hold_until timestamptz,
    estimated_commission_minor bigint,

    -- Of follow-ons: what counts as reversed (omitted amount = the remainder), and what is taken back (>= 0).
    reversed_minor bigint check (reversed_minor >= 0),
    clawback_minor bigint check (clawback_minor >= 0),
    -- Found when stored: duplicate_order, exceeds_original, currency_mismatch.
    flags text[] not null default '{}',

    primary key (workspace_id, id),
    constraint conversions_event_unique unique (workspace_id, source_id, event_id),
    constraint conversions_final check ((attributed_at is null) = (status in ('pending_click', 'pending_original')))
);
create index conversions_by_time on conversions (workspace_id, occurred_at);
create index conversions_by_partner on conversions (workspace_id, partner_id, occurred_at) where partner_id is not null;
create index conversions_by_order on conversions (workspace_id, order_id) where order_id is not null;
create index conversions_by_original_event on conversions (workspace_id, original_event_id)
    where original_event_id is not null;
create index conversions_by_original on conversions (workspace_id, original_id) where original_id is not null;
create index conversions_by_customer on conversions (workspace_id, customer_id) where customer_id is not null;
create index conversions_by_event on conversions (workspace_id, event_id);
create index conversions_pending_click on conversions (workspace_id, click_id) where status = 'pending_click';
create index conversions_pending on conversions (status, recorded_at) where attributed_at is null;

create table exports (
    workspace_id uuid not null references workspaces,
    id uuid not null,
    kind text not null check (kind in ('conversions', 'traffic')),
    status text not null default 'queued'
        check (status in ('queued', 'running', 'completed', 'failed', 'cancelled', 'expired')),
    range_from timestamptz not null,
    range_to timestamptz not null,
    as_of timestamptz not null,
    -- {partner_id?, program_id?, types?}, resolved when asked for.
    filters jsonb not null default '{}',
    actor_key_id uuid not null,
    rows_written bigint not null default 0,
    bytes_written bigint,
    attempts integer not null default 0,
    -- Of the instance that runs it; another takes over when it passes.
    leased_until timestamptz,
    error text,
    created_at timestamptz not null default now(),
    completed_at timestamptz,
    expires_at timestamptz,
    primary key (workspace_id, id)
);
create index exports_open on exports (created_at) where status in ('queued', 'running');
