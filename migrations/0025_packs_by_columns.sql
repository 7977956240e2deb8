-- Packs are written by columns. Those that are there are made anew; until then reports read the rollups.
insert into rollup_packs_due (workspace_id, facts, grain, bucket)
select workspace_id, facts, grain, bucket from rollup_packs where grain <> 'quarter'
union
select workspace_id, facts, grain, bucket from rollup_packs_due
order by 1, 2, 3, 4
on conflict (workspace_id, facts, grain, bucket) do update set bucket = excluded.bucket;
delete from rollup_packs;

alter table rollup_packs
    -- A pack is never changed, only taken away and made anew. So this says what it holds, and an instance that has read it
    -- before need not read it again.
    add column id uuid not null default uuidv7(),
    -- An instance of the release before that still runs can't keep others: what it makes is refused, and stays due.
    add constraint rollup_packs_format check (get_byte(substr(cells, 1, 1), 0) = 2);
