-- What is declared: databases, dbgroups, herds and syncs, and a revision that grows with every change of them.

create schema catalog;
comment on schema catalog is 'pgherd: what one install declares, and what its syncs report';

create table catalog.migration (
    version     int         not null constraint migration_pkey primary key,
    name        text        not null,
    applied_at  timestamptz not null default clock_timestamp()
);
comment on table  catalog.migration is 'The migrations that this schema has been through';
comment on column catalog.migration.version is 'The number that the migration''s file name begins with';
comment on column catalog.migration.name is 'The rest of the file name';
comment on column catalog.migration.applied_at is 'When this schema went through it, or was created beyond it';

create table catalog.install (
    one       boolean not null default true constraint install_pkey primary key
              constraint install_is_one check (one),
    name      text    not null
              constraint install_name_valid check (name ~ '^[A-Za-z][A-Za-z0-9_]{0,62}$'),
    revision  bigint  not null default 0
);
comment on table  catalog.install is 'The install that this catalog belongs to: one row';
comment on column catalog.install.one is 'True; the key of the one row';
comment on column catalog.install.name is 'The name that the configuration of every program of this install must give';
comment on column catalog.install.revision is 'Grows with every change of what is declared, in the same transaction';

create table catalog.db (
    id        int     not null generated always as identity constraint db_pkey primary key,
    name      text    not null constraint db_name_once unique
              constraint db_name_valid check (name ~ '^[A-Za-z][A-Za-z0-9_]{0,62}$'),
    dbname    text    not null constraint db_dbname_given check (dbname <> ''),
    host      text    not null,
    port      int     not null constraint db_port_valid check (port between 1 and 65535),
    username  text    not null constraint db_username_given check (username <> ''),
    options   jsonb   not null default '{}'
              constraint db_options_are_an_object check (jsonb_typeof(options) = 'object')
              constraint db_options_hold_no_secret check (not options ?| array['password', 'sslpassword']),
    active    boolean not null default true
);
comment on table  catalog.db is 'The databases that take part';
comment on column catalog.db.id is 'Stands for the database as an origin in change logs; never used again';
comment on column catalog.db.name is 'The nickname by which herds, dbgroups and syncs know it';
comment on column catalog.db.dbname is 'The database''s name on its server';
comment on column catalog.db.host is 'Host name, address or socket folder; empty for the default socket';
comment on column catalog.db.port is 'The server''s port';
comment on column catalog.db.username is 'The role that connects';
comment on column catalog.db.options is 'Further libpq parameters, by name; never a password';
comment on column catalog.db.active is 'False: syncs leave it alone';

create table catalog.dbgroup (
    name  text not null constraint dbgroup_pkey primary key
          constraint dbgroup_name_valid check (name ~ '^[A-Za-z][A-Za-z0-9_]{0,62}$')
);
comment on table  catalog.dbgroup is 'Named lists of databases, used as targets';
comment on column catalog.dbgroup.name is 'The group''s name';

create table catalog.dbgroup_member (
    dbgroup  text not null
             constraint dbgroup_member_of_dbgroup references catalog.dbgroup (name) on delete cascade,
    db       text not null
             constraint dbgroup_member_is_db references catalog.db (name),
    ordinal  int  not null
             constraint dbgroup_member_ordinal_valid check (ordinal > 0),
    constraint dbgroup_member_pkey primary key (dbgroup, db),
    constraint dbgroup_member_ordinal_once unique (dbgroup, ordinal)
);
comment on table  catalog.dbgroup_member is 'Which databases a group lists';
comment on column catalog.dbgroup_member.dbgroup is 'The group';
comment on column catalog.dbgroup_member.db is 'The database';
comment on column catalog.dbgroup_member.ordinal is 'Its place in the list, from 1';

create table catalog.herd (
    name  text not null constraint herd_pkey primary key
          constraint herd_name_valid check (name ~ '^[A-Za-z][A-Za-z0-9_]{0,62}$'),
    db    text not null
          constraint herd_lives_on_db references catalog.db (name)
);
comment on table  catalog.herd is 'Named lists of tables and sequences of one database that are replicated together';
comment on column catalog.herd.name is 'The herd''s name';
comment on column catalog.herd.db is 'The database that it lives on';

