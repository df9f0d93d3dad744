-- Housekeeping by hand, as Bucardo's users know it: `select bucardo_purge_delta('10 minutes')` as the role bucardo, whose
-- search_path leads to a schema of its name. What may go is decided by the daemon (replicator/purge), which notes it in
-- `captured.settled` (and where: a dump that is restored elsewhere brings ids of transactions that mean nothing there);
-- nothing here removes more than that. Made anew with each upgrade of this schema.

-- Remove what is older than that of the rows which nobody needs: how many of the change logs (delta) and how many notes
-- of TRUNCATE (track). The logs of a swap are left to the daemon, which knows what of them must be remembered. Waits
-- while a comparison begins.
create or replace function {schema}.purge_delta(older_than interval, out delta bigint, out track bigint)
    language plpgsql security definer set search_path = pg_catalog, pg_temp as
$$
declare
    here text := (select system_identifier from pg_control_system()) || '/' ||
                 (select oid from pg_database where datname = current_database());
    line record;
    removed bigint;
    upto bigint;
begin
    if older_than is null then
        raise exception 'no interval is given' using hint = 'For example: select bucardo_purge_delta(''10 minutes'').';
    end if;
    delta := 0;
    track := 0;
    perform pg_advisory_xact_lock({lock});
    for line in select * from {schema}.captured where settled_on = here and not versions order by log_name loop
        execute format('with gone as (delete from %I.%I where xid < $1 and changed_at < clock_timestamp() - $2'
                       ' returning xid) select count(*), max(xid) + 1 from gone',
                       {schema_text}, line.log_name)
            into removed, upto using line.settled, older_than;
        delta := delta + removed;
        if line.kind = 'rows' then
            with gone as (
                delete from {schema}.truncated
                where schema_name = line.schema_name and table_name = line.table_name
                  and xid < line.settled and changed_at < clock_timestamp() - older_than
                returning xid)
            select count(*), greatest(upto, max(xid) + 1) from gone into removed, upto;
            track := track + removed;
        end if;
        update {schema}.captured set purged = upto where log_name = line.log_name and purged < upto;
    end loop;
end
$$;
revoke execute on function {schema}.purge_delta(interval) from public;

-- The same for all installs of this database. Only for schemas of whoever owns this one: what a stranger made is not run.
do $do$
begin
    perform pg_advisory_xact_lock(hashtext('pgherd bucardo_purge_delta'));
    if to_regnamespace('bucardo') is null then
        create schema bucardo;
        comment on schema bucardo is 'pgherd: what the role bucardo types without naming a schema';
    end if;
    if to_regprocedure('bucardo.bucardo_purge_delta(interval)') is not null
       or to_regclass('bucardo.bucardo_delta_targets') is not null
       or not has_schema_privilege('bucardo', 'create') then
        return;  -- another install made it, or this is Bucardo's own schema
    end if;
    create function bucardo.bucardo_purge_delta(older_than interval) returns text
        language plpgsql set search_path = pg_catalog, pg_temp as
    $function$
    declare
        install name;
        one record;
        delta bigint := 0;
        track bigint := 0;
    begin
        for install in
            select n.nspname from pg_proc p join pg_namespace n on n.oid = p.pronamespace
            where p.proname = 'purge_delta' and n.nspname ~ '^pgherd(_|$)' and p.proowner = n.nspowner
              and n.nspowner in (select nspowner from pg_namespace where nspname = 'bucardo'
                                 union all select oid from pg_roles where rolname = current_user)
            order by 1
        loop
            execute format('select * from %I.purge_delta($1)', install) into one using older_than;
            delta := delta + one.delta;
            track := track + one.track;
        end loop;
        return format('Rows deleted from bucardo_delta: %s Rows deleted from bucardo_track: %s', delta, track);
    end
    $function$;
    comment on function bucardo.bucardo_purge_delta(interval) is
        'pgherd: removes change log rows that nobody needs any more and that are older than that';
    revoke execute on function bucardo.bucardo_purge_delta(interval) from public;
end
$do$;
