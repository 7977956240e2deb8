-- Changes that many links' records carry, and how far replicators have got with them (db/outbox/spread.rs).
create table outbox_spreads (
    workspace_id uuid not null references workspaces,
    kind text not null check (kind in ('partner', 'program', 'domain', 'inactive_partners')),
    -- The partner, program or domain; nil for all inactive partners.
    object_id uuid not null,
    -- The last link that was touched.
    after_id uuid not null default '00000000-0000-0000-0000-000000000000',
    begun_at timestamptz not null default now(),
    primary key (workspace_id, kind, object_id)
);

-- Their links come in the order of their ids, a page at a time.
create index assignments_active_of_partner on assignments (workspace_id, partner_id, link_id) where ended_at is null;
create index assignments_active_of_program on assignments (workspace_id, program_id, link_id) where ended_at is null;
drop index assignments_active_by_partner;
drop index assignments_active_by_program;
