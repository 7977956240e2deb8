-- Takes some deltas away and tells what their conversions count as. What is credited to nobody brings no amounts.
with taken as materialized (
    delete from conversion_deltas where ctid = any(array(select ctid from conversion_deltas limit $1))
    returning workspace_id, id
)
select f.workspace_id as "workspace_id!", f.occurred_at as "occurred_at!", f.status = 'attributed' as "attributed!",
    f.type as "type!: EventType", f.bot_reason is not null as "bot!", f.click_id, f.partner_id, f.partner_name, f.program_id,
    f.program_name, f.link_id, f.domain, f.slug, f.event_name, f.currency, f.utm_campaign as campaign, f.country, f.gross,
    f.negative, f.reward, f.amount_currency, f.reward_currency
from taken t
join conversion_facts f on f.workspace_id = t.workspace_id and f.id = t.id
