-- Keeps the greatest values of one dimension and day and adds the rest together as `(other)`.
with kept as materialized (
    select key from click_rollups
    where workspace_id = $1 and dimension = $2 and grain = 'day' and bucket = $3 and key not in ('none', '(other)')
    order by human_link + human_qr + bot_link + bot_qr desc, key
    limit $4
), gone as (
    delete from click_rollups
    where workspace_id = $1 and dimension = $2 and bucket >= $3 and bucket < $3 + interval '1 day'
        and key not in ('none', '(other)') and key not in (select key from kept)
    returning grain, bucket, label_click_id, human_link, human_qr, bot_link, bot_qr
)
insert into click_rollups as r (
    workspace_id, dimension, grain, bucket, key, label_click_id, human_link, human_qr, bot_link, bot_qr
)
select $1, $2, grain, bucket, '(other)', (max(array[label_click_id]))[1], sum(human_link), sum(human_qr), sum(bot_link),
    sum(bot_qr)
from gone
group by grain, bucket
on conflict (workspace_id, dimension, grain, bucket, key) do update set
    human_link = r.human_link + excluded.human_link,
    human_qr = r.human_qr + excluded.human_qr,
    bot_link = r.bot_link + excluded.bot_link,
    bot_qr = r.bot_qr + excluded.bot_qr,
    label_click_id = greatest(excluded.label_click_id, r.label_click_id)
