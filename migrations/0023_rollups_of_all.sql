-- What is counted of all clicks together lies by itself too: a quarter-hour of it is one row, and among those of the other
-- dimensions each lay on a page of its own. A year by the hour read 32,000 pages for as many rows.
--
-- Reports and folding wait meanwhile; redirects and ingest touch no rollup.

drop index click_rollups_all;

create table click_rollups_all (
    like click_rollups including comments including constraints,
    primary key (workspace_id, dimension, grain, bucket, key)
) partition by list (grain);
create table click_rollups_all_quarter partition of click_rollups_all for values in ('quarter') with (fillfactor = 80);
create table click_rollups_all_day partition of click_rollups_all for values in ('day') with (fillfactor = 80);
create table click_rollups_all_month partition of click_rollups_all for values in ('month') with (fillfactor = 80);

insert into click_rollups_all select * from click_rollups_others where dimension = 'all' order by bucket;
delete from click_rollups_others where dimension = 'all';
alter table click_rollups attach partition click_rollups_all for values in ('all');

-- Of every workspace, for what was stored in an hour (`db/delivery/hours.sql`).
create index click_rollups_of_hours on click_rollups_all_quarter (bucket);

analyze click_rollups_all;
