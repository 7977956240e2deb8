-- Counts where one month's rollups and its deltas together differ from its conversions.
with said as (
    select dimension, grain, bucket, key, bot, currency, reward_currency, leads, sales, refunds, cancellations, reversals,
        unattributed, gross, negative, reward
    from conversion_rollups
    where workspace_id = $1 and bucket >= $2 and bucket < $2 + interval '1 month'
    union all
    select dimension, grain, bucket, key, bot, currency, reward_currency, leads, sales, refunds, cancellations, reversals,
        unattributed, gross, negative, reward
    from conversion_deltas d
    join conversion_entries e on e.workspace_id = d.workspace_id and e.id = d.id
    where d.workspace_id = $1 and e.occurred_at >= $2 and e.occurred_at < $2 + interval '1 month'
    union all
    select dimension, grain, bucket, key, bot, currency, reward_currency, -leads, -sales, -refunds, -cancellations,
        -reversals, -unattributed, -gross, -negative, -reward
    from conversion_entries
    where workspace_id = $1 and occurred_at >= $2 and occurred_at < $2 + interval '1 month'
), differences as (
    select 1 from said
    group by dimension, grain, bucket, key, bot, currency, reward_currency
    having sum(leads) <> 0 or sum(sales) <> 0 or sum(refunds) <> 0 or sum(cancellations) <> 0 or sum(reversals) <> 0
        or sum(unattributed) <> 0 or sum(gross) <> 0 or sum(negative) <> 0 or sum(reward) <> 0
)
select count(*) as "differences!" from differences
