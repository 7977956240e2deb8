-- Workspaces and their setup: who may call, what partners and links exist, and who a link belonged to when.
-- Ids are UUIDv7, minted by the service. Times that reports compare are the database's own (`now()`), so that several
-- instances with different clocks agree.

create table workspaces (
    id uuid primary key,
    slug text not null,
    name text not null,
    plan text not null check (plan in ('starter', 'professional', 'enterprise')),
    -- Each flag guards its surface. By default all are on where the plan holds Partners, else off.
    access_partner_setup boolean not null,
    access_partner_reporting boolean not null,
    access_partner_conversion_reporting boolean not null,
    access_partner_exports boolean not null,
    attribution_window_days integer not null default 30 check (attribution_window_days between 1 and 365),
    timezone text not null default 'UTC',
    inactive_partner_clicks text not null default 'keep' check (inactive_partner_clicks in ('keep', 'discard_context')),
    version bigint not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    -- Global directory: the operator names workspaces by slug.
    constraint workspaces_slug_unique unique (slug)
);

create table api_keys (
    workspace_id uuid not null references workspaces,
    id uuid not null,
    name text not null,
    role text not null check (role in ('admin', 'member', 'viewer')),
    can_export boolean not null,
    -- First characters of the key, for people to tell keys apart.
    prefix text not null,
    -- SHA-256 of the key. The key itself is 256 random bits and is stored nowhere.
    hash bytea not null,
    created_at timestamptz not null default now(),
    last_used_at timestamptz,
    revoked_at timestamptz,
    primary key (workspace_id, id),
    -- Global directory: a key is all a caller shows.
    constraint api_keys_hash_unique unique (hash)
);

-- Answers to POSTs with an Idempotency-Key, stored in the transaction of their effect and kept for 24 hours.
create table idempotency_keys (
    workspace_id uuid not null references workspaces,
    key text not null,
    -- SHA-256 over method, path and body: the same key with another request is refused.
    request_hash bytea not null,
    status smallint not null,
    -- Without one-time secrets: those are never replayed.
    response jsonb not null,
    created_at timestamptz not null default now(),
    primary key (workspace_id, key)
);
create index idempotency_keys_age on idempotency_keys (created_at);

create table programs (
    workspace_id uuid not null references workspaces,
    id uuid not null,
    key text not null,
    name text not null,
    status text not null default 'active' check (status in ('active', 'paused', 'archived')),
    kind text not null check (kind in ('affiliate', 'referral', 'creator', 'agency', 'ambassador', 'newsletter', 'other')),
    public_label text,
    default_destination_url text,
    support_email text,
    terms_url text,
    help_url text,
    application_url text,
    -- {source, medium, campaign, term, content}, absent where unset.
    utm jsonb not null default '{}',
    -- {name: value}, at most 20.
    custom_query jsonb not null default '{}',
    attribution_window_days integer check (attribution_window_days between 1 and 365),
    version bigint not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (workspace_id, id),
    constraint programs_key_unique unique (workspace_id, key)
);

-- Every version of a program's reward terms. A conversion is estimated by the version in force when it happened.
create table program_reward_terms (
    workspace_id uuid not null,
    program_id uuid not null,
    version integer not null,
    -- NULL: from here on the program has no terms.
    basis text check (basis in ('percentage', 'fixed')),
    rate_bps integer check (rate_bps between 0 and 10000),
    amount_minor bigint check (amount_minor >= 0),
    currency text,
    applies_to text[] not null default '{}',
    hold_days integer not null default 0 check (hold_days between 0 and 3650),
    note text,
    started_at timestamptz not null default now(),
    primary key (workspace_id, program_id, version),
    foreign key (workspace_id, program_id) references programs
);

create table partners (
    workspace_id uuid not null references workspaces,
    id uuid not null,
    key text not null,
    display_name text not null,
    status text not null default 'active' check (status in ('active', 'paused', 'archived')),
    relationship text not null default 'approved'
        check (relationship in ('approved', 'invited', 'declined', 'banned', 'deactivated')),
    contact_name text,
    contact_email text,
    -- The customer's own id of this partner.
    external_id text,
    -- {sent_at, channel, message}
    invite jsonb,
    tags text[] not null default '{}',
    primary_program_id uuid,
    metadata jsonb not null default '{}',
    version bigint not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    erased_at timestamptz,
    primary key (workspace_id, id),
    constraint partners_key_unique unique (workspace_id, key),
    constraint partners_external_id_unique unique (workspace_id, external_id),
    foreign key (workspace_id, primary_program_id) references programs
);
create index partners_tags on partners using gin (tags);

