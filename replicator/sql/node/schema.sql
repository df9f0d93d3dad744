-- What an install keeps in each database that takes part. One schema holds it all; dropping it (and the triggers,
-- which depend on its functions) removes every trace.

create schema {schema};
comment on schema {schema} is 'pgherd: change logs and positions; managed by the replicator';

-- One row: who this node is. `uuid` is new with every creation, so a target notices a source that was made anew.
-- `floor`: no local change counts as older than this (see replicator/conflict.py). The triggers read it from the sequence.
create table {schema}.node (
    uuid    uuid primary key,
    version int not null,
    floor   timestamptz not null default '-infinity'
);

-- The floor in microseconds since 1970, as a sequence: what it shows is of this moment, also to a transaction whose
-- snapshot is older. It is raised while the row of `node` is locked, and never goes back.
create sequence {schema}.floor as bigint minvalue 0 start 0 cache 1;
create function {schema}.raise_floor() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp as
$$
begin
    perform setval('{schema}.floor', greatest(s.last_value,
        extract(epoch from date_trunc('second', new.floor))::bigint * 1000000
        + extract(microseconds from new.floor)::bigint % 1000000)) from {schema}.floor s;
    return null;
end
$$;
create trigger raise_floor after update of floor on {schema}.node
    for each row when (new.floor > old.floor) execute procedure {schema}.raise_floor();
alter table {schema}.node enable always trigger raise_floor;

-- The order of changes to one row is the order of `seq`: the row trigger takes it while the row is locked, so it must
-- never be cached by sessions.
create sequence {schema}.seq as bigint cache 1;

-- The tables whose changes are logged. `id` is new whenever logging began anew: a target that had followed another id
-- has missed changes and copies the table again. kind: 'rows' logs keys, 'touch' only that something changed.
-- shape: which of its log's columns and functions are there (replicator/capture/triggers.py). counters: columns of which
-- the log holds by how much they changed.
-- purged: rows of transactions below this id are gone; a position that lies before it belongs to a target that came back
-- from the past, and has missed changes too. settled: below this id nobody needs rows, as far as the purge has found;
-- settled_on: the server and database in which that is so. whole_from: what was made of the table after this transaction
-- (its log was begun, or the table was filled from another master) is all in the log. notes: what arrives from another
-- master is noted in the log, whatever the row (replicator/capture/needs.py); once it is, it stays so. decoded: it is
-- fed from the WAL, not by triggers (replicator/capture/decoding).
create table {schema}.captured (
    schema_name text not null,
    table_name  text not null,
    kind        text not null check (kind in ('rows', 'touch')),
    id          uuid not null,
    relid       oid not null,
    log_name    text not null unique,
    key_columns text[] not null,
    key_types   text[] not null,
    versions    boolean not null,
    purged      bigint not null default 0,
    shape       int not null default 1,
    counters    text[] not null default '{{}}',
    settled     bigint not null default 0,
    settled_on  text not null default '',
    whole_from  bigint not null default txid_current(),
    notes       boolean not null default true,
    decoded     boolean not null default false,
    primary key (schema_name, table_name, kind)
);

-- TRUNCATE of a captured table, in the same order as its rows' changes.
create table {schema}.truncated (
    schema_name text not null,
    table_name  text not null,
    xid         bigint not null default txid_current(),
    seq         bigint not null default nextval({sequence}::regclass),
    changed_at  timestamptz not null default clock_timestamp(),
    origin      int,
    onward      boolean not null default true,
    primary key (xid, seq)
);

-- As a target: how far each source has been followed. Written in the transaction that writes the rows.
-- knows: how far that source had followed the other masters of a swap, by name, when the last batch was read there.
create table {schema}.progress (
    sync       text not null,
    source     text not null,
    snapshot   text not null,
    node       uuid not null,
    system_id  text not null,
    timeline   int not null,
    database   oid not null,
    updated_at timestamptz not null default clock_timestamp(),
    knows      jsonb not null default '{{}}',
    will       jsonb,
    primary key (sync, source)
);

