-- What syncs are asked and what they report: kicks, runs, heartbeats, and what removed syncs left on servers that were
-- down.

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
