-- Makes the rollups of one month the sum of its days. Only what differs is written.
with must as materialized (
    select dimension, key, max((label_click_id::text || coalesce(label, '')) collate "C") as latest,
        sum(human_link)::bigint as human_link, sum(human_qr)::bigint as human_qr, sum(bot_link)::bigint as bot_link,
        sum(bot_qr)::bigint as bot_qr, sum(human_partner)::bigint as human_partner
    from click_rollups
    where workspace_id = $1 and grain = 'day' and bucket >= $2 and bucket < $2 + interval '1 month'
    group by dimension, key
), gone as (
    delete from click_rollups r
    where r.workspace_id = $1 and r.grain = 'month' and r.bucket = $2
        and not exists (select from must m where m.dimension = r.dimension and m.key = r.key)
    returning 1
), put as (
    insert into click_rollups as r (
        workspace_id, dimension, grain, bucket, key, label, label_click_id, human_link, human_qr, bot_link, bot_qr,
        human_partner
    )
    select $1, dimension, 'month', $2, key, nullif(substr(latest, 37), ''), substr(latest, 1, 36)::uuid, human_link,
        human_qr, bot_link, bot_qr, human_partner
    from must
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
    returning 1
)
select (select count(*) from gone) + (select count(*) from put) as "changed!"
