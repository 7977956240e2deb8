-- Counts where one day's rollups and its deltas together differ from its clicks. `source` and `referrer` keep their
-- greatest values only, so for those the sum over all keys is compared. None where clicks of the day are gone by now.
with bounded as (
    select array['source', 'referrer'] as dimensions
), pending as (
    select c.dimension, t.bot, t.trigger = 'qr' as qr, t.partner_id is not null as partner,
        date_bin('15 minutes', uuid_extract_timestamp(t.click_id), timestamptz '2000-01-01 00:00:00Z') as bucket, c.key
    from click_deltas t
    cross join lateral click_cells(
        t.link_id, t.domain, t.slug, t.partner_id, t.partner_name, t.program_id, t.program_name, t.trigger, t.source,
        t.campaign, t.referrer_host, t.country, t.region, t.device, t.browser, t.os
    ) c
    where t.workspace_id = $1 and t.click_id >= uuid_at($2) and t.click_id < uuid_at($2 + interval '1 day')
), said as (
    select dimension, grain, bucket, key, human_link, human_qr, bot_link, bot_qr, human_partner
    from click_rollups
    where workspace_id = $1 and grain <> 'month' and bucket >= $2 and bucket < $2 + interval '1 day'
    union all
    select dimension, grain, case grain when 'day' then $2 else bucket end, key, (not bot and not qr)::int,
        (not bot and qr)::int, (bot and not qr)::int, (bot and qr)::int, (not bot and partner)::int
    from pending cross join (values ('quarter'), ('day')) as g (grain)
), cells as (
    select dimension, grain, bucket, key, human_link, human_qr, bot_link, bot_qr, human_partner from said
    union all
    select dimension, grain, bucket, key, -human_link, -human_qr, -bot_link, -bot_qr, -human_partner
    from click_rollups_of_day($1, $2)
), differences as (
    select 1
    from cells, bounded
    group by dimension, grain, bucket, case when dimension = any(dimensions) then '' else key end
    having sum(human_link) <> 0 or sum(human_qr) <> 0 or sum(bot_link) <> 0 or sum(bot_qr) <> 0
        or sum(human_partner) <> 0
)
select count(*) as "differences!" from differences where clicks_are_whole($1, $2)
