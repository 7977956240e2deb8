-- Ingest at scale: the same rollups for less.

-- What a click counts as, said once as before, and faster: a list of VALUES is prepared anew for every click it is asked
-- about, arrays are not.
create or replace function click_cells(
    link_id uuid, domain text, slug text, partner_id uuid, partner_name text, program_id uuid, program_name text,
    trigger text, source text, campaign text, referrer_host text, country text, region text, device text, browser text,
    os text
) returns table (dimension text, key text, label text)
    language sql immutable parallel safe
    as $$ select * from unnest(
        array['all', 'partner', 'program', 'link', 'domain', 'trigger', 'source', 'campaign', 'referrer', 'country',
            'region', 'device', 'browser', 'os'],
        array['all', coalesce(partner_id::text, 'none'), coalesce(program_id::text, 'none'), link_id::text, domain, trigger,
            coalesce(source, 'none'), coalesce(campaign, 'none'), coalesce(referrer_host, 'none'),
            coalesce(country, 'none'), coalesce(country || '-' || region, 'none'), device, browser, os],
        array[null, partner_name, program_name, domain || '/' || slug]
    ) as cells (dimension, key, label) $$;

-- Deltas come and go. The compactor vacuums what it has emptied (no table grows with the clicks that went through it);
-- this is for the rest of it.
alter table click_deltas set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 50000,
    autovacuum_vacuum_insert_threshold = -1);
