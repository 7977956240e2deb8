-- By which version of the tables a click was told to be a bot's or a human's (shared::classify); 0 where nobody said.
alter table clicks add column classifier integer not null default 0;
