-- Up to where nobody needs a log's rows any more, for those who purge by hand.

alter table {schema}.captured
    add column settled bigint not null default 0,
    add column settled_on text not null default '';
update {schema}.node set version = 5;
