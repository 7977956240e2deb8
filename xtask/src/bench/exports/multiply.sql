-- Copies of conversions, until there are so many; each copy some minutes later than the one before it.
create temp table sums as
    select count(*)::int as have, greatest(0, ${rows} - count(*))::int as lack from conversions where status = 'attributed';
create temp table numbered as
    select row_number() over (order by id) - 1 as n, c.* from conversions c where status = 'attributed';
create temp table made as
    select i, s.have, n.* from sums s
    cross join lateral generate_series(0, s.lack - 1) i
    join numbered n on n.n = i % s.have;
alter table made drop column n;
update made set event_id = event_id || '-' || i, order_id = order_id || '-' || i, customer_id = customer_id || '-' || i,
    original_event_id = original_event_id || '-' || i, original_id = null,
    occurred_at = occurred_at + make_interval(mins => i / have), id = gen_random_uuid();
alter table made drop column i, drop column have;
insert into conversions select * from made;
drop table made, numbered, sums;
