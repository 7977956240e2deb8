-- Takes some deltas away and adds their conversions to the rollups.
with taken as materialized (
    delete from conversion_deltas where ctid = any(array(select ctid from conversion_deltas limit $1))
    returning workspace_id, id
), cells as (
    select e.workspace_id, dimension, grain, bucket, key, bot, currency, reward_currency,
        max(latest) as latest, sum(leads)::bigint as leads, sum(sales)::bigint as sales, sum(refunds)::bigint as refunds,
        sum(cancellations)::bigint as cancellations, sum(reversals)::bigint as reversals,
        sum(unattributed)::bigint as unattributed, sum(gross) as gross, sum(negative) as negative, sum(reward) as reward
    from taken t
    join conversion_entries e on e.workspace_id = t.workspace_id and e.id = t.id
    group by e.workspace_id, dimension, grain, bucket, key, bot, currency, reward_currency
), added as (
    insert into conversion_rollups as r (
        workspace_id, dimension, grain, bucket, key, bot, currency, reward_currency, label, label_click_id, leads, sales,
        refunds, cancellations, reversals, unattributed, gross, negative, reward
    )
    select workspace_id, dimension, grain, bucket, key, bot, currency, reward_currency, nullif(substr(latest, 37), ''),
        substr(latest, 1, 36)::uuid, leads, sales, refunds, cancellations, reversals, unattributed, gross, negative, reward
    from cells
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
)
select count(*) as "folded!" from taken
