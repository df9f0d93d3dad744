-- The catalog's schema as it is after all migrations: what is declared, then what is asked and reported.

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
    active    boolean not null default true,
    capture   text    not null default 'triggers'
              constraint db_capture_known check (capture in ('triggers', 'wal'))
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
comment on column catalog.db.capture is 'triggers: statements log what they change; wal: it is decoded from the WAL';

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
    role     text
             constraint dbgroup_member_role_known check (role in ('source', 'target')),
    constraint dbgroup_member_pkey primary key (dbgroup, db),
    constraint dbgroup_member_ordinal_once unique (dbgroup, ordinal)
);
comment on table  catalog.dbgroup_member is 'Which databases a group lists';
comment on column catalog.dbgroup_member.dbgroup is 'The group';
comment on column catalog.dbgroup_member.db is 'The database';
comment on column catalog.dbgroup_member.ordinal is 'Its place in the list, from 1';
comment on column catalog.dbgroup_member.role is 'source: it is read too; target: only written; null: as the sync says';

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
                 constraint sync_strategy_given check (strategy <> ''),
    makedelta    boolean  not null,
    autokick     boolean  not null,
    checktime    interval
                 constraint sync_checktime_positive check (checktime > interval '0'),
    onetimecopy  text     not null
                 constraint sync_onetimecopy_known check (onetimecopy in ('off', 'always', 'empty')),
    copymethod   text     not null
                 constraint sync_copymethod_known check (copymethod in ('diff', 'delete', 'truncate')),
    paused       boolean  not null,
    strategies   jsonb    not null
                 constraint sync_strategies_are_a_list check (jsonb_typeof(strategies) = 'array'),
    counters     text[]   not null,
    ddl          text     not null
                 constraint sync_ddl_known check (ddl in ('none', 'newcol')),
    sequences    text     not null
                 constraint sync_sequences_known check (sequences in ('interleave', 'none')),
    sequence_step int     not null
                 constraint sync_sequence_step_valid check (sequence_step between 2 and 1024),
    hooks        jsonb    not null
                 constraint sync_hooks_are_a_list check (jsonb_typeof(hooks) = 'array')
);
comment on table  catalog.sync is 'Moves a herd from its database to targets';
comment on column catalog.sync.name is 'The sync''s name';
comment on column catalog.sync.type is 'pushdelta: changed rows one way; fullcopy: whole tables; swap: both ways';
comment on column catalog.sync.herd is 'What it moves';
comment on column catalog.sync.strategy is 'Who wins when masters of a swap changed one row';
comment on column catalog.sync.makedelta is 'Whether what it writes flows onward by the syncs that read there';
comment on column catalog.sync.autokick is 'Whether it runs when its source changed';
comment on column catalog.sync.checktime is 'It runs at least this often; null: only when kicked';
comment on column catalog.sync.onetimecopy is 'Whether its next run begins with a whole copy';
comment on column catalog.sync.copymethod is 'How a whole copy replaces what the target holds';
comment on column catalog.sync.paused is 'Declared off';
comment on column catalog.sync.strategies is 'The same of tables that have their own: triples of schema, name, strategy';
comment on column catalog.sync.counters is 'Columns that concurrent changes add up in: column, or table.column';
comment on column catalog.sync.ddl is 'Which changes of definitions it makes on its targets by itself';
comment on column catalog.sync.sequences is 'How masters of a swap come by different numbers from sequences';
comment on column catalog.sync.sequence_step is 'How many masters may share the numbers';
comment on column catalog.sync.hooks is 'What it runs at moments of its runs: name, moment, call, tables, seconds';

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

create table catalog.setting (
    name   text   not null constraint setting_pkey primary key
           constraint setting_name_known check (name in ('runs_kept', 'days_kept')),
    value  bigint not null
           constraint setting_value_positive check (value > 0)
);
comment on table  catalog.setting is 'How much history is kept';
comment on column catalog.setting.name is 'runs_kept: runs a sync; days_kept: days';
comment on column catalog.setting.value is 'The setting''s value';
insert into catalog.setting (name, value) values ('runs_kept', 10000), ('days_kept', 30);

