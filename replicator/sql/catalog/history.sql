-- The history of runs as Bucardo 4.5 shows it: the view q, and the freezer with a table for each day, found without a
-- schema's name by the role bucardo. Made, or made anew, whenever the catalog is created or migrated; left out where
-- the database holds Bucardo's own.

do $do$
begin
    if to_regclass('bucardo.bucardo_config') is not null then
        return;
    end if;
    if to_regnamespace('bucardo') is null then
        create schema bucardo;
        comment on schema bucardo is 'pgherd: what the role bucardo types without naming a schema';
    end if;
    create schema if not exists freezer;
    comment on schema freezer is 'pgherd: runs that have left the view q, a table for each day (UTC) on which they began';

    create or replace view bucardo.q as
        select r.sync, r.source as sourcedb, r.target as targetdb, 0 as ppid, 0 as pid,
               (select s.type from catalog.sync s where s.name = r.sync) as synctype,
               r.updated as updates, r.inserted as inserts, r.deleted as deletes, r.started_at as started,
               case when r.error is not null then r.finished_at end as aborted, r.error as whydie,
               case when r.error is null then r.finished_at end as ended, r.started_at as cdate, r.id
        from catalog.run r where not r.frozen;
    comment on view bucardo.q is 'pgherd: runs that are not in the freezer yet; what is deleted here is forgotten';

    create table if not exists freezer.master_q (
        sync text, sourcedb text, targetdb text, ppid int, pid int, synctype text,
        updates bigint, inserts bigint, deletes bigint,
        started timestamptz, aborted timestamptz, whydie text, ended timestamptz, cdate timestamptz, id bigint
    );
    comment on table freezer.master_q is 'pgherd: all days together; itself empty';

    create or replace function bucardo.bucardo_purge_q_table(older_than interval) returns bigint
        language plpgsql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' as
    $function$
    declare
        until timestamptz := clock_timestamp() - older_than;
        day date;
        child text;
        moved bigint := 0;
        part bigint;
    begin
        if older_than is null then
            raise exception 'no interval is given'
                using hint = 'For example: select bucardo_purge_q_table(''5 minutes'').';
        end if;
        perform pg_advisory_xact_lock(hashtext('pgherd freezer'));
        for day in select distinct cdate::date from bucardo.q where coalesce(ended, aborted) < until order by 1 loop
            child := 'child_q_' || to_char(day, 'YYYYMMDD');
            if to_regclass('freezer.' || child) is null then
                execute format('create table freezer.%I (check (cdate >= %L and cdate < %L)) inherits (freezer.master_q)',
                               child, day::timestamptz, (day + 1)::timestamptz);
            end if;
            execute format(
                'with found as (select * from bucardo.q where cdate >= $1 and cdate < $2'
                '               and coalesce(ended, aborted) < $3),'
                ' marked as (update catalog.run r set frozen = true from found f where r.id = f.id returning r.id)'
                ' insert into freezer.%I select f.* from found f join marked using (id)', child)
                using day::timestamptz, (day + 1)::timestamptz, until;
            get diagnostics part = row_count;
            moved := moved + part;
        end loop;
        raise notice 'Rows left in q table: %', (select count(*) from bucardo.q);
        return moved;
    end
    $function$;
    comment on function bucardo.bucardo_purge_q_table(interval) is
        'pgherd: moves runs that ended longer ago than that from the view q to the freezer';
    revoke execute on function bucardo.bucardo_purge_q_table(interval) from public;

    create or replace function freezer.drop_days(older_than interval) returns bigint
        language plpgsql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' as
    $function$
    declare
        child name;
        dropped bigint := 0;
    begin
        if older_than is null then
            raise exception 'no interval is given' using hint = 'For example: select freezer.drop_days(''7 days'').';
        end if;
        perform pg_advisory_xact_lock(hashtext('pgherd freezer'));
        for child in
            select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
            where i.inhparent = 'freezer.master_q'::regclass and c.relname ~ '^child_q_\d{8}$'
              and to_date(right(c.relname, 8), 'YYYYMMDD') + 1 <= clock_timestamp() - older_than
            order by 1
        loop
            execute format('drop table freezer.%I', child);
            dropped := dropped + 1;
        end loop;
        return dropped;
    end
    $function$;
    comment on function freezer.drop_days(interval) is 'pgherd: drops the days that are over for longer than that';
    revoke execute on function freezer.drop_days(interval) from public;
end
$do$;
