-- Upkeep that holds up nobody, and rollups counted again as they are kept.

-- Makes the partition of the month that holds `at` (UTC), if it is missing; replaces that of 0002. A table of its own that
-- is then attached: `partition of` would lock `clicks` against everyone, and wait for every reader before. Attaching waits
-- for neither readers nor writers, and the check spares it the look at the rows.
create or replace function ensure_click_partition(at timestamptz) returns void
    language plpgsql as $$
declare
    month_start timestamptz := date_trunc('month', at, 'UTC');
    month_end timestamptz := date_trunc('month', month_start + interval '768 hours', 'UTC');
    name text := 'clicks_' || to_char(month_start at time zone 'UTC', 'YYYYMM');
begin
    if to_regclass(name) is not null then
        return;
    end if;
    -- Instances that start together take turns.
    perform pg_advisory_xact_lock(hashtextextended('clicks partitions', 0));
    if to_regclass(name) is not null then
        return;
    end if;
    execute format('create table %I (like clicks including all)', name);
    execute format('alter table %I add constraint month check (click_id >= %L and click_id < %L)',
        name, uuid_at(month_start), uuid_at(month_end));
    execute format('alter table clicks attach partition %I for values from (%L) to (%L)',
        name, uuid_at(month_start), uuid_at(month_end));
    execute format('alter table %I drop constraint month', name);
end $$;

-- What the rollups of one UTC day must hold once only the `kept` greatest values of `source` and `referrer` keep rows of
-- their own, as trimming leaves them.
create function kept_click_rollups_of_day(workspace uuid, day timestamptz, kept bigint)
returns table (
    dimension text, grain text, bucket timestamptz, key text, label text, label_click_id uuid,
    human_link bigint, human_qr bigint, bot_link bigint, bot_qr bigint, human_partner bigint
)
    language sql stable parallel safe
    as $$
    with cells as materialized (
        select * from click_rollups_of_day(workspace, day)
    ), small as (
        select v.dimension, v.key
        from (
            select c.dimension, c.key, row_number() over (
                partition by c.dimension
                order by c.human_link + c.human_qr + c.bot_link + c.bot_qr desc, c.key
            ) as place
            from cells c
            where c.grain = 'day' and c.dimension in ('source', 'referrer') and c.key not in ('none', '(other)')
        ) v
        where v.place > kept
    )
    select c.* from cells c
    where not exists (select from small s where s.dimension = c.dimension and s.key = c.key)
        and (c.key <> '(other)' or c.dimension not in ('source', 'referrer'))
    union all
    -- A visitor may have called itself so.
    select c.dimension, c.grain, c.bucket, '(other)', null, (max(array[c.label_click_id]))[1], sum(c.human_link)::bigint,
        sum(c.human_qr)::bigint, sum(c.bot_link)::bigint, sum(c.bot_qr)::bigint, sum(c.human_partner)::bigint
    from cells c
    where c.dimension in ('source', 'referrer')
        and (c.key = '(other)' or exists (select from small s where s.dimension = c.dimension and s.key = c.key))
    group by c.dimension, c.grain, c.bucket
$$;

-- Whether a workspace's clicks of a UTC day are all there: none of them was announced as gone. Asked within the statement
-- that counts them, so that both see one state.
create function clicks_are_whole(workspace uuid, day timestamptz) returns boolean
    language sql stable parallel safe
    as $$
    select exists (
        select from workspaces w
        where w.id = workspace and (w.clicks_pruned_before is null or w.clicks_pruned_before <= day)
    )
$$;
