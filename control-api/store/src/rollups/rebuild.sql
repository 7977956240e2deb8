-- Makes one day's rollups say what its clicks say, trimmed where the day is one that trimming has been at; nothing where
-- clicks of it are gone by now. One statement, so one snapshot: deltas that it sees are of clicks
-- that it counts, and go; a click that is stored meanwhile keeps its delta. Only what differs is written, and the month
-- follows by as much as its day has changed, so that it is their sum all the while.
with whole as materialized (
    select clicks_are_whole($1, $2) as day
), must as materialized (
    select r.* from whole cross join lateral kept_click_rollups_of_day($1, $2, $3) r where whole.day
), folded as (
    delete from click_deltas
    where workspace_id = $1 and click_id >= uuid_at($2) and click_id < uuid_at($2 + interval '1 day')
        and (select day from whole)
), gone as (
    delete from click_rollups r
    where r.workspace_id = $1 and r.grain <> 'month' and r.bucket >= $2 and r.bucket < $2 + interval '1 day'
        and (select day from whole)
        and not exists (
            select from must m
            where m.dimension = r.dimension and m.grain = r.grain and m.bucket = r.bucket and m.key = r.key
        )
    returning dimension, grain, key, null::text as label, '00000000-0000-0000-0000-000000000000'::uuid as label_click_id,
        -human_link as human_link, -human_qr as human_qr, -bot_link as bot_link, -bot_qr as bot_qr,
        -human_partner as human_partner
), put as (
    insert into click_rollups as r (
        workspace_id, dimension, grain, bucket, key, label, label_click_id, human_link, human_qr, bot_link, bot_qr,
        human_partner
    )
    select $1, m.* from (
        select dimension, grain, bucket, key, label, label_click_id, human_link, human_qr, bot_link, bot_qr, human_partner
        from must
    ) m
    on conflict (workspace_id, dimension, grain, bucket, key) do update set
        human_link = excluded.human_link,
        human_qr = excluded.human_qr,
        bot_link = excluded.bot_link,
        bot_qr = excluded.bot_qr,
        human_partner = excluded.human_partner,
        label = excluded.label,
        label_click_id = excluded.label_click_id
    where (r.human_link, r.human_qr, r.bot_link, r.bot_qr, r.human_partner, r.label, r.label_click_id)
        is distinct from (
            excluded.human_link, excluded.human_qr, excluded.bot_link, excluded.bot_qr, excluded.human_partner,
            excluded.label, excluded.label_click_id
        )
    returning r.dimension, r.grain, r.key, r.label, r.label_click_id,
        new.human_link - coalesce(old.human_link, 0) as human_link,
        new.human_qr - coalesce(old.human_qr, 0) as human_qr,
        new.bot_link - coalesce(old.bot_link, 0) as bot_link,
        new.bot_qr - coalesce(old.bot_qr, 0) as bot_qr,
        new.human_partner - coalesce(old.human_partner, 0) as human_partner
), month as (
    insert into click_rollups as r (
        workspace_id, dimension, grain, bucket, key, label, label_click_id, human_link, human_qr, bot_link, bot_qr,
        human_partner
    )
    select $1, dimension, 'month', date_trunc('month', $2::timestamptz, 'UTC'), key, label, label_click_id, human_link,
        human_qr, bot_link, bot_qr, human_partner
    from (select * from gone union all select * from put) c
    where grain = 'day'
    on conflict (workspace_id, dimension, grain, bucket, key) do update set
        human_link = r.human_link + excluded.human_link,
        human_qr = r.human_qr + excluded.human_qr,
        bot_link = r.bot_link + excluded.bot_link,
        bot_qr = r.bot_qr + excluded.bot_qr,
        human_partner = r.human_partner + excluded.human_partner,
        label = case when excluded.label_click_id >= r.label_click_id then excluded.label else r.label end,
        label_click_id = greatest(excluded.label_click_id, r.label_click_id)
)
select (select count(*) from gone) + (select count(*) from put) as "changed!"
