-- A workspace with programs, partners, a domain, links, assignments, a source, and an admin key that is known.
create temp table w as select pg_temp.setup_id(0, 0) as id, timestamptz '${start}' as started;

insert into workspaces (
    id, slug, name, plan, access_partner_setup, access_partner_reporting, access_partner_conversion_reporting,
    access_partner_exports
) select id, 'generated-${seed}', 'Generated ${seed}', 'enterprise', true, true, true, true from w;
insert into api_keys (workspace_id, id, name, role, can_export, prefix, hash)
    select id, pg_temp.setup_id(1, 0), 'generated', 'admin', true, left('${key}', 12), sha256('${key}') from w;
insert into programs (workspace_id, id, key, name, kind)
    select w.id, pg_temp.setup_id(2, n), 'program-' || n, 'Program ' || n, 'affiliate' from w, generate_series(1, 16) n;
insert into program_reward_terms (workspace_id, program_id, version, basis, rate_bps, applies_to, hold_days, started_at)
    select w.id, pg_temp.setup_id(2, n), 1, 'percentage', 1000, '{sale}', 30, w.started from w, generate_series(1, 16) n;
insert into partners (workspace_id, id, key, display_name, tags)
    select w.id, pg_temp.setup_id(3, n), 'partner-' || n, 'Partner ' || n,
        case n % 4 when 0 then '{vip}' when 1 then '{eu,creator}' else '{}' end::text[]
    from w, generate_series(1, ${partners}) n;
insert into domains (workspace_id, id, hostname)
    select id, pg_temp.setup_id(4, 0), 'generated-${seed}.example.com' from w;
insert into links (workspace_id, id, domain_id, slug, destination)
    select w.id, pg_temp.setup_id(5, n), pg_temp.setup_id(4, 0), 'l' || n, 'https://shop.example.com/p/' || n
    from w, generate_series(1, ${links}) n;
insert into assignments (workspace_id, id, link_id, partner_id, program_id, started_at, actor_key_id)
    select w.id, pg_temp.setup_id(6, n), pg_temp.setup_id(5, n), pg_temp.setup_id(3, pg_temp.partner_of(n)),
        pg_temp.setup_id(2, pg_temp.program_of(pg_temp.partner_of(n))), w.started, pg_temp.setup_id(1, 0)
    from w, generate_series(1, ${links}) n where pg_temp.partner_of(n) is not null;
insert into sources (workspace_id, id, name) select id, pg_temp.setup_id(7, 0), 'generated' from w;

-- How much of the traffic falls on each day: it grows over the time, and weekends are quiet.
create temp table days as
select day, w.started + make_interval(days => day) as start,
    (0.5 + day::float8 / ${days}) * (array[0.7, 1.1, 1.2, 1.2, 1.1, 1.0, 0.7])[1 + extract(dow from w.started + make_interval(days => day))::int] as weight
from w, generate_series(0, ${days} - 1) as day;
select count(ensure_click_partition(start)::text) from days;
-- Clicks of a day have the numbers from first to last.
create temp table numbered as
select day, start,
    coalesce(lag(upto) over (order by day), 0) + 1 as first,
    upto as last
from (
    select day, start, round(${clicks} * sum(weight) over (order by day) / sum(weight) over ())::bigint as upto from days
) d;
create temp table hours as
select hour, sum(weight) over (order by hour) / sum(weight) over () as upto
from unnest(array[1, 1, 1, 1, 1, 2, 3, 5, 7, 8, 8, 8, 9, 9, 8, 8, 8, 8, 9, 10, 10, 8, 5, 3]::float8[]) with ordinality as h (weight, hour);
create temp table hour_bounds as select array_agg(upto::float8 order by hour) as upto from hours;
-- What a click copies of its link.
create temp table link_facts as
select n as link, l.id as link_id, d.hostname as domain, l.slug, l.destination, a.id as assignment_id, a.partner_id,
    p.key as partner_key, p.display_name as partner_name, a.program_id, g.key as program_key, g.name as program_name
from generate_series(1, ${links}) n
join links l on l.workspace_id = (select id from w) and l.id = pg_temp.setup_id(5, n)
join domains d on d.workspace_id = l.workspace_id and d.id = l.domain_id
left join assignments a on a.workspace_id = l.workspace_id and a.link_id = l.id
left join partners p on p.workspace_id = l.workspace_id and p.id = a.partner_id
left join programs g on g.workspace_id = l.workspace_id and g.id = a.program_id;
create unique index on link_facts (link);
analyze link_facts;
analyze numbered;
