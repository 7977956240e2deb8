-- Makes one day's rollups say what its clicks say. One statement, so one snapshot: deltas that it sees are of clicks
-- that it counts, and go; a click that is stored meanwhile keeps its delta. Only what differs is written.
with must as materialized (
    select * from click_rollups_of_day($1, $2)
), folded as (
    delete from click_deltas
    where workspace_id = $1 and click_id >= uuid_at($2) and click_id < uuid_at($2 + interval '1 day')
), gone as (
    delete from click_rollups r
    where r.workspace_id = $1 and r.bucket >= $2 and r.bucket < $2 + interval '1 day'
        and not exists (
            select from must m
            where m.dimension = r.dimension and m.grain = r.grain and m.bucket = r.bucket and m.key = r.key
        )
    returning 1
), put as (
    insert into click_rollups as r (
        workspace_id, dimension, grain, bucket, key, label, label_click_id, human_link, human_qr, bot_link, bot_qr
    )
    select $1, m.* from (
        select dimension, grain, bucket, key, label, label_click_id, human_link, human_qr, bot_link, bot_qr from must
    ) m
    on conflict (workspace_id, dimension, grain, bucket, key) do update set
        human_link = excluded.human_link,
        human_qr = excluded.human_qr,
        bot_link = excluded.bot_link,
        bot_qr = excluded.bot_qr,
        label = excluded.label,
        label_click_id = excluded.label_click_id
    where (r.human_link, r.human_qr, r.bot_link, r.bot_qr, r.label, r.label_click_id)
        is distinct from (
            excluded.human_link, excluded.human_qr, excluded.bot_link, excluded.bot_qr, excluded.label,
            excluded.label_click_id
        )
    returning 1
)
select (select count(*) from gone) + (select count(*) from put) as "changed!"