-- As a target, by table: 'copying' while its first copy runs (from `snapshot` on changes will be replayed), 'copied'
-- until its first batch from that snapshot, then 'live': it shares the sync's position. capture: captured.id followed.
-- bounds, done: where the first copy is cut into key ranges, and which of them are there.
create table {schema}.progress_table (
    sync        text not null,
    source      text not null,
    schema_name text not null,
    table_name  text not null,
    state       text not null check (state in ('copying', 'copied', 'live')),
    capture     uuid not null,
    snapshot    text,
    bounds      jsonb not null default '[]',
    done        int[] not null default '{{}}',
    primary key (sync, source, schema_name, table_name),
    check ((state = 'live') = (snapshot is null))
);

-- As a target, by table: what is known of its columns (replicator/columns.py). common: those that both sides had when
-- rows last flowed. filling: those that this side lacked then, whose values are still to be brought. after: the key up to
-- which they have been. parked: the table's changes wait in the source's log; note: why, or what is missing.
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

-- As a target: keys set aside because the target refused their row; later changes of them wait here too.
-- new_row: the latest image, null when the source deleted it. retry: look at the key again with the next batch.
-- gains: what the target lacks of each counter; null: they are to be what they are on the source.
create table {schema}.parked (
    id          bigint generated always as identity primary key,
    sync        text not null,
    source      text not null,
    schema_name text not null,
    table_name  text not null,
    key         jsonb not null,
    new_row     jsonb,
    sqlstate    text not null,
    error       text not null,
    first_at    timestamptz not null default clock_timestamp(),
    last_at     timestamptz not null default clock_timestamp(),
    attempts    int not null default 1,
    retry       boolean not null default false,
    gains       jsonb
);
create unique index on {schema}.parked (sync, source, schema_name, table_name, md5(key::text));

-- As a master: every conflict that was decided here. Images are whole rows; null where the row was deleted.
-- incoming_op, local_op: what each side had last done to the key: I(nsert), U(pdate) or D(elete).
-- local_node: whose change the one that was here is, where it is not this node's.
-- merged_row: what a function made of both, where neither stayed as it was (counters are left out, they add up).
create table {schema}.conflict (
    id            bigint generated always as identity primary key,
    sync          text not null,
    schema_name   text not null,
    table_name    text not null,
    key           jsonb not null,
    source        text not null,
    incoming_op   "char" not null,
    incoming_at   timestamptz not null,
    incoming_row  jsonb,
    local_op      "char" not null,
    local_at      timestamptz not null,
    local_row     jsonb,
    incoming_wins boolean not null,
    rule          text not null,
    decided_at    timestamptz not null default clock_timestamp(),
    local_node    text,
    merged_row    jsonb
);
create index on {schema}.conflict (decided_at);

-- Notes TRUNCATE of tables whose rows are matched by key on one way only: the batch empties the target first.
create function {schema}.note_truncate() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as
$$
begin
    insert into {schema}.truncated (schema_name, table_name) values (tg_table_schema, tg_table_name);
    return null;
end
$$;

-- Where in a message of pgoutput so many columns end that begin at `place` (from 0). A column is null, unchanged, or a
-- length and a text.
create function {schema}.after_columns(message bytea, place int, columns int) returns int
    language plpgsql immutable strict set search_path = pg_catalog, pg_temp as
$$
begin
    for i in 1 .. columns loop
        place := place + case when chr(get_byte(message, place)) in ('n', 'u') then 1
            else 5 + ((get_byte(message, place + 1) << 24) | (get_byte(message, place + 2) << 16)
                      | (get_byte(message, place + 3) << 8) | get_byte(message, place + 4)) end;
    end loop;
    return place;
end
$$;

insert into {schema}.node (uuid, version) values (md5(random()::text || clock_timestamp()::text)::uuid, 9);
