-- The cells that one bucket's packs of clicks are made of: of each dimension, and of a day all its quarter-hours.
select dimension as "dimension!", grain as "grain!", 0 as "quarter!", key as "key!", human_link as "human_link!",
    human_qr as "human_qr!", bot_link as "bot_link!", bot_qr as "bot_qr!", human_partner as "human_partner!"
from click_rollups
where workspace_id = $1 and grain = $2 and bucket = $3 and dimension <> 'all'
union all
select dimension, grain, (extract(epoch from bucket - $3::timestamptz) / 900)::int, key, human_link, human_qr, bot_link,
    bot_qr, human_partner
from click_rollups
where $2 = 'day' and workspace_id = $1 and dimension = 'all' and grain = 'quarter' and bucket >= $3
    and bucket < $3 + interval '1 day'
order by 1, 2, 3, 4
