-- Delivery by the hour of the click. Stored clicks are counted from the rollups and what is not folded into them yet.
with stored as (
    select date_trunc('hour', bucket, 'UTC') as hour, sum(human_link + human_qr + bot_link + bot_qr)::bigint as clicks
    from click_rollups
    where dimension = 'all' and grain = 'quarter' and bucket >= $1 and bucket < $2
    group by 1
    union all
    select date_trunc('hour', uuid_extract_timestamp(click_id), 'UTC'), count(*)
    from click_deltas
    where click_id >= uuid_at($1) and click_id < uuid_at($2)
    group by 1
), minted as (
    select hour, minted, 0 as duplicate from click_mints where hour >= $1 and hour < $2
    union all
    select hour, minted, duplicate from click_hours where hour >= $1 and hour < $2
), rejected as (
    select hour, jsonb_object_agg(reason, clicks) as by_reason, sum(readable)::bigint as readable
    from (
        select date_trunc('hour', coalesce(clicked_at, recorded_at), 'UTC') as hour, reason, count(*) as clicks,
            count(clicked_at) as readable
        from click_rejections
        where coalesce(clicked_at, recorded_at) >= $1 and coalesce(clicked_at, recorded_at) < $2
        group by 1, 2
    ) by_hour
    group by hour
)
select
    h.hour as "hour!: Timestamp",
    coalesce((select sum(m.minted) from minted m where m.hour = h.hour), 0)::bigint as "minted!",
    coalesce((select sum(s.clicks) from stored s where s.hour = h.hour), 0)::bigint as "stored!",
    coalesce((select sum(m.duplicate) from minted m where m.hour = h.hour), 0)::bigint as "duplicate!",
    coalesce((select r.by_reason from rejected r where r.hour = h.hour), '{}') as "rejected!: Json<BTreeMap<String, i64>>",
    coalesce((select r.readable from rejected r where r.hour = h.hour), 0)::bigint as "rejected_readable!"
from generate_series($1::timestamptz, $2::timestamptz - interval '1 hour', interval '1 hour') as h (hour)
order by h.hour
