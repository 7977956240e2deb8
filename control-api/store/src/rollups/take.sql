-- Takes some deltas away, from where the last fold has come to: what lies before it is emptied rows, which take time to
-- read all the same.
delete from click_deltas where ctid = any(array(select ctid from click_deltas where ctid >= $2::text::tid limit $1))
returning workspace_id, click_id, link_id, domain, slug, partner_id, partner_name, program_id, program_name, trigger, source,
    campaign, referrer_host, country, region, device, browser, os, bot, ctid::text as "place!"
