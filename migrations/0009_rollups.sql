-- Rollups that can be proved and repaired: what a click counts as is said once, here, and the fold of new clicks, the
-- proof and the repair all ask it.

-- Under which key a click counts in each dimension, and the name the key had then.
create function click_cells(
    link_id uuid, domain text, slug text, partner_id uuid, partner_name text, program_id uuid, program_name text,
    trigger text, source text, campaign text, referrer_host text, country text, region text, device text, browser text,
    os text
) returns table (dimension text, key text, label text)
    language sql immutable parallel safe
    as $$ values
        ('all', 'all', null::text),
        ('partner', coalesce(partner_id::text, 'none'), partner_name),
        ('program', coalesce(program_id::text, 'none'), program_name),
        ('link', link_id::text, domain || '/' || slug),
        ('domain', domain, null),
        ('trigger', trigger, null),
        ('source', coalesce(source, 'none'), null),
        ('campaign', coalesce(campaign, 'none'), null),
        ('referrer', coalesce(referrer_host, 'none'), null),
        ('country', coalesce(country, 'none'), null),
        ('region', coalesce(country || '-' || region, 'none'), null),
        ('device', device, null),
        ('browser', browser, null),
        ('os', os, null)
$$;

-- What the rollups of one UTC day must say, counted from the clicks themselves.
create function click_rollups_of_day(workspace uuid, day timestamptz)
returns table (
    dimension text, grain text, bucket timestamptz, key text, label text, label_click_id uuid,
    human_link bigint, human_qr bigint, bot_link bigint, bot_qr bigint
)
    language sql stable parallel safe
    as $$
    with quarters as (
        select
            c.dimension,
            date_bin('15 minutes', uuid_extract_timestamp(t.click_id), timestamptz '2000-01-01 00:00:00Z') as bucket,
            c.key,
            -- The greatest of these holds the latest click and its label: a UUIDv7's text sorts by time.
            max(t.click_id::text || coalesce(c.label, '')) as latest,
            count(*) filter (where t.bot_reason is null and t.trigger <> 'qr') as human_link,
            count(*) filter (where t.bot_reason is null and t.trigger = 'qr') as human_qr,
            count(*) filter (where t.bot_reason is not null and t.trigger <> 'qr') as bot_link,
            count(*) filter (where t.bot_reason is not null and t.trigger = 'qr') as bot_qr
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
            sum(q.bot_link)::bigint, sum(q.bot_qr)::bigint
        from quarters q
        group by q.dimension, q.key
    )
    select s.dimension, s.grain, s.bucket, s.key, nullif(substr(s.latest, 37), ''), substr(s.latest, 1, 36)::uuid,
        s.human_link, s.human_qr, s.bot_link, s.bot_qr
    from spans s
$$;

-- How long a workspace keeps single clicks; its rollups and conversions stay for ever. At least the longest window plus
-- the 15 days that a click may be late, so that no event comes to a click that is gone. NULL: for ever.
alter table workspaces add column click_retention_days integer check (click_retention_days between 380 and 3650);
-- Clicks from before this moment may be gone: what is counted from them would be too little.
alter table workspaces add column clicks_pruned_before timestamptz;