create table catalog.kick (
    id        bigint      not null generated always as identity constraint kick_pkey primary key,
    sync      text        not null
              constraint kick_of_sync references catalog.sync (name) on delete cascade,
    asked_at  timestamptz not null default clock_timestamp()
);
create index kick_sync_id on catalog.kick (sync, id);
comment on table  catalog.kick is 'Requests to run a sync now, kept for a day';
comment on column catalog.kick.id is 'Grows; a link that finishes a kick finishes all before it';
comment on column catalog.kick.sync is 'The sync';
comment on column catalog.kick.asked_at is 'When it was asked for';

create table catalog.kick_result (
    kick     bigint      not null
             constraint kick_result_of_kick references catalog.kick (id) on delete cascade,
    source   text        not null,
    target   text        not null,
    done_at  timestamptz not null default clock_timestamp(),
    error    text,
    constraint kick_result_pkey primary key (kick, source, target)
);
comment on table  catalog.kick_result is 'What became of a kick, for each link of its sync';
comment on column catalog.kick_result.kick is 'The kick';
comment on column catalog.kick_result.source is 'The link''s source database';
comment on column catalog.kick_result.target is 'The link''s target database';
comment on column catalog.kick_result.done_at is 'When the link had run';
comment on column catalog.kick_result.error is 'Why it failed; null: it succeeded';

create function catalog.announce_kick() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform pg_notify('pgherd_catalog', 'kick');
    return null;
end
$$;
comment on function catalog.announce_kick() is 'Wakes the daemon';
create trigger announce_kick after insert on catalog.kick
    for each statement execute procedure catalog.announce_kick();

create table catalog.run (
    id           bigint      not null generated always as identity constraint run_pkey primary key,
    sync         text        not null
                 constraint run_of_sync references catalog.sync (name) on delete cascade,
    source       text        not null,
    target       text        not null,
    started_at   timestamptz not null,
    finished_at  timestamptz not null,
    inserted     bigint      not null,
    updated      bigint      not null,
    deleted      bigint      not null,
    conflicts    bigint      not null,
    parked       bigint      not null,
    copied       text[]      not null,
    error        text,
    attempts     int         not null default 1,
    frozen       boolean     not null default false,
    constraint run_ends_after_start check (finished_at >= started_at),
    constraint run_counts_valid check (least(inserted, updated, deleted, conflicts, parked) >= 0),
    constraint run_attempts_valid check (attempts > 0)
);
create index run_sync_id on catalog.run (sync, id);
comment on table  catalog.run is 'History: what each run of a link did; pruned as catalog.setting says';
comment on column catalog.run.id is 'Grows';
comment on column catalog.run.sync is 'The sync';
comment on column catalog.run.source is 'The link''s source database';
comment on column catalog.run.target is 'The link''s target database';
comment on column catalog.run.started_at is 'When the run (of repeated failures: the first) began';
comment on column catalog.run.finished_at is 'When the run (of repeated failures: the last) ended';
comment on column catalog.run.inserted is 'Rows inserted on the target';
comment on column catalog.run.updated is 'Rows updated on the target';
comment on column catalog.run.deleted is 'Rows deleted on the target';
comment on column catalog.run.conflicts is 'Keys changed on both sides';
comment on column catalog.run.parked is 'Keys set aside because the target refused them';
comment on column catalog.run.copied is 'Tables that were copied whole first';
comment on column catalog.run.error is 'Why it failed; null: it succeeded';
comment on column catalog.run.attempts is 'How often the same failure came in a row';
comment on column catalog.run.frozen is 'Whether freezer holds a copy: it has left the view q';

