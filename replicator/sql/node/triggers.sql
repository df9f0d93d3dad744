-- row_function --
-- Logs the key of a changed row, and the old key too when it changed. Runs with the log owner's rights, so that the
-- application's role needs none on the log. Every change of an application waits for it: so it has few expressions
-- (each is prepared anew in every transaction) and no search_path of its own, which would be set and set back at each
-- call. Therefore every name in it has its schema, operators too: it must find the same things whatever path the
-- application has.
create or replace function {function}() returns trigger language plpgsql security definer as
$$
begin
    if not pg_catalog.pg_try_advisory_xact_lock_shared({bell}) then
        perform pg_catalog.pg_notify({channel}, '');
    end if;
    if {updated} {same} then
        insert into {log} ({keys}, op {at}) values ({new}, 'U' {now});
        return null;
    end if;
    if tg_op operator(pg_catalog.<>) 'INSERT' then
        insert into {log} ({keys}, op {at}) values ({old}, 'D' {now});
    end if;
    if tg_op operator(pg_catalog.<>) 'DELETE' then
        insert into {log} ({keys}, op {at}) values ({new}, 'I' {now});
    end if;
    return null;
end
$$

-- now --
select greatest(pg_catalog.clock_timestamp(),
                pg_catalog.to_timestamp(0) operator(pg_catalog.+)
                ((last_value operator(pg_catalog.+) 1) operator(pg_catalog.*) interval '1 microsecond'))
from {schema}.floor

-- counting_row_function --
-- The same for a table with counters: an update also notes by how much they changed. One that changes nothing else is
-- no version of the row (op +), so it has no rivals. Rows are compared whole, byte by byte, so that a column which is
-- added counts at once.
create or replace function {function}() returns trigger language plpgsql security definer as
$$
declare
    same_but record;
begin
    if not pg_catalog.pg_try_advisory_xact_lock_shared({bell}) then
        perform pg_catalog.pg_notify({channel}, '');
    end if;
    if {updated} {same} then
        same_but := old;
        {counted}
        insert into {log} ({keys}, op {at}, {gains})
        values ({new}, case when same_but operator(pg_catalog.*=) new then '+' else 'U' end {now}, {gained});
        return null;
    end if;
    if tg_op operator(pg_catalog.<>) 'INSERT' then
        insert into {log} ({keys}, op {at}) values ({old}, 'D' {now});
    end if;
    if tg_op operator(pg_catalog.<>) 'DELETE' then
        insert into {log} ({keys}, op {at}) values ({new}, 'I' {now});
    end if;
    return null;
end
$$

-- keyless_row_function --
-- Logs whole rows of a table without a key, in which rows can only be inserted: nothing tells which of two equal rows
-- another node should change.
create or replace function {function}() returns trigger language plpgsql security definer as
$$
begin
    if not pg_catalog.pg_try_advisory_xact_lock_shared({bell}) then
        perform pg_catalog.pg_notify({channel}, '');
    end if;
    if tg_op operator(pg_catalog.<>) 'INSERT' then
        raise exception 'cannot % a row of %: it has no key, and is replicated between masters',
            pg_catalog.lower(tg_op), tg_relid::pg_catalog.regclass
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'Rows can only be inserted. To change them, add a primary key.';
    end if;
    insert into {log} ({keys}, op) values ({new}, 'I');
    return null;
end
$$

-- keyless_truncate_function --
-- TRUNCATE of such a table would be undone by nothing and reach nobody.
create or replace function {truncate_function}() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as
$$
begin
    raise exception 'cannot truncate %: it has no key, and is replicated between masters', tg_relid::regclass
        using errcode = 'object_not_in_prerequisite_state', hint = 'pgbench does not try to with -n.';
end
$$

-- truncate_function --
-- TRUNCATE as the deletion of every row: for a partition (the root keeps its other rows) and for a table of a swap
-- (each deletion has a version of its own).
create or replace function {truncate_function}() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as
$$
begin
    execute format('insert into {log_text} ({keys_text}, op, changed_at) select {columns_text}, ''D'', ({now_text})'
                   ' from only %I.%I',
                   tg_table_schema, tg_table_name);
    return null;
end
$$

-- touch_function --
-- Logs that a statement changed the table, not which rows.
create or replace function {function}() returns trigger language plpgsql security definer as
$$
begin
    if not pg_catalog.pg_try_advisory_xact_lock_shared({bell}) then
        perform pg_catalog.pg_notify({channel}, '');
    end if;
    insert into {log} default values;
    return null;
end
$$
