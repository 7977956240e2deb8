-- What an event asked for, apart from what became of it: a lead or sale that waits must know whose turn it waits for.

-- token: it brought a click token; customer: it has none, its customer's touches decide; original: a follow-on.
-- NULL: stored before this column was.
alter table conversions add column tried text check (tried in ('token', 'customer', 'original'));

-- Until now only events with a token could wait for a click.
update conversions set tried = 'token' where status = 'pending_click';
update conversions set tried = 'original' where status = 'pending_original';
