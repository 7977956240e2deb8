-- One day's clicks. A twentieth of them is given twice, as queues do; the store takes each once.
with numbers as (
    select n, d.start, b.upto as hours
    from numbered d, hour_bounds b, generate_series(d.first, d.last) n
    where d.day = ${day}
), moments as (
    select n,
        start + make_interval(hours => width_bucket(pg_temp.r(n, 1), hours), secs => 3600 * pg_temp.r(n, 2)) as at,
        pg_temp.zipf(n, 3, ${links}) as link,
        -- A fifth is bots.
        case when pg_temp.r(n, 4) < 0.2
            then pg_temp.word(n, 5, '{crawler,preview,library,monitor,prefetch,probe}') end as bot,
        pg_temp.word(n, 7, '{mobile,desktop,tablet,other}') as device
    from numbers
), identified as (
    select pg_temp.uuid_of(at, n, 20) as click_id, * from moments
)
insert into clicks (
    workspace_id, click_id, link_id, domain, slug, destination, assignment_id, partner_id, partner_key, partner_name,
    program_id, program_key, program_name, trigger, source, utm_source, utm_medium, utm_campaign, referrer_host, country,
    region, city, device, browser, os, bot_reason, token_reason, colo, record_version, recorded_at
)
select w.id, click_id, f.link_id, f.domain, f.slug, f.destination, f.assignment_id, f.partner_id, f.partner_key,
    f.partner_name, f.program_id, f.program_key, f.program_name,
    case when pg_temp.r(n, 8) < 0.1 then 'qr' else 'link' end,
    case when pg_temp.r(n, 9) < 0.5
        then pg_temp.word(n, 12, '{newsletter,instagram,youtube,tiktok,blog,podcast,x,reddit,linkedin,forum}') end,
    'partner', 'referral', 'season-' || 1 + c.link % 8,
    case when pg_temp.r(n, 13) < 0.6 then 'site-' || pg_temp.zipf(n, 14, 3000) || '.example.org' end,
    pg_temp.word(n, 6, '{US,DE,GB,JP,FR,IN,BR,CA,AU,NL,ES,IT,SE,PL,MX,KR,CH,AT,BE,DK,NO,FI,IE,PT,CZ,SG,ZA,NZ,AE,TR}'),
    'R' || pg_temp.zipf(n, 15, 12), 'City ' || pg_temp.zipf(n, 16, 400), device,
    case when device = 'mobile' then pg_temp.word(n, 17, '{safari,chrome,in_app,samsung,firefox}')
        else pg_temp.word(n, 17, '{chrome,edge,safari,firefox,opera}') end,
    case when device = 'mobile' then pg_temp.word(n, 18, '{ios,android}')
        else pg_temp.word(n, 18, '{windows,macos,linux,chromeos}') end,
    bot, case when bot is null then 'appended' else 'bot' end, 'FRA', 1,
    -- One in a hundred is hours late, but none is yet to come.
    least(at + make_interval(secs => case when pg_temp.r(n, 19) < 0.01 then 36000 * pg_temp.r(n, 21) else 2 end),
        greatest(at, now()))
from (select * from identified union all select * from identified where n % 20 = 0) c
join link_facts f on f.link = c.link
cross join w
order by click_id
on conflict do nothing;
