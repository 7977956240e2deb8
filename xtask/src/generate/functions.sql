-- Randomness that is the same for the same seed: a hash of a number and of what it is asked for. Temporary functions,
-- gone with the session.
create function pg_temp.h(n bigint, salt int) returns bigint
    language sql immutable parallel safe
    as $$ select hashint8extended(n, salt::bigint + ${seed} * 1000) $$;

-- Evenly in [0, 1).
create function pg_temp.r(n bigint, salt int) returns float8
    language sql immutable parallel safe
    as $$ select (hashint8extended(n, salt::bigint + ${seed} * 1000) & 9007199254740991) / 9007199254740992.0::float8 $$;

-- One of 1..=many by Zipf's law: the first takes the most, the tenth a tenth of that.
create function pg_temp.zipf(n bigint, salt int, many int) returns int
    language sql immutable parallel safe
    as $$ select least(many, floor(power(many + 1.0::float8, pg_temp.r(n, salt))))::int $$;

-- One of some words by Zipf's law.
create function pg_temp.word(n bigint, salt int, words text[]) returns text
    language sql immutable parallel safe
    as $$ select words[pg_temp.zipf(n, salt, cardinality(words))] $$;

-- A UUIDv7 of a moment. The hash fills what is random in it. (`extract` is stable, and a function that claims more than
-- its body is not inlined.)
create function pg_temp.uuid_of(at timestamptz, n bigint, salt int) returns uuid
    language sql stable parallel safe
    as $$ select (
        lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7'
        || lpad(to_hex(pg_temp.h(n, salt) & 4095), 3, '0') || '8'
        || lpad(to_hex(pg_temp.h(n, salt + 1) & 1152921504606846975), 15, '0')
    )::uuid $$;

-- Ids of the setup, by number.
create function pg_temp.setup_id(kind int, n int) returns uuid
    language sql stable parallel safe
    as $$ select pg_temp.uuid_of(timestamptz '2020-01-01', n, 100 + kind) $$;

-- The partner of a link, and the program of a partner. Every twentieth link belongs to nobody.
create function pg_temp.partner_of(link int) returns int
    language sql immutable parallel safe
    as $$ select case when link % 20 <> 0 then pg_temp.zipf(link, 10, ${partners}) end $$;
create function pg_temp.program_of(partner int) returns int
    language sql immutable parallel safe
    as $$ select 1 + (pg_temp.h(partner, 11) & 15)::int $$;
