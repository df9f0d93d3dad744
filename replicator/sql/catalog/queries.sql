-- The catalog's named queries; replicator/catalog runs them.

-- topology --
-- All that is declared, in one statement and so from one snapshot.
select i.revision,
       coalesce((select jsonb_agg(jsonb_build_object(
                     'id', d.id, 'name', d.name, 'dbname', d.dbname, 'host', d.host, 'port', d.port,
                     'user', d.username, 'options', d.options, 'active', d.active,
                     'capture', d.capture) order by d.id)
                 from catalog.db d), '[]'),
       coalesce((select jsonb_agg(jsonb_build_object(
                     'name', g.name,
                     'members', coalesce((select jsonb_agg(jsonb_build_array(m.db, m.role) order by m.ordinal)
                                          from catalog.dbgroup_member m
                                          where m.dbgroup = g.name), '[]')) order by g.name)
                 from catalog.dbgroup g), '[]'),
       coalesce((select jsonb_agg(jsonb_build_object(
                     'name', h.name, 'database', h.db,
                     'members', coalesce((select jsonb_agg(
                                              jsonb_build_array(m.kind, m.schema_name, m.relation_name)
                                              order by m.ordinal)
                                          from catalog.herd_member m where m.herd = h.name), '[]')) order by h.name)
                 from catalog.herd h), '[]'),
       coalesce((select jsonb_agg(jsonb_build_object(
                     'name', s.name, 'type', s.type, 'herd', s.herd, 'strategy', s.strategy,
                     'makedelta', s.makedelta, 'autokick', s.autokick,
                     'checktime', extract(epoch from s.checktime), 'onetimecopy', s.onetimecopy,
                     'copymethod', s.copymethod, 'paused', s.paused,
                     'strategies', s.strategies, 'counters', s.counters, 'ddl', s.ddl, 'hooks', s.hooks,
                     'sequences', s.sequences, 'sequence_step', s.sequence_step,
                     'targets', coalesce((select jsonb_agg(coalesce(t.db, t.dbgroup) order by t.ordinal)
                                          from catalog.sync_target t where t.sync = s.name), '[]')) order by s.name)
                 from catalog.sync s), '[]')
from catalog.install i

-- revision --
select revision from catalog.install

-- lock_declared --
-- Let one program at a time change what is declared; readers are not held up.
select revision from catalog.install for update

-- add_database --
insert into catalog.db (name, dbname, host, port, username, options, active, capture)
values (%(name)s, %(dbname)s, %(host)s, %(port)s, %(user)s, %(options)s, %(active)s, %(capture)s)

-- update_database --
update catalog.db set dbname = %(dbname)s, host = %(host)s, port = %(port)s, username = %(user)s,
       options = %(options)s, active = %(active)s, capture = %(capture)s
where name = %(name)s

-- remove_database --
delete from catalog.db where name = %(name)s

-- add_dbgroup --
insert into catalog.dbgroup (name) values (%(name)s)

-- find_dbgroup --
select from catalog.dbgroup where name = %(name)s for update

-- remove_dbgroup --
delete from catalog.dbgroup where name = %(name)s

-- clear_dbgroup_members --
delete from catalog.dbgroup_member where dbgroup = %(name)s

-- add_dbgroup_members --
insert into catalog.dbgroup_member (dbgroup, db, ordinal, role)
select %(name)s, m.db, m.ordinal, m.role
from unnest(%(members)s::text[], %(roles)s::text[]) with ordinality m (db, role, ordinal)

-- add_herd --
insert into catalog.herd (name, db) values (%(name)s, %(database)s)

-- update_herd --
update catalog.herd set db = %(database)s where name = %(name)s

-- remove_herd --
delete from catalog.herd where name = %(name)s

-- clear_herd_members --
delete from catalog.herd_member where herd = %(name)s

-- add_herd_members --
insert into catalog.herd_member (herd, kind, ordinal, schema_name, relation_name)
select %(name)s, m.kind, m.ordinal, m.schema_name, m.relation_name
from unnest(%(kinds)s::text[], %(ordinals)s::int[], %(schemas)s::text[], %(names)s::text[])
     m (kind, ordinal, schema_name, relation_name)

-- add_sync --
insert into catalog.sync
    (name, type, herd, strategy, makedelta, autokick, checktime, onetimecopy, copymethod, paused, strategies, counters,
     ddl, sequences, sequence_step, hooks)
