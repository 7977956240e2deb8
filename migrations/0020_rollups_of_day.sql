-- What the rollups of one UTC day must say, counted from the clicks themselves; replaces that of 0012. As the fold does, it
-- groups clicks by the columns that make their key in each dimension before it asks for the key: to ask for each click in
-- each dimension took several times as long.
create or replace function click_rollups_of_day(workspace uuid, day timestamptz)
returns table (
    dimension text, grain text, bucket timestamptz, key text, label text, label_click_id uuid,
    human_link bigint, human_qr bigint, bot_link bigint, bot_qr bigint, human_partner bigint
)
    language sql stable parallel safe
    as $$
    with taken as (
        select t.link_id, t.domain, t.slug, t.partner_id, t.partner_name, t.program_id, t.program_name, t.trigger, t.source,
            t.utm_campaign as campaign, t.referrer_host, t.country, t.region, t.device, t.browser, t.os,
            -- As text it sorts by time, and Postgres has no greatest UUID.
            t.click_id::text as id,
            date_bin('15 minutes', uuid_extract_timestamp(t.click_id), timestamptz '2000-01-01 00:00:00Z') as bucket,
            -- 1 where the click counts, else NULL.
            case when t.bot_reason is null and t.trigger <> 'qr' then 1 end as human_link,
            case when t.bot_reason is null and t.trigger = 'qr' then 1 end as human_qr,
            case when t.bot_reason is not null and t.trigger <> 'qr' then 1 end as bot_link,
            case when t.bot_reason is not null and t.trigger = 'qr' then 1 end as bot_qr,
            case when t.bot_reason is null and t.partner_id is not null then 1 end as human_partner
        from clicks t
        where t.workspace_id = workspace and t.click_id >= uuid_at(day) and t.click_id < uuid_at(day + interval '1 day')
    ), grouped as (
        select
            t.bucket, t.link_id, t.domain, t.slug, t.partner_id, t.partner_name, t.program_id, t.program_name, t.trigger,
            t.source, t.campaign, t.referrer_host, t.country, t.region, t.device, t.browser, t.os,
            case
                when grouping(t.partner_id) = 0 then 'partner'
                when grouping(t.program_id) = 0 then 'program'
                when grouping(t.link_id) = 0 then 'link'
                when grouping(t.domain) = 0 then 'domain'
                when grouping(t.trigger) = 0 then 'trigger'
                when grouping(t.source) = 0 then 'source'
                when grouping(t.campaign) = 0 then 'campaign'
                when grouping(t.referrer_host) = 0 then 'referrer'
                when grouping(t.region) = 0 then 'region'
                when grouping(t.country) = 0 then 'country'
                when grouping(t.device) = 0 then 'device'
                when grouping(t.browser) = 0 then 'browser'
                when grouping(t.os) = 0 then 'os'
                else 'all'
            end as dimension,
            max(t.id collate "C") as latest,
            count(t.human_link) as human_link,
            count(t.human_qr) as human_qr,
            count(t.bot_link) as bot_link,
            count(t.bot_qr) as bot_qr,
            count(t.human_partner) as human_partner
        from taken t
        group by t.bucket, grouping sets (
            (), (t.partner_id, t.partner_name), (t.program_id, t.program_name), (t.link_id, t.domain, t.slug), (t.domain),
            (t.trigger), (t.source), (t.campaign), (t.referrer_host), (t.country), (t.country, t.region), (t.device),
            (t.browser), (t.os)
        )
    ), quarters as (
        -- Groups of one key differ in the label at most: the latest one holds.
        select g.dimension, g.bucket, c.key, max((g.latest || coalesce(c.label, '')) collate "C") as latest,
            sum(g.human_link)::bigint as human_link, sum(g.human_qr)::bigint as human_qr,
            sum(g.bot_link)::bigint as bot_link, sum(g.bot_qr)::bigint as bot_qr,
            sum(g.human_partner)::bigint as human_partner
        from grouped g
        cross join lateral click_cells(
            g.link_id, g.domain, g.slug, g.partner_id, g.partner_name, g.program_id, g.program_name, g.trigger, g.source,
            g.campaign, g.referrer_host, g.country, g.region, g.device, g.browser, g.os
        ) c
        where c.dimension = g.dimension
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
