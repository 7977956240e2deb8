-- Takes some deltas away and adds them to the rollups of every dimension, by quarter-hour, day and month.
with taken as materialized (
    -- From where the last fold has come to: what lies before it is emptied rows, which take time to read all the same.
    delete from click_deltas where ctid = any(array(select ctid from click_deltas where ctid >= $2::text::tid limit $1))
    returning *,
        ctid as place,
        -- As text it sorts by time, and Postgres has no greatest UUID.
        click_id::text as id,
        date_bin('15 minutes', uuid_extract_timestamp(click_id), timestamptz '2000-01-01 00:00:00Z') as bucket,
        -- 1 where the click counts, else NULL.
        case when not bot and trigger <> 'qr' then 1 end as human_link,
        case when not bot and trigger = 'qr' then 1 end as human_qr,
        case when bot and trigger <> 'qr' then 1 end as bot_link,
        case when bot and trigger = 'qr' then 1 end as bot_qr,
        case when not bot and partner_id is not null then 1 end as human_partner
), grouped as (
    -- One pass over the clicks, by the columns that make a click's key and label in each dimension: to ask for the key of
    -- every click in every dimension takes several times as long.
    select
        t.workspace_id, t.bucket, t.link_id, t.domain, t.slug, t.partner_id, t.partner_name, t.program_id, t.program_name,
        t.trigger, t.source, t.campaign, t.referrer_host, t.country, t.region, t.device, t.browser, t.os,
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
    group by t.workspace_id, t.bucket, grouping sets (
        (), (t.partner_id, t.partner_name), (t.program_id, t.program_name), (t.link_id, t.domain, t.slug), (t.domain),
        (t.trigger), (t.source), (t.campaign), (t.referrer_host), (t.country), (t.country, t.region), (t.device),
        (t.browser), (t.os)
    )
), quarters as (
    -- Groups of one key differ in the label at most: the latest one holds.
    select g.workspace_id, g.dimension, g.bucket, c.key, max((g.latest || coalesce(c.label, '')) collate "C") as latest,
        sum(g.human_link)::bigint as human_link, sum(g.human_qr)::bigint as human_qr, sum(g.bot_link)::bigint as bot_link,
        sum(g.bot_qr)::bigint as bot_qr, sum(g.human_partner)::bigint as human_partner
    from grouped g
    cross join lateral click_cells(
        g.link_id, g.domain, g.slug, g.partner_id, g.partner_name, g.program_id, g.program_name, g.trigger, g.source,
        g.campaign, g.referrer_host, g.country, g.region, g.device, g.browser, g.os
    ) c
    where c.dimension = g.dimension
    group by 1, 2, 3, 4
), spans as (
    select 'quarter' as grain, * from quarters
    union all
    select g.grain, workspace_id, dimension, date_trunc(g.grain, bucket, 'UTC'), key, max(latest),
        sum(human_link)::bigint, sum(human_qr)::bigint, sum(bot_link)::bigint, sum(bot_qr)::bigint,
        sum(human_partner)::bigint
    from quarters
    cross join (values ('day'), ('month')) as g (grain)
    group by g.grain, workspace_id, dimension, date_trunc(g.grain, bucket, 'UTC'), key
), added as (
    insert into click_rollups as r (
        workspace_id, dimension, grain, bucket, key, label, label_click_id, human_link, human_qr, bot_link, bot_qr,
        human_partner
    )
    select workspace_id, dimension, grain, bucket, key, nullif(substr(latest, 37), ''), substr(latest, 1, 36)::uuid,
        human_link, human_qr, bot_link, bot_qr, human_partner
    from spans
    on conflict (workspace_id, dimension, grain, bucket, key) do update set
        human_link = r.human_link + excluded.human_link,
        human_qr = r.human_qr + excluded.human_qr,
        bot_link = r.bot_link + excluded.bot_link,
        bot_qr = r.bot_qr + excluded.bot_qr,
        human_partner = r.human_partner + excluded.human_partner,
        label = case when excluded.label_click_id > r.label_click_id then excluded.label else r.label end,
        label_click_id = greatest(excluded.label_click_id, r.label_click_id)
)
select count(*) as "folded!", max(place)::text as place from taken