values (%(name)s, %(type)s, %(herd)s, %(strategy)s, %(makedelta)s, %(autokick)s, %(checktime)s, %(onetimecopy)s,
        %(copymethod)s, %(paused)s, %(strategies)s, %(counters)s, %(ddl)s, %(sequences)s, %(sequence_step)s, %(hooks)s)

-- update_sync --
update catalog.sync set type = %(type)s, herd = %(herd)s, strategy = %(strategy)s, makedelta = %(makedelta)s,
       autokick = %(autokick)s, checktime = %(checktime)s, onetimecopy = %(onetimecopy)s,
       copymethod = %(copymethod)s, paused = %(paused)s, strategies = %(strategies)s, counters = %(counters)s,
       ddl = %(ddl)s, sequences = %(sequences)s, sequence_step = %(sequence_step)s, hooks = %(hooks)s
where name = %(name)s

-- remove_sync --
delete from catalog.sync where name = %(name)s

-- clear_sync_targets --
delete from catalog.sync_target where sync = %(name)s

-- add_sync_targets --
insert into catalog.sync_target (sync, ordinal, db, dbgroup)
select %(name)s, t.ordinal, case when g.name is null then t.name end, g.name
from unnest(%(targets)s::text[]) with ordinality t (name, ordinal)
left join catalog.dbgroup g on g.name = t.name

-- set_paused --
update catalog.sync set paused = %(paused)s where name = %(name)s

-- kick --
insert into catalog.kick (sync) select name from catalog.sync where name = %(sync)s for key share returning id

-- forget_old_kicks --
delete from catalog.kick where sync = %(sync)s and asked_at < now() - interval '1 day' and id <> %(id)s

-- asked --
select i.revision, (select coalesce(max(k.id), 0) from catalog.kick k where k.sync = {sync}) from catalog.install i

-- finish_kick --
insert into catalog.kick_result (kick, source, target, error)
select k.id, %(source)s, %(target)s, %(error)s from catalog.kick k
where k.sync = %(sync)s and k.id <= %(upto)s
on conflict (kick, source, target) do nothing

-- kick_results --
select kick, source, target, done_at, error from catalog.kick_result where kick = %(kick)s order by source, target

-- record_run --
-- A failure that repeats is counted in the row of its first time (unless that is in the freezer), so that an outage of
-- days leaves one row. A run of a sync that has been removed meanwhile leaves none.
with known as (
    select name from catalog.sync where name = %(sync)s for key share
), repeated as (
    update catalog.run set finished_at = %(finished)s, attempts = attempts + 1
    where error = %(error)s and not frozen and id = (
        select r.id from catalog.run r
        where r.sync = %(sync)s and r.source = %(source)s and r.target = %(target)s
        order by r.id desc limit 1)
    returning id
), summed as (
    insert into catalog.link_total as t
        (sync, source, target, runs, failures, inserted, updated, deleted, conflicts, parked,
         last_good_at, last_bad_at, last_error)
    select k.name, %(source)s, %(target)s, (%(error)s::text is null)::int, (%(error)s::text is not null)::int,
           %(inserted)s, %(updated)s, %(deleted)s, %(conflicts)s, %(parked)s,
           case when %(error)s::text is null then %(finished)s::timestamptz end,
           case when %(error)s::text is not null then %(finished)s::timestamptz end, %(error)s
    from known k
    on conflict (sync, source, target) do update set
        runs = t.runs + excluded.runs, failures = t.failures + excluded.failures,
        inserted = t.inserted + excluded.inserted, updated = t.updated + excluded.updated,
        deleted = t.deleted + excluded.deleted, conflicts = t.conflicts + excluded.conflicts,
        parked = t.parked + excluded.parked, last_good_at = coalesce(excluded.last_good_at, t.last_good_at),
        last_bad_at = coalesce(excluded.last_bad_at, t.last_bad_at),
        last_error = coalesce(excluded.last_error, t.last_error)
)
insert into catalog.run
    (sync, source, target, started_at, finished_at, inserted, updated, deleted, conflicts, parked, copied, error)
select k.name, %(source)s, %(target)s, %(started)s, %(finished)s, %(inserted)s, %(updated)s, %(deleted)s,
       %(conflicts)s, %(parked)s, %(copied)s, %(error)s
from known k where not exists (select from repeated)
returning id

-- prune_runs --
-- The first row that is too many bounds the first arm, so that it reads the index from its old end.
delete from catalog.run r
where r.sync = %(sync)s
  and (r.id <= (select k.id from catalog.run k where k.sync = %(sync)s order by k.id desc
                offset (select value from catalog.setting where name = 'runs_kept') limit 1)
       or r.finished_at < now() - (select value from catalog.setting where name = 'days_kept') * interval '1 day')

