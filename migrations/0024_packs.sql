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

-- Days, weeks and months whose packs are missing or have been taken away. What is in neither table has no rollups.
create table rollup_packs_due (
    workspace_id uuid not null,
    facts text not null check (facts in ('clicks', 'conversions')),
    grain text not null check (grain in ('day', 'week', 'month')),
    bucket timestamptz not null,
    primary key (workspace_id, facts, grain, bucket)
);

-- The rollups of a day or month have changed. The note is written also where there is one: whoever makes packs from what was
-- there before takes it away at the end, and fails on that. Two statements in this order: where packs are being kept at this
-- very moment, the first one waits for that, and the second one sees them.
create function rollups_changed(workspace uuid, of text, changed_grain text, changed_bucket timestamptz) returns void
    language plpgsql as $$
declare
    week timestamptz := date_trunc('week', changed_bucket, 'UTC');
begin
    insert into rollup_packs_due (workspace_id, facts, grain, bucket)
    select workspace, of, changed_grain, changed_bucket
    union all
    select workspace, of, 'week', week where changed_grain = 'day'
    on conflict (workspace_id, facts, grain, bucket) do update set bucket = excluded.bucket;
    delete from rollup_packs p
    using (values (changed_grain, changed_bucket), ('quarter', changed_bucket), ('week', week)) as gone (grain, bucket)
    where p.workspace_id = workspace and p.facts = of and p.grain = gone.grain and p.bucket = gone.bucket
        and (changed_grain = 'day' or gone.grain = changed_grain);
end $$;

-- Whatever is counted counts in `all` too, and that is few rows: they tell of every fold, by whichever release. Trimming
-- changes none of them, but always `(other)`. Repairs say so themselves.
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
create trigger rollups_trimmed after insert or update on click_rollups_others_day
    for each row when (new.key = '(other)') execute function note_changed_rollups('clicks');
create trigger rollups_trimmed after insert or update on click_rollups_others_month
    for each row when (new.key = '(other)') execute function note_changed_rollups('clicks');
create trigger rollups_trimmed after insert or update on click_rollups_referrer_day
    for each row when (new.key = '(other)') execute function note_changed_rollups('clicks');
create trigger rollups_trimmed after insert or update on click_rollups_referrer_month
    for each row when (new.key = '(other)') execute function note_changed_rollups('clicks');
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
