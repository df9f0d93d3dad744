-- What a target knows of the columns that travel to it.

create table {schema}.table_columns (
    sync        text not null,
    source      text not null,
    schema_name text not null,
    table_name  text not null,
    common      text[] not null,
    filling     text[] not null default '{{}}',
    after       text[],
    parked      boolean not null default false,
    note        text not null default '',
    since       timestamptz not null default clock_timestamp(),
    primary key (sync, source, schema_name, table_name)
);
update {schema}.node set version = 3;
