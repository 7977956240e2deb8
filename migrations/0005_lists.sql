-- Lists of partners and links stay quick at any page, in each order they can be sorted by, and with each filter.

-- Sorted by name. (By time of creation the primary keys serve.)
create index partners_by_name on partners (workspace_id, lower(display_name), id);
create index links_by_slug on links (workspace_id, slug, id);

-- Filters that select few rows of many.
create index partners_by_status on partners (workspace_id, status, id);
create index partners_by_relationship on partners (workspace_id, relationship, id);
create index partners_by_program on partners (workspace_id, primary_program_id, id);
create index links_by_status on links (workspace_id, status, id);
create index links_by_domain on links (workspace_id, domain_id, id);
