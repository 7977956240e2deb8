-- What explains a number must find its rows as fast as the number itself is found.

-- The conversions of a link, by arrival: `GET /v1/conversions?link=` and the link's attribution check. Those that no
-- click was found for belong to no link.
create index conversions_by_link on conversions (workspace_id, link_id, id) where link_id is not null;

-- A partner's timeline: when links began to be its own, and when they ceased to.
create index assignments_begun on assignments (workspace_id, partner_id, started_at);
create index assignments_ended on assignments (workspace_id, partner_id, ended_at) where ended_at is not null;
