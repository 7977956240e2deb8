-- Packs: what the rollups hold of one dimension and bucket, in one row. A month of 20,000 links is read in one row of it, not
-- in 20,000. What is packed is what has come to rest: whatever changes the rollups of a bucket takes its packs away and
-- leaves word that they are due, and until they are made anew reports read the rollups themselves.

create table rollup_packs (
    workspace_id uuid not null,
    facts text not null check (facts in ('clicks', 'conversions')),
    -- `day` and `month`: one bucket. `week`: seven days from a Monday on, added up. `quarter`: the quarter-hours of a day, of
    -- all clicks or conversions together.
    grain text not null check (grain in ('quarter', 'day', 'week', 'month')),
    bucket timestamptz not null,
    dimension text not null,
    -- As `db/packs/format.rs` writes them.
    cells bytea not null,
    -- By bucket first, because all packs of one come and go together.
    primary key (workspace_id, facts, grain, bucket, dimension)
);
-- Ids don't compress, and reading should not have to try.
alter table rollup_packs alter column cells set storage external;

-- Days, weeks and months whose packs are missing or have been taken away.
create table rollup_packs_due (
    workspace_id uuid not null,
    facts text not null check (facts in ('clicks', 'conversions')),
    grain text not null check (grain in ('day', 'week', 'month')),
    bucket timestamptz not null,
    -- Another one with each change: a pack is kept only if nothing changed while it was made.
    change uuid not null default gen_random_uuid(),
    primary key (workspace_id, facts, grain, bucket)
);

-- The rollups of a day or month have changed. Two statements in this order: where a pack is being kept at this very moment,
-- the first one waits for that, and the second one sees it.
create function rollups_changed(workspace uuid, of text, changed_grain text, changed_bucket timestamptz) returns void
    language plpgsql as $$
declare
    week timestamptz := date_trunc('week', changed_bucket, 'UTC');
begin
    insert into rollup_packs_due (workspace_id, facts, grain, bucket)
    select workspace, of, changed_grain, changed_bucket
    union all
    select workspace, of, 'week', week where changed_grain = 'day'
    on conflict (workspace_id, facts, grain, bucket) do update set change = default;
    delete from rollup_packs
    where workspace_id = workspace and facts = of
        and case when changed_grain = 'day' then (grain in ('quarter', 'day') and bucket = changed_bucket)
                or (grain = 'week' and bucket = week)
            else grain = changed_grain and bucket = changed_bucket end;
end $$;

-- Whatever is counted counts in `all` too, and that is few rows: they tell of every fold, by whichever release.
create function note_changed_rollups() returns trigger
    language plpgsql as $$
declare
    changed record := coalesce(new, old);
begin
    if changed.grain <> 'quarter' then
        perform rollups_changed(changed.workspace_id, tg_argv[0], changed.grain, changed.bucket);
    end if;
    return null;
end $$;
create trigger rollups_changed after insert or update or delete on click_rollups_all_day
    for each row execute function note_changed_rollups('clicks');
create trigger rollups_changed after insert or update or delete on click_rollups_all_month
    for each row execute function note_changed_rollups('clicks');
create trigger rollups_changed after insert or update or delete on conversion_rollups_all
    for each row execute function note_changed_rollups('conversions');

with changed as (
    select workspace_id, 'clicks' as facts, grain, bucket from click_rollups
    where dimension = 'all' and grain in ('day', 'month')
    union
    select workspace_id, 'conversions', grain, bucket from conversion_rollups
    where dimension = 'all' and grain in ('day', 'month')
)
insert into rollup_packs_due (workspace_id, facts, grain, bucket)
select * from changed
union
select workspace_id, facts, 'week', date_trunc('week', bucket, 'UTC') from changed where grain = 'day';
