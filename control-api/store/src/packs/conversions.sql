-- The cells that one bucket's packs of conversions are made of: of each dimension, and of a day all its quarter-hours. The
-- rollups have no days but those of all conversions together, so days and weeks are summed from the conversions that are
-- folded. `part` is the quarter-hour of the day.
select dimension as "dimension!", grain as "grain!: Grain", part as "part!", key as "key!", bot as "bot!",
    currency as "currency!", reward_currency as "reward_currency!", click as "click!", coalesce(label, '') as "label!",
    leads as "leads!", sales as "sales!", refunds as "refunds!", cancellations as "cancellations!",
    reversals as "reversals!", gross::text as "gross!", negative::text as "negative!", reward::text as "reward!"
from (
    select dimension, grain, 0 as part, key, bot, currency, reward_currency, label_click_id as click, label, leads, sales,
        refunds, cancellations, reversals, gross, negative, reward
    from conversion_rollups
    where $2 = 'month' and workspace_id = $1 and grain = 'month' and bucket = $3 and dimension <> 'all'
    union all
    select dimension, grain, (extract(epoch from bucket - $3::timestamptz) / 900)::int, key, bot, currency, reward_currency,
        label_click_id, label, leads, sales, refunds, cancellations, reversals, gross, negative, reward
    from conversion_rollups
    where $2 = 'day' and workspace_id = $1 and dimension = 'all' and grain = 'quarter' and bucket >= $3
        and bucket < $3 + interval '1 day'
    union all
    select dimension, $2, 0, key, bot, currency, reward_currency, substr(max(latest), 1, 36)::uuid,
        substr(max(latest), 37), sum(leads)::bigint, sum(sales)::bigint, sum(refunds)::bigint, sum(cancellations)::bigint,
        sum(reversals)::bigint, sum(gross), sum(negative), sum(reward)
    from conversion_entries e
    where $2 in ('day', 'week') and workspace_id = $1 and occurred_at >= $3
        and occurred_at < $3 + case $2 when 'day' then interval '1 day' else interval '7 days' end
        and dimension <> 'all' and grain = 'month'
        and not exists (select from conversion_deltas d where d.workspace_id = e.workspace_id and d.id = e.id)
    group by dimension, key, bot, currency, reward_currency
) cells
-- What is credited to nobody is not shown.
where leads + sales + refunds + cancellations + reversals > 0
