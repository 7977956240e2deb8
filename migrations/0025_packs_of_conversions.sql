-- Packs of conversions say first what their groups are ranked by, and keep the rest apart, to be skipped. Those that are there
-- are made anew; until then reports read the rollups.
insert into rollup_packs_due (workspace_id, facts, grain, bucket)
select workspace_id, facts, grain, bucket from rollup_packs where facts = 'conversions' and grain <> 'quarter'
union
select workspace_id, facts, grain, bucket from rollup_packs_due where facts = 'conversions'
order by 1, 2, 3, 4
on conflict (workspace_id, facts, grain, bucket) do update set bucket = excluded.bucket;
delete from rollup_packs where facts = 'conversions';

-- An instance of the release before that still runs can't keep others: what it makes is refused, and stays due.
alter table rollup_packs add constraint rollup_packs_format
    check (get_byte(substr(cells, 1, 1), 0) = case facts when 'clicks' then 1 else 2 end);
