-- What bucardo_ctl was told and the topology has no place for: its settings, its list of tables, options without effect.

create table catalog.bucardo_config (
    setting  text not null constraint bucardo_config_pkey primary key,
    value    text not null
);
comment on table  catalog.bucardo_config is 'The settings of bucardo_ctl that differ from their defaults';
comment on column catalog.bucardo_config.setting is 'The setting''s name';
comment on column catalog.bucardo_config.value is 'Its value, as it was typed';

create trigger bump_revision after insert or update or delete or truncate on catalog.bucardo_config
    for each statement execute procedure catalog.bump_revision();

create table catalog.goat (
    id                 int  not null generated always as identity constraint goat_pkey primary key,
    db                 text not null
                       constraint goat_lives_on_db references catalog.db (name) on delete cascade,
    schemaname         text not null,
    tablename          text not null,
    reltype            text not null
                       constraint goat_reltype_known check (reltype in ('table', 'sequence')),
    pkey               text not null default '',
    pkeytype           text not null default '',
    standard_conflict  text
                       constraint goat_standard_conflict_known check (standard_conflict in
                           ('source', 'target', 'skip', 'random', 'latest', 'abort', 'lowest', 'highest')),
    constraint goat_once unique (db, schemaname, tablename)
);
comment on table  catalog.goat is 'Tables and sequences that bucardo_ctl was told of, whether a herd lists them or not';
comment on column catalog.goat.id is 'The order in which they were added';
comment on column catalog.goat.db is 'The database that it lives on';
comment on column catalog.goat.schemaname is 'The relation''s schema, unquoted';
comment on column catalog.goat.tablename is 'The relation''s name, unquoted';
comment on column catalog.goat.reltype is 'table or sequence';
comment on column catalog.goat.pkey is 'The columns of its key, by |; empty: it has none';
comment on column catalog.goat.pkeytype is 'Their types, by |';
comment on column catalog.goat.standard_conflict is 'Who wins a conflict of a swap that moves it; null: the sync says';

create function catalog.follow_goat() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update catalog.sync s set strategies =
        (select coalesce(jsonb_agg(own.value order by own.ordinality), '[]')
         from jsonb_array_elements(s.strategies) with ordinality own
         where own.value ->> 0 <> new.schemaname or own.value ->> 1 <> new.tablename)
        || case when new.standard_conflict is null then jsonb_build_array() else
               jsonb_build_array(jsonb_build_array(new.schemaname, new.tablename, new.standard_conflict)) end
    from catalog.herd h
    join catalog.herd_member m on m.herd = h.name
    where h.name = s.herd and s.type = 'swap' and h.db = new.db and m.kind = 'table' and new.reltype = 'table'
      and m.schema_name = new.schemaname and m.relation_name = new.tablename;
    return null;
end
$$;
comment on function catalog.follow_goat() is 'Gives the swaps that move a table the conflict rule that its goat was given';

create trigger follow_goat after update of standard_conflict on catalog.goat
    for each row when (old.standard_conflict is distinct from new.standard_conflict)
    execute procedure catalog.follow_goat();

create table catalog.habit (
    noun   text not null,
    name   text not null,
    key    text not null,
    value  text not null,
    constraint habit_pkey primary key (noun, name, key)
);
comment on table  catalog.habit is 'Options that bucardo_ctl takes and shows, and that have no effect here';
comment on column catalog.habit.noun is 'db, table, sequence, herd or sync';
comment on column catalog.habit.name is 'The object''s name; of a table or sequence its database, schema and name';
comment on column catalog.habit.key is 'The option';
comment on column catalog.habit.value is 'Its value, as it was typed';

-- Written with psql, as the how-tos of Bucardo have it. A database that holds Bucardo's own tables keeps those.
do $do$
begin
    if to_regclass('bucardo.goat') is null then
        create schema if not exists bucardo;
        create view bucardo.goat as select * from catalog.goat;
    end if;
end
$do$;