-- freeze_runs --
select bucardo.bucardo_purge_q_table(%(older_than)s)

-- drop_frozen --
select freezer.drop_days(%(older_than)s)

-- runs --
select id, sync, source, target, started_at, finished_at, inserted, updated, deleted, conflicts, parked, copied, error,
       attempts
from catalog.run where %(sync)s::text is null or sync = %(sync)s order by id desc limit %(limit)s

-- totals --
select sync, source, target, runs, failures, inserted, updated, deleted, conflicts, parked, last_good_at, last_bad_at,
       last_error
from catalog.link_total where %(sync)s::text is null or sync = %(sync)s order by sync, source, target

-- report --
insert into catalog.link_state as l (sync, source, target, state, detail, pid, revision, since, at)
select name, %(source)s, %(target)s, %(state)s, %(detail)s, %(pid)s, %(revision)s, clock_timestamp(), clock_timestamp()
from catalog.sync where name = %(sync)s
on conflict (sync, source, target) do update set
    state = excluded.state, detail = excluded.detail, pid = excluded.pid, revision = excluded.revision,
    since = case when l.state = excluded.state then l.since else excluded.since end, at = excluded.at

-- states --
select sync, source, target, state, detail, pid, revision, since, at
from catalog.link_state order by sync, source, target

-- clear_states --
delete from catalog.link_state where sync = %(sync)s

-- note_leftover --
insert into catalog.leftover (db, dbname, host, port, username, options, sync, source, tables)
values (%(name)s, %(dbname)s, %(host)s, %(port)s, %(user)s, %(options)s, %(sync)s, %(source)s, %(tables)s)

-- leftovers --
select id, db, dbname, host, port, username, options, sync, source, tables, noted_at, error
from catalog.leftover order by id

-- leftover_failed --
update catalog.leftover set error = %(error)s where id = %(id)s

-- remove_leftover --
delete from catalog.leftover where id = %(id)s

-- try_lock --
select pg_try_advisory_lock(%(key)s)

-- unlock --
select pg_advisory_unlock(%(key)s)

-- silence --
-- A bigint advisory lock shows its key's halves as classid and objid, with objsubid 1.
select coalesce(clock_timestamp() - a.query_start, interval '0')
from pg_locks l join pg_database d on d.oid = l.database left join pg_stat_activity a on a.pid = l.pid
where d.datname = current_database() and l.locktype = 'advisory' and l.objsubid = 1 and l.granted
  and l.classid::bigint = (%(key)s::bigint >> 32) & 4294967295
  and l.objid::bigint = %(key)s::bigint & 4294967295

-- bucardo_settings --
select setting, value from catalog.bucardo_config order by setting

-- set_bucardo --
insert into catalog.bucardo_config (setting, value) values (%(setting)s, %(value)s)
on conflict (setting) do update set value = excluded.value

-- add_goat --
insert into catalog.goat (db, schemaname, tablename, reltype, pkey, pkeytype, standard_conflict)
values (%(db)s, %(schema)s, %(name)s, %(kind)s, %(key)s, %(types)s, %(conflict)s)
on conflict (db, schemaname, tablename) do nothing
returning id

-- goats --
select db, schemaname, tablename, reltype, pkey, pkeytype, standard_conflict from catalog.goat order by id

-- set_goat_conflict --
update catalog.goat set standard_conflict = %(conflict)s
where db = %(db)s and schemaname = %(schema)s and tablename = %(name)s

-- remove_goat --
delete from catalog.goat where db = %(db)s and schemaname = %(schema)s and tablename = %(name)s

-- set_habit --
insert into catalog.habit (noun, name, key, value) values (%(noun)s, %(name)s, %(key)s, %(value)s)
on conflict (noun, name, key) do update set value = excluded.value

-- habits --
select noun, name, key, value from catalog.habit order by noun, name, key

-- forget_habits --
delete from catalog.habit where noun = %(noun)s and name = %(name)s

-- touch_revision --
with touched as (update catalog.install set revision = revision + 1 returning revision)
select pg_notify('pgherd_catalog', 'revision') from touched

-- last_run --
select coalesce(max(id), 0) from catalog.run

-- failures --
select id, sync, source, target, started_at, finished_at, inserted, updated, deleted, conflicts, parked, copied, error,
       attempts
from catalog.run where error is not null and id > %(after)s order by id limit 100
