-- A run of an export that a stopping instance hands back has not failed. `attempts` goes on numbering runs and their
-- files; what a job is given up for is counted apart.
alter table exports add column failures integer not null default 0;
comment on column exports.failures is
    'Runs that failed, or ended with the instance that ran them; a run handed back by a stopping instance is none.';
