-- Rollups that answer more: months, so that a year of many keys is read in twelve steps, and humans' clicks that had a
-- partner, which conversions are measured against.

-- The sum of whole numbers as a whole number, 0 of nothing. `sum` reckons in decimals, which takes twice the time of
-- everything else that a report does; beyond 64 bits this one fails, as it should.
create aggregate add_up(bigint) (sfunc = int8pl, stype = bigint, initcond = '0', combinefunc = int8pl, parallel = safe);

-- Named as Postgres named the check of 0002.
alter table click_rollups drop constraint click_rollups_grain_check;
alter table click_rollups add constraint click_rollups_grain_check check (grain in ('quarter', 'day', 'month'));

-- Of the humans' clicks, those that had a partner.
alter table click_rollups add column human_partner bigint;

with counted as (
    select t.workspace_id, c.dimension,
        date_bin('15 minutes', uuid_extract_timestamp(t.click_id), timestamptz '2000-01-01 00:00:00Z') as bucket,
        c.key, count(*) as clicks
    from clicks t
    cross join lateral click_cells(
        t.link_id, t.domain, t.slug, t.partner_id, t.partner_name, t.program_id, t.program_name, t.trigger, t.source,
        t.utm_campaign, t.referrer_host, t.country, t.region, t.device, t.browser, t.os
    ) c
    where t.bot_reason is null and t.partner_id is not null
        -- What isn't folded yet will be counted by the fold.
        and not exists (select from click_deltas d where d.workspace_id = t.workspace_id and d.click_id = t.click_id)
    group by 1, 2, 3, 4
), spans as (
    select workspace_id, dimension, 'quarter' as grain, bucket, key, clicks from counted
    union all
    select workspace_id, dimension, 'day', date_trunc('day', bucket, 'UTC'), key, sum(clicks)
    from counted group by 1, 2, 3, 4, 5
), placed as (
    -- Values of `source` and `referrer` may have been added together.
    select s.workspace_id, s.dimension, s.grain, s.bucket,
        case when r.key is null then '(other)' else s.key end as key, sum(s.clicks)::bigint as clicks
    from spans s
    left join click_rollups r using (workspace_id, dimension, grain, bucket, key)
    group by 1, 2, 3, 4, 5
)
update click_rollups r set human_partner = p.clicks
from placed p
where (r.workspace_id, r.dimension, r.grain, r.bucket, r.key) = (p.workspace_id, p.dimension, p.grain, p.bucket, p.key);

-- Where clicks are gone, their keys still tell; a click with a program has a partner. What no key tells stays 0.
update click_rollups set human_partner =
    case when dimension in ('partner', 'program') and key <> 'none' then human_link + human_qr else 0 end
where human_partner is null;

-- Without a default, so that an instance of the release before, which doesn't count these, folds nothing: its clicks wait
-- as deltas, and reports read those too.
alter table click_rollups alter column human_partner set not null;

insert into click_rollups (
    workspace_id, dimension, grain, bucket, key, label, label_click_id, human_link, human_qr, bot_link, bot_qr, human_partner
)
select workspace_id, dimension, 'month', date_trunc('month', bucket, 'UTC'), key,
    (array_agg(label order by label_click_id desc))[1], (array_agg(label_click_id order by label_click_id desc))[1],
    sum(human_link), sum(human_qr), sum(bot_link), sum(bot_qr), sum(human_partner)
from click_rollups
where grain = 'day'
group by workspace_id, dimension, date_trunc('month', bucket, 'UTC'), key;

comment on column click_rollups.grain is
    'quarter (15 minutes, because offsets of time zones are multiples of that), day or month (UTC), so that a long range
reads few rows and its ends are still cut exactly. A month is the sum of its days.';

-- What the rollups of one UTC day must say, counted from the clicks themselves; replaces that of 0009.
drop function click_rollups_of_day;
create function click_rollups_of_day(workspace uuid, day timestamptz)
returns table (
    dimension text, grain text, bucket timestamptz, key text, label text, label_click_id uuid,
    human_link bigint, human_qr bigint, bot_link bigint, bot_qr bigint, human_partner bigint
)
    language sql stable parallel safe
    as $$
    with quarters as (
        select
            c.dimension,
            date_bin('15 minutes', uuid_extract_timestamp(t.click_id), timestamptz '2000-01-01 00:00:00Z') as bucket,
            c.key,
            -- The greatest of these holds the latest click and its label: a UUIDv7's text sorts by time.
            max((t.click_id::text || coalesce(c.label, '')) collate "C") as latest,
            count(*) filter (where t.bot_reason is null and t.trigger <> 'qr') as human_link,
            count(*) filter (where t.bot_reason is null and t.trigger = 'qr') as human_qr,
            count(*) filter (where t.bot_reason is not null and t.trigger <> 'qr') as bot_link,
            count(*) filter (where t.bot_reason is not null and t.trigger = 'qr') as bot_qr,
            count(*) filter (where t.bot_reason is null and t.partner_id is not null) as human_partner
        from clicks t
        cross join lateral click_cells(
            t.link_id, t.domain, t.slug, t.partner_id, t.partner_name, t.program_id, t.program_name, t.trigger, t.source,
            t.utm_campaign, t.referrer_host, t.country, t.region, t.device, t.browser, t.os
        ) c
        where t.workspace_id = workspace and t.click_id >= uuid_at(day) and t.click_id < uuid_at(day + interval '1 day')
        group by 1, 2, 3
    ), spans as (
        select 'quarter' as grain, q.* from quarters q
        union all
        select 'day', q.dimension, day, q.key, max(q.latest), sum(q.human_link)::bigint, sum(q.human_qr)::bigint,
            sum(q.bot_link)::bigint, sum(q.bot_qr)::bigint, sum(q.human_partner)::bigint
        from quarters q
        group by q.dimension, q.key
    )
    select s.dimension, s.grain, s.bucket, s.key, nullif(substr(s.latest, 37), ''), substr(s.latest, 1, 36)::uuid,
        s.human_link, s.human_qr, s.bot_link, s.bot_qr, s.human_partner
    from spans s
$$;
