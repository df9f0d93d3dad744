-- Which runs are in the freezer (see sql/catalog/history.sql).

alter table catalog.run add column frozen boolean not null default false;
comment on column catalog.run.frozen is 'Whether freezer holds a copy: it has left the view q';
