-- Stores new clicks and appends a delta for each in the same statement, so that rows and rollups can't differ.
with stored as (
    insert into clicks (
        workspace_id, click_id, link_id, domain, slug, destination, assignment_id, partner_id, partner_key, partner_name,
        program_id, program_key, program_name, trigger, source, utm_source, utm_medium, utm_campaign, utm_term, utm_content,
        experiment, variant, referrer_host, country, region, city, device, browser, os, bot_reason, token_reason, colo,
        record_version, classifier
    )
    select * from unnest(
        $1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::uuid[], $8::uuid[], $9::text[], $10::text[],
        $11::uuid[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[], $18::text[], $19::text[],
        $20::text[], $21::text[], $22::text[], $23::text[], $24::text[], $25::text[], $26::text[], $27::text[], $28::text[],
        $29::text[], $30::text[], $31::text[], $32::text[], $33::bigint[], $34::integer[]
    )
    on conflict (workspace_id, click_id) do nothing
    returning workspace_id, click_id, link_id, domain, slug, partner_id, partner_name, program_id, program_name, trigger,
        source, utm_campaign, referrer_host, country, region, device, browser, os, bot_reason
), counted as (
    insert into click_deltas (
        workspace_id, click_id, link_id, domain, slug, partner_id, partner_name, program_id, program_name, trigger,
        source, campaign, referrer_host, country, region, device, browser, os, bot
    )
    select workspace_id, click_id, link_id, domain, slug, partner_id, partner_name, program_id, program_name, trigger,
        source, utm_campaign, referrer_host, country, region, device, browser, os, bot_reason is not null
    from stored
)
select workspace_id as "workspace_id!", click_id as "click_id!" from stored
