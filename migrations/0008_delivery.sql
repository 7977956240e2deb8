-- Delivery stated by the hour: what the edge minted, what arrived, what was refused. And a second look at what the edge
-- holds.

-- What isolates say they have minted: each click carries its isolate and its number among that isolate's clicks of the
-- hour inside the click's id, so the greatest number seen is a lower bound of what was minted, and a gap in it is a
-- click that has not arrived.
create table click_mints (
    hour timestamptz not null,
    -- 48 random bits, drawn by the isolate when it starts.
    isolate bigint not null,
    minted bigint not null,
    primary key (hour, isolate)
);

-- By hour of the click's id, what no other table tells.
create table click_hours (
    hour timestamptz primary key,
    -- Of hours whose rows in click_mints were summed up here and removed.
    minted bigint not null default 0,
    -- Clicks that arrived again.
    duplicate bigint not null default 0
);

-- The hour that a refused click belongs to is that of its id; of one without, that of its arrival.
alter table click_rejections add column clicked_at timestamptz;
create index click_rejections_by_click on click_rejections (coalesce(clicked_at, recorded_at));

-- How many clicks all workspaces together had in an hour is one number per workspace and quarter-hour.
create index click_rollups_all on click_rollups (bucket) where dimension = 'all' and grain = 'quarter';

-- A record's first version lies above any that the same key can have had before: versions grow by one per change, this
-- by one per millisecond. It matters after the database was restored to an earlier moment, when the edge holds what was
-- made since, and the same slug is made again.
alter table links alter column record_version set default (extract(epoch from clock_timestamp()) * 1000)::bigint;
alter table domains alter column record_version set default (extract(epoch from clock_timestamp()) * 1000)::bigint;

-- The sweep that compares the edge's store with the records as they must be: one row, its place and what it found in
-- this round and in the one before.
create table edge_sweep (
    one boolean primary key default true check (one),
    -- Of the instance that compares a page; another takes over when it passes.
    leased_until timestamptz not null default '-infinity',
    -- The next page may be compared from then on.
    not_before timestamptz not null default '-infinity',
    -- 'domains' or 'links', and the last row compared; NULL at the beginning.
    phase text not null default 'domains' check (phase in ('domains', 'links')),
    after_workspace uuid,
    after_id uuid,
    round_started_at timestamptz,
    -- {compared, missing, behind, ahead, different}, of this round and of the last one that ended.
    counts jsonb not null default '{}',
    last_counts jsonb,
    last_started_at timestamptz,
    last_finished_at timestamptz
);
insert into edge_sweep default values;

-- Cloudflare's API takes 1,200 requests in 5 minutes from one account: instances share them by this one row.
create table edge_api (
    one boolean primary key default true check (one),
    -- The next request may be made then.
    next_at timestamptz not null default '-infinity'
);
insert into edge_api default values;
