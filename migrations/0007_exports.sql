-- Exports that are the same whenever they are written, and that leave nothing behind.

-- What a partner was when: how one stood with it, and the customer's own id of it. A file of an `as_of` shows the state
-- of that moment, so that two files of one moment agree. Kept by a trigger, whichever way a partner is changed.
create table partner_states (
    workspace_id uuid not null,
    partner_id uuid not null,
    -- Start of the changing transaction, by the database's clock, as `recorded_at` of facts; the first state has
    -- '-infinity', since there was no other before it.
    since timestamptz not null,
    status text not null,
    relationship text not null,
    external_id text,
    primary key (workspace_id, partner_id, since),
    foreign key (workspace_id, partner_id) references partners
);

insert into partner_states (workspace_id, partner_id, since, status, relationship, external_id)
select workspace_id, id, '-infinity', status, relationship, external_id from partners;

create function note_partner_state() returns trigger
    language plpgsql as $$
begin
    -- A transaction that began earlier may come later: it waited for the row. The later one's word is the last.
    insert into partner_states (workspace_id, partner_id, since, status, relationship, external_id)
    select new.workspace_id, new.id, case when max(since) is null then '-infinity' else greatest(now(), max(since)) end,
        new.status, new.relationship, new.external_id
    from partner_states where workspace_id = new.workspace_id and partner_id = new.id
    on conflict (workspace_id, partner_id, since) do update
        set status = excluded.status, relationship = excluded.relationship, external_id = excluded.external_id;
    return null;
end $$;

create trigger partners_made after insert on partners
    for each row execute function note_partner_state();
create trigger partners_changed after update of status, relationship, external_id on partners
    for each row when ((old.status, old.relationship, old.external_id)
        is distinct from (new.status, new.relationship, new.external_id))
    execute function note_partner_state();

-- Files of runs that crashed, were called off or given up are removed as well; what has been removed is not looked for
-- again.
alter table exports add column cleared_at timestamptz;
create index exports_uncleared on exports (created_at)
    where cleared_at is null and status not in ('queued', 'running');
comment on column exports.cleared_at is
    'Since when storage holds no file of it, of no run; NULL: it may hold some.';
comment on column exports.filters is
    '{partner, program, types, timezone}: public ids or null, a list (empty: all types), an IANA zone; resolved when asked for.';
