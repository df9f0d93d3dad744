-- What swaps of more than two masters, and counters, keep on a node.

alter table {schema}.captured
    add column shape int not null default 1,
    add column counters text[] not null default '{{}}';
alter table {schema}.progress add column knows jsonb not null default '{{}}';
alter table {schema}.conflict add column local_node text;
update {schema}.node set version = 2;
