-- Adds cells to the rollups.
insert into conversion_rollups as r (
    workspace_id, dimension, grain, bucket, key, bot, currency, reward_currency, label, label_click_id, leads, sales, refunds,
    cancellations, reversals, unattributed, gross, negative, reward
)
select workspace, dimension, grain, bucket, key, bot, currency, reward_currency, label, latest, leads, sales, refunds,
    cancellations, reversals, unattributed, gross::numeric, negative::numeric, reward::numeric
from unnest(
    $1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::bool[], $7::text[], $8::text[], $9::text[],
    $10::uuid[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[], $17::text[],
    $18::text[], $19::text[]
) as cells (
    workspace, dimension, grain, bucket, key, bot, currency, reward_currency, label, latest, leads, sales, refunds,
    cancellations, reversals, unattributed, gross, negative, reward
)
on conflict (workspace_id, dimension, grain, bucket, key, bot, currency, reward_currency) do update set
    leads = r.leads + excluded.leads,
    sales = r.sales + excluded.sales,
    refunds = r.refunds + excluded.refunds,
    cancellations = r.cancellations + excluded.cancellations,
    reversals = r.reversals + excluded.reversals,
    unattributed = r.unattributed + excluded.unattributed,
    gross = r.gross + excluded.gross,
    negative = r.negative + excluded.negative,
    reward = r.reward + excluded.reward,
    label = case when excluded.label_click_id >= r.label_click_id then excluded.label else r.label end,
    label_click_id = greatest(excluded.label_click_id, r.label_click_id)
