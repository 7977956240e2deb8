-- Adds cells to the rollups.
insert into click_rollups as r (
    workspace_id, dimension, grain, bucket, key, label, label_click_id, human_link, human_qr, bot_link, bot_qr,
    human_partner
)
select * from unnest(
    $1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::text[], $7::uuid[], $8::bigint[], $9::bigint[],
    $10::bigint[], $11::bigint[], $12::bigint[]
)
on conflict (workspace_id, dimension, grain, bucket, key) do update set
    human_link = r.human_link + excluded.human_link,
    human_qr = r.human_qr + excluded.human_qr,
    bot_link = r.bot_link + excluded.bot_link,
    bot_qr = r.bot_qr + excluded.bot_qr,
    human_partner = r.human_partner + excluded.human_partner,
    label = case when excluded.label_click_id > r.label_click_id then excluded.label else r.label end,
    label_click_id = greatest(excluded.label_click_id, r.label_click_id)
