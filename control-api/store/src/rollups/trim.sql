-- Keeps the greatest values of one dimension and day and adds the rest together as `(other)`, in the day's month too.
-- What that leaves in the month of a value may be nothing; `trim_month.sql` removes it.
with kept as materialized (
    select key from click_rollups
    where workspace_id = $1 and dimension = $2 and grain = 'day' and bucket = $3 and key not in ('none', '(other)')
    order by human_link + human_qr + bot_link + bot_qr desc, key
    limit $4
), gone as (
    delete from click_rollups
    where workspace_id = $1 and dimension = $2 and grain <> 'month' and bucket >= $3 and bucket < $3 + interval '1 day'
        and key not in ('none', '(other)') and key not in (select key from kept)
    returning grain, bucket, key, label_click_id, human_link, human_qr, bot_link, bot_qr, human_partner
), lessened as (
    update click_rollups r set
        human_link = r.human_link - g.human_link,
        human_qr = r.human_qr - g.human_qr,
        bot_link = r.bot_link - g.bot_link,
        bot_qr = r.bot_qr - g.bot_qr,
        human_partner = r.human_partner - g.human_partner
    from gone g
    where g.grain = 'day' and r.workspace_id = $1 and r.dimension = $2 and r.grain = 'month'
        and r.bucket = date_trunc('month', $3::timestamptz, 'UTC') and r.key = g.key
), moved as (
    select grain, bucket, label_click_id, human_link, human_qr, bot_link, bot_qr, human_partner from gone
    union all
    select 'month', date_trunc('month', $3::timestamptz, 'UTC'), label_click_id, human_link, human_qr, bot_link, bot_qr,
        human_partner
    from gone where grain = 'day'
)
insert into click_rollups as r (
    workspace_id, dimension, grain, bucket, key, label_click_id, human_link, human_qr, bot_link, bot_qr, human_partner
)
select $1, $2, grain, bucket, '(other)', (max(array[label_click_id]))[1], sum(human_link), sum(human_qr), sum(bot_link),
    sum(bot_qr), sum(human_partner)
from moved
group by grain, bucket
on conflict (workspace_id, dimension, grain, bucket, key) do update set
    human_link = r.human_link + excluded.human_link,
    human_qr = r.human_qr + excluded.human_qr,
    bot_link = r.bot_link + excluded.bot_link,
    bot_qr = r.bot_qr + excluded.bot_qr,
    human_partner = r.human_partner + excluded.human_partner,
    label_click_id = greatest(excluded.label_click_id, r.label_click_id)
