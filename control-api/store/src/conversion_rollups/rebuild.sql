-- Makes one month's rollups say what its conversions say. One statement, so one snapshot: deltas that it sees are of
-- conversions that it counts, and go; one that settles meanwhile keeps its delta. Only what differs is written.
with must as materialized (
    select dimension, grain, bucket, key, bot, currency, reward_currency, nullif(substr(latest, 37), '') as label,
        substr(latest, 1, 36)::uuid as label_click_id, leads, sales, refunds, cancellations, reversals, unattributed, gross,
        negative, reward
    from (
        select dimension, grain, bucket, key, bot, currency, reward_currency,
        max(latest) as latest, sum(leads)::bigint as leads, sum(sales)::bigint as sales, sum(refunds)::bigint as refunds,
        sum(cancellations)::bigint as cancellations, sum(reversals)::bigint as reversals,
        sum(unattributed)::bigint as unattributed, sum(gross) as gross, sum(negative) as negative, sum(reward) as reward
        from conversion_entries
        where workspace_id = $1 and occurred_at >= $2 and occurred_at < $2 + interval '1 month'
        group by dimension, grain, bucket, key, bot, currency, reward_currency
    ) s
), folded as (
    delete from conversion_deltas d using conversions c
    where d.workspace_id = $1 and c.workspace_id = d.workspace_id and c.id = d.id
        and c.occurred_at >= $2 and c.occurred_at < $2 + interval '1 month'
), gone as (
    delete from conversion_rollups r
    where r.workspace_id = $1 and r.bucket >= $2 and r.bucket < $2 + interval '1 month'
        and not exists (
            select from must m
            where m.dimension = r.dimension and m.grain = r.grain and m.bucket = r.bucket and m.key = r.key and m.bot = r.bot
                and m.currency = r.currency and m.reward_currency = r.reward_currency
        )
    returning 1
), put as (
    insert into conversion_rollups as r (
        workspace_id, dimension, grain, bucket, key, bot, currency, reward_currency, label, label_click_id, leads, sales,
        refunds, cancellations, reversals, unattributed, gross, negative, reward
    )
    select $1, dimension, grain, bucket, key, bot, currency, reward_currency, label, label_click_id, leads, sales, refunds,
        cancellations, reversals, unattributed, gross, negative, reward
    from must
    on conflict (workspace_id, dimension, grain, bucket, key, bot, currency, reward_currency) do update set
        label = excluded.label,
        label_click_id = excluded.label_click_id,
        leads = excluded.leads,
        sales = excluded.sales,
        refunds = excluded.refunds,
        cancellations = excluded.cancellations,
        reversals = excluded.reversals,
        unattributed = excluded.unattributed,
        gross = excluded.gross,
        negative = excluded.negative,
        reward = excluded.reward
    where (r.label, r.label_click_id, r.leads, r.sales, r.refunds, r.cancellations, r.reversals, r.unattributed, r.gross,
            r.negative, r.reward)
        is distinct from (excluded.label, excluded.label_click_id, excluded.leads, excluded.sales, excluded.refunds,
            excluded.cancellations, excluded.reversals, excluded.unattributed, excluded.gross, excluded.negative,
            excluded.reward)
    returning 1
)
select (select count(*) from gone) + (select count(*) from put) as "changed!"