create table catalog.link_total (
    sync          text        not null
                  constraint link_total_of_sync references catalog.sync (name) on delete cascade,
    source        text        not null,
    target        text        not null,
    runs          bigint      not null,
    failures      bigint      not null,
    inserted      bigint      not null,
    updated       bigint      not null,
    deleted       bigint      not null,
    conflicts     bigint      not null,
    parked        bigint      not null,
    last_good_at  timestamptz,
    last_bad_at   timestamptz,
    last_error    text,
    constraint link_total_pkey primary key (sync, source, target),
    constraint link_total_counts_valid
        check (least(runs, failures, inserted, updated, deleted, conflicts, parked) >= 0),
    constraint link_total_error_dated check ((last_bad_at is null) = (last_error is null))
) with (fillfactor = 50);
comment on table  catalog.link_total is 'The sums of catalog.run for each link, pruned runs included';
comment on column catalog.link_total.sync is 'The sync';
comment on column catalog.link_total.source is 'The link''s source database';
comment on column catalog.link_total.target is 'The link''s target database';
comment on column catalog.link_total.runs is 'Runs that succeeded';
comment on column catalog.link_total.failures is 'Runs that failed';
comment on column catalog.link_total.inserted is 'Rows inserted on the target';
comment on column catalog.link_total.updated is 'Rows updated on the target';
comment on column catalog.link_total.deleted is 'Rows deleted on the target';
comment on column catalog.link_total.conflicts is 'Keys changed on both sides';
comment on column catalog.link_total.parked is 'Keys set aside because the target refused them';
comment on column catalog.link_total.last_good_at is 'When the last run that succeeded ended';
comment on column catalog.link_total.last_bad_at is 'When the last run that failed ended';
comment on column catalog.link_total.last_error is 'Why that one failed';

create table catalog.link_state (
    sync      text        not null
              constraint link_state_of_sync references catalog.sync (name) on delete cascade,
    source    text        not null,
    target    text        not null,
    state     text        not null
              constraint link_state_known check (state in
                  ('starting', 'copying', 'idle', 'running', 'retrying', 'waiting', 'paused', 'stopped')),
    detail    text        not null,
    pid       int         not null,
    revision  bigint      not null,
    since     timestamptz not null,
    at        timestamptz not null,
    constraint link_state_pkey primary key (sync, source, target)
) with (fillfactor = 50);
comment on table  catalog.link_state is 'Heartbeats: what each link is doing; written by its controller alone';
comment on column catalog.link_state.sync is 'The sync';
comment on column catalog.link_state.source is 'The link''s source database';
comment on column catalog.link_state.target is 'The link''s target database';
comment on column catalog.link_state.state is 'What it is doing';
comment on column catalog.link_state.detail is 'A sentence on that, for people';
comment on column catalog.link_state.pid is 'The controller''s process';
comment on column catalog.link_state.revision is 'The revision of the declared topology that it works by; 0: not told';
comment on column catalog.link_state.since is 'When it came into this state';
comment on column catalog.link_state.at is 'When it last said so';

create table catalog.leftover (
    id        bigint      not null generated always as identity constraint leftover_pkey primary key,
    db        text        not null,
    dbname    text        not null,
    host      text        not null,
    port      int         not null,
    username  text        not null,
    options   jsonb       not null,
    sync      text        not null,
    source    text,
    tables    jsonb
              constraint leftover_tables_are_a_list check (jsonb_typeof(tables) = 'array'),
    noted_at  timestamptz not null default clock_timestamp(),
    error     text
);
comment on table  catalog.leftover is 'What removed syncs and tables left on nodes; a row goes when it is cleaned up';
comment on column catalog.leftover.id is 'The order in which they were noted';
comment on column catalog.leftover.db is 'The node''s nickname; it may have been removed since';
comment on column catalog.leftover.dbname is 'The database''s name on its server';
comment on column catalog.leftover.host is 'As in catalog.db';
comment on column catalog.leftover.port is 'As in catalog.db';
comment on column catalog.leftover.username is 'As in catalog.db';
comment on column catalog.leftover.options is 'As in catalog.db';
comment on column catalog.leftover.sync is 'The sync that was removed or lost tables';
comment on column catalog.leftover.source is 'Whose positions to forget here; null: triggers and logs are to go';
comment on column catalog.leftover.tables is 'The tables, as pairs of schema and name; null: all of the sync''s';
comment on column catalog.leftover.noted_at is 'When it was noted';
comment on column catalog.leftover.error is 'Why it could not be cleaned so far';

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
