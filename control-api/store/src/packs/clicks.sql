-- The cells that one bucket's packs of clicks are made of: of each dimension, and of a day all its quarter-hours. `part` is the
-- quarter-hour of the day, and of a week the last day that counts.
select dimension as "dimension!", grain as "grain!: Grain", part as "part!", key as "key!", human_link as "human_link!",
    human_qr as "human_qr!", bot_link as "bot_link!", bot_qr as "bot_qr!", human_partner as "human_partner!"
from (
    select dimension, grain, 0 as part, key, human_link, human_qr, bot_link, bot_qr, human_partner
    from click_rollups
    where workspace_id = $1 and grain = $2 and bucket = $3 and dimension <> 'all'
    union all
    select dimension, 'week', (extract(epoch from max(bucket) - $3::timestamptz) / 86400)::int, key, add_up(human_link),
        add_up(human_qr), add_up(bot_link), add_up(bot_qr), add_up(human_partner)
    from click_rollups
    where $2 = 'week' and workspace_id = $1 and grain = 'day' and bucket >= $3 and bucket < $3 + interval '7 days'
        and dimension <> 'all'
    group by dimension, key
    union all
    select dimension, grain, (extract(epoch from bucket - $3::timestamptz) / 900)::int, key, human_link, human_qr, bot_link,
        bot_qr, human_partner
    from click_rollups
    where $2 = 'day' and workspace_id = $1 and dimension = 'all' and grain = 'quarter' and bucket >= $3
        and bucket < $3 + interval '1 day'
) cells
