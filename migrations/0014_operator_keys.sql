-- The operator's `Idempotency-Key`s belong to no workspace: the first request that has one makes a workspace. They stand
-- under the id of none, all zeros, so nothing else may be demanded of the column.
alter table idempotency_keys drop constraint idempotency_keys_workspace_id_fkey;
