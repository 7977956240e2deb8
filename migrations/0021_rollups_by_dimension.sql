-- Rollups lie by what is read together. In one table the rows of a dimension and grain lay a page apart, because whatever is
-- counted at the same time was written side by side; a report read a page for each row. Each leaf holds one grain of one
-- dimension that has many keys, or of all the others, in the order of time.
--
-- The tables are written anew. Reports and folding wait for that meanwhile; redirects and ingest touch neither table.

alter table click_rollups rename to click_rollups_before;
alter table click_rollups_before rename constraint click_rollups_pkey to click_rollups_before_pkey;
drop index click_rollups_all;

create table click_rollups (
    like click_rollups_before including comments including constraints,
    primary key (workspace_id, dimension, grain, bucket, key)
) partition by list (dimension);

do $$
declare
    part record;
    grain text;
begin
    for part in
        select * from (values
            ('partner', 'for values in (''partner'')'),
            ('link', 'for values in (''link'')'),
            ('referrer', 'for values in (''referrer'')'),
            ('others', 'default')
        ) as parts (name, of)
    loop
        execute format('create table click_rollups_%s partition of click_rollups %s partition by list (grain)',
            part.name, part.of);
        foreach grain in array array['quarter', 'day', 'month'] loop
            -- Counts grow in place while there is room on their page.
            execute format('create table click_rollups_%1$s_%2$s partition of click_rollups_%1$s for values in (%2$L)
                with (fillfactor = 80)', part.name, grain);
        end loop;
    end loop;
end $$;

-- Of every workspace, for what was stored in an hour (`db/delivery/hours.sql`).
create index click_rollups_all on click_rollups_others_quarter (bucket) where dimension = 'all' and grain = 'quarter';

insert into click_rollups select * from click_rollups_before order by bucket, dimension;
drop table click_rollups_before;

alter table conversion_rollups rename to conversion_rollups_before;
alter table conversion_rollups_before rename constraint conversion_rollups_pkey to conversion_rollups_before_pkey;

create table conversion_rollups (
    like conversion_rollups_before including comments including constraints,
    primary key (workspace_id, dimension, grain, bucket, key, bot, currency, reward_currency)
) partition by list (dimension);
create table conversion_rollups_all partition of conversion_rollups for values in ('all') with (fillfactor = 80);
create table conversion_rollups_partner partition of conversion_rollups for values in ('partner') with (fillfactor = 80);
create table conversion_rollups_link partition of conversion_rollups for values in ('link') with (fillfactor = 80);
create table conversion_rollups_others partition of conversion_rollups default with (fillfactor = 80);

insert into conversion_rollups select * from conversion_rollups_before order by bucket, dimension;
drop table conversion_rollups_before;

-- Nothing is known of the new tables yet, and a plan made without knowing may be very slow.
analyze click_rollups;
analyze conversion_rollups;