create table catalog.herd_member (
    herd           text not null
                   constraint herd_member_of_herd references catalog.herd (name) on delete cascade,
    kind           text not null
                   constraint herd_member_kind_known check (kind in ('table', 'sequence')),
    ordinal        int  not null
                   constraint herd_member_ordinal_valid check (ordinal > 0),
    schema_name    text not null
                   constraint herd_member_schema_given check (schema_name <> ''),
    relation_name  text not null
                   constraint herd_member_relation_given check (relation_name <> ''),
    constraint herd_member_pkey primary key (herd, schema_name, relation_name),
    constraint herd_member_ordinal_once unique (herd, kind, ordinal)
);
comment on table  catalog.herd_member is 'Which tables and sequences a herd lists';
comment on column catalog.herd_member.herd is 'The herd';
comment on column catalog.herd_member.kind is 'table or sequence';
comment on column catalog.herd_member.ordinal is 'Its place among the members of that kind, from 1: the order of writing';
comment on column catalog.herd_member.schema_name is 'The relation''s schema, unquoted';
comment on column catalog.herd_member.relation_name is 'The relation''s name, unquoted';

create table catalog.sync (
    name         text     not null constraint sync_pkey primary key
                 constraint sync_name_valid check (name ~ '^[A-Za-z][A-Za-z0-9_]{0,62}$'),
    type         text     not null
                 constraint sync_type_known check (type in ('pushdelta', 'fullcopy', 'swap')),
    herd         text     not null
                 constraint sync_moves_herd references catalog.herd (name),
    strategy     text     not null
                 constraint sync_strategy_known check (strategy in ('latest', 'source', 'target')),
    makedelta    boolean  not null,
    autokick     boolean  not null,
    checktime    interval
                 constraint sync_checktime_positive check (checktime > interval '0'),
    onetimecopy  text     not null
                 constraint sync_onetimecopy_known check (onetimecopy in ('off', 'always', 'empty')),
    copymethod   text     not null
                 constraint sync_copymethod_known check (copymethod in ('diff', 'delete', 'truncate')),
    paused       boolean  not null
);
comment on table  catalog.sync is 'Moves a herd from its database to targets';
comment on column catalog.sync.name is 'The sync''s name';
comment on column catalog.sync.type is 'pushdelta: changed rows one way; fullcopy: whole tables; swap: both ways';
comment on column catalog.sync.herd is 'What it moves';
comment on column catalog.sync.strategy is 'Who wins when both sides of a swap changed one row';
comment on column catalog.sync.makedelta is 'Whether what it writes flows onward by the syncs that read there';
comment on column catalog.sync.autokick is 'Whether it runs when its source changed';
comment on column catalog.sync.checktime is 'It runs at least this often; null: only when kicked';
comment on column catalog.sync.onetimecopy is 'Whether its next run begins with a whole copy';
comment on column catalog.sync.copymethod is 'How a whole copy replaces what the target holds';
comment on column catalog.sync.paused is 'Declared off';

create table catalog.sync_target (
    sync     text not null
             constraint sync_target_of_sync references catalog.sync (name) on delete cascade,
    ordinal  int  not null
             constraint sync_target_ordinal_valid check (ordinal > 0),
    db       text
             constraint sync_target_is_db references catalog.db (name),
    dbgroup  text
             constraint sync_target_is_dbgroup references catalog.dbgroup (name),
    constraint sync_target_pkey primary key (sync, ordinal),
    constraint sync_target_db_once unique (sync, db),
    constraint sync_target_dbgroup_once unique (sync, dbgroup),
    constraint sync_target_is_one_thing check (num_nonnulls(db, dbgroup) = 1)
);
comment on table  catalog.sync_target is 'Where a sync writes: databases and dbgroups';
comment on column catalog.sync_target.sync is 'The sync';
comment on column catalog.sync_target.ordinal is 'The target''s place in the declaration, from 1';
comment on column catalog.sync_target.db is 'The database, or null';
comment on column catalog.sync_target.dbgroup is 'The group, or null';

create function catalog.bump_revision() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    update catalog.install set revision = revision + 1;
    perform pg_notify('pgherd_catalog', 'revision');
    return null;
end
$$;
comment on function catalog.bump_revision() is 'Counts a change of what is declared and wakes the daemon';

create trigger bump_revision after insert or update or delete or truncate on catalog.db
    for each statement execute procedure catalog.bump_revision();
create trigger bump_revision after insert or update or delete or truncate on catalog.dbgroup
    for each statement execute procedure catalog.bump_revision();
create trigger bump_revision after insert or update or delete or truncate on catalog.dbgroup_member
    for each statement execute procedure catalog.bump_revision();
create trigger bump_revision after insert or update or delete or truncate on catalog.herd
    for each statement execute procedure catalog.bump_revision();
create trigger bump_revision after insert or update or delete or truncate on catalog.herd_member
    for each statement execute procedure catalog.bump_revision();
create trigger bump_revision after insert or update or delete or truncate on catalog.sync
    for each statement execute procedure catalog.bump_revision();
create trigger bump_revision after insert or update or delete or truncate on catalog.sync_target
    for each statement execute procedure catalog.bump_revision();
