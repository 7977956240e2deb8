-- Takes some deltas away and adds them to the rollups of every dimension, by quarter-hour, day and month.
with taken as (
    delete from click_deltas where ctid = any(array(select ctid from click_deltas limit $1))
    returning *
), quarters as (
    select
        t.workspace_id,
        c.dimension,
        date_bin('15 minutes', uuid_extract_timestamp(t.click_id), timestamptz '2000-01-01 00:00:00Z') as bucket,
        c.key,
        -- The greatest of these holds the latest click and its label: a UUIDv7's text sorts by time.
        max((t.click_id::text || coalesce(c.label, '')) collate "C") as latest,
        count(*) filter (where not t.bot and t.trigger <> 'qr') as human_link,
        count(*) filter (where not t.bot and t.trigger = 'qr') as human_qr,
        count(*) filter (where t.bot and t.trigger <> 'qr') as bot_link,
        count(*) filter (where t.bot and t.trigger = 'qr') as bot_qr,
        count(*) filter (where not t.bot and t.partner_id is not null) as human_partner
    from taken t
    cross join lateral click_cells(
        t.link_id, t.domain, t.slug, t.partner_id, t.partner_name, t.program_id, t.program_name, t.trigger, t.source,
        t.campaign, t.referrer_host, t.country, t.region, t.device, t.browser, t.os
    ) c
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
select count(*) as "folded!" from taken
