-- What every event pays for when it is stored: two indexes become one, and locks become an index.
--
-- While the indexes are made, events and the settling of those that wait stand still; reading goes on. Then they change
-- places in a moment.

-- Events are looked for by their id, of one source or of any: one index in this order does both.
create unique index conversions_by_event_and_source on conversions (workspace_id, event_id, source_id);

-- An order is sold once; each further sale of it says so. Whoever stores a sale learns from this whether it is the first,
-- where before all took turns. Where an instance of the release before meets one of this release over an order, its sender
-- is answered 500 and sends again.
create unique index conversions_first_sale on conversions (workspace_id, order_id, source_id)
    where type = 'sale' and order_id is not null and not ('duplicate_order' = any (flags));

alter table conversions drop constraint conversions_event_unique;
alter table conversions add constraint conversions_event_unique unique using index conversions_by_event_and_source;
drop index conversions_by_event;