create table partner_notes (
    workspace_id uuid not null,
    partner_id uuid not null,
    id uuid not null,
    author_key_id uuid not null,
    body text not null,
    created_at timestamptz not null default now(),
    primary key (workspace_id, partner_id, id),
    foreign key (workspace_id, partner_id) references partners
);

create table domains (
    workspace_id uuid not null references workspaces,
    id uuid not null,
    hostname text not null,
    status text not null default 'active' check (status in ('active', 'archived')),
    root_redirect_url text,
    not_found_url text,
    -- Version of the edge record; raised with every change that the edge must see.
    record_version bigint not null default 1,
    version bigint not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (workspace_id, id),
    -- Global directory: a visitor shows only a hostname.
    constraint domains_hostname_unique unique (hostname)
);

create table links (
    workspace_id uuid not null,
    id uuid not null,
    domain_id uuid not null,
    slug text not null,
    destination text not null,
    title text,
    status text not null default 'active' check (status in ('active', 'paused', 'archived')),
    conversion_tracking boolean not null default true,
    click_token text not null default 'auto' check (click_token in ('auto', 'always', 'never')),
    utm jsonb not null default '{}',
    custom_query jsonb not null default '{}',
    -- [{key, destination, weight}]
    variants jsonb not null default '[]',
    experiment_key text,
    forward_query boolean not null default false,
    expires_at timestamptz,
    expired_url text,
    tags text[] not null default '{}',
    record_version bigint not null default 1,
    version bigint not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (workspace_id, id),
    constraint links_slug_unique unique (workspace_id, domain_id, slug),
    foreign key (workspace_id, domain_id) references domains
);
create index links_tags on links using gin (tags);

-- Whom a link belonged to, and when. Rows are closed, never changed or deleted.
create table assignments (
    workspace_id uuid not null,
    id uuid not null,
    link_id uuid not null,
    partner_id uuid not null,
    program_id uuid,
    started_at timestamptz not null,
    ended_at timestamptz check (ended_at >= started_at),
    -- API keys that began and ended it.
    actor_key_id uuid not null,
    ended_by_key_id uuid,
    primary key (workspace_id, id),
    foreign key (workspace_id, link_id) references links,
    foreign key (workspace_id, partner_id) references partners,
    foreign key (workspace_id, program_id) references programs
);
-- One active per link, also under concurrent requests.
create unique index assignments_one_active on assignments (workspace_id, link_id) where ended_at is null;
create index assignments_by_link on assignments (workspace_id, link_id, id);
create index assignments_active_by_partner on assignments (workspace_id, partner_id) where ended_at is null;
create index assignments_active_by_program on assignments (workspace_id, program_id) where ended_at is null;

create table sources (
    workspace_id uuid not null references workspaces,
    id uuid not null,
    name text not null,
    kind text not null default 'signed' check (kind = 'signed'),
    status text not null default 'active' check (status in ('active', 'disabled')),
    version bigint not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    last_used_at timestamptz,
    primary key (workspace_id, id),
    -- Global directory: a signed request shows only the source.
    constraint sources_id_unique unique (id)
);

-- Secrets must be recoverable to verify, so they are AEAD-encrypted; workspace, source and secret id are bound in.
create table source_secrets (
    workspace_id uuid not null,
    source_id uuid not null,
    id uuid not null,
    -- Entry of NIM_DATA_KEYS that encrypted it.
    kid smallint not null,
    sealed bytea not null,
    created_at timestamptz not null default now(),
    -- NULL: the current one. Set by a rotation, to its end of overlap.
    expires_at timestamptz,
    primary key (workspace_id, source_id, id),
    foreign key (workspace_id, source_id) references sources
);

create table audit (
    workspace_id uuid not null references workspaces,
    id uuid not null,
    at timestamptz not null default now(),
    -- API key, or NULL for the operator.
    actor_key_id uuid,
    action text not null,
    object_type text not null,
    object_id uuid not null,
    before jsonb,
    after jsonb,
    request_id text,
    primary key (workspace_id, id)
);
create index audit_by_object on audit (workspace_id, object_id, id);

-- What the edge must be told: one row per key of the edge store, written in the transaction of the change.
create table outbox (
    workspace_id uuid not null references workspaces,
    -- `l:{host}/{slug}` or `d:{host}`.
    kv_key text not null,
    -- The link, or NULL for the domain's own record.
    link_id uuid,
    domain_id uuid not null,
    -- Raised by every change; the row is cleared only if it is still what was published.
    version bigint not null default 1,
    attempts integer not null default 0,
    enqueued_at timestamptz not null default now(),
    -- Nobody else takes it before then: the lease of an instance, or the back-off after a failure.
    not_before timestamptz not null default now(),
    last_error text,
    primary key (workspace_id, kv_key)
);
create index outbox_due on outbox (not_before);
