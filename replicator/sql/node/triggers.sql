-- row_function --
-- Logs the key of a changed row, and the old key too when it changed. Runs with the log owner's rights, so that the
-- application's role needs none on the log.
create or replace function {function}() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as
$$
begin
    if not pg_try_advisory_xact_lock_shared({bell}) then
        perform pg_notify({channel}, '');
    end if;
    if tg_op = 'DELETE' then
        insert into {log} ({keys}, op) values ({old}, 'D');
        return null;
    end if;
    if tg_op = 'UPDATE' and not ({same}) then
        insert into {log} ({keys}, op) values ({old}, 'D');
        insert into {log} ({keys}, op) values ({new}, 'I');
        return null;
    end if;
    insert into {log} ({keys}, op) values ({new}, left(tg_op, 1)::"char");
    return null;
end
$$

-- now --
select greatest(clock_timestamp(), timestamptz 'epoch' + (last_value + 1) * interval '1 microsecond')
from {schema}.floor

-- versioned_row_function --
-- The same for a table of a swap, where the time of a change decides.
create or replace function {function}() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as
$$
declare
    at timestamptz := ({now});
begin
    if not pg_try_advisory_xact_lock_shared({bell}) then
        perform pg_notify({channel}, '');
    end if;
    if tg_op = 'DELETE' then
        insert into {log} ({keys}, op, changed_at) values ({old}, 'D', at);
        return null;
    end if;
    if tg_op = 'UPDATE' and not ({same}) then
        insert into {log} ({keys}, op, changed_at) values ({old}, 'D', at);
        insert into {log} ({keys}, op, changed_at) values ({new}, 'I', at);
        return null;
    end if;
    insert into {log} ({keys}, op, changed_at) values ({new}, left(tg_op, 1)::"char", at);
    return null;
end
$$

-- counting_row_function --
-- The same for a table with counters: an update also notes by how much they changed. One that changes nothing else is
-- no version of the row (op +), so it has no rivals. Rows are compared whole, byte by byte, so that a column which is
-- added counts at once.
create or replace function {function}() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as
$$
declare
    at timestamptz := ({now});
    same_but record;
begin
    if not pg_try_advisory_xact_lock_shared({bell}) then
        perform pg_notify({channel}, '');
    end if;
    if tg_op = 'DELETE' then
        insert into {log} ({keys}, op, changed_at) values ({old}, 'D', at);
        return null;
    end if;
    if tg_op = 'INSERT' then
        insert into {log} ({keys}, op, changed_at) values ({new}, 'I', at);
        return null;
    end if;
    if not ({same}) then
        insert into {log} ({keys}, op, changed_at) values ({old}, 'D', at);
        insert into {log} ({keys}, op, changed_at) values ({new}, 'I', at);
        return null;
    end if;
    same_but := old;
    {counted}
    insert into {log} ({keys}, op, changed_at, {gains})
    values ({new}, case when same_but operator(pg_catalog.*=) new then '+' else 'U' end, at, {gained});
    return null;
end
$$

-- keyless_row_function --
-- Logs whole rows of a table without a key, in which rows can only be inserted: nothing tells which of two equal rows
-- another node should change.
create or replace function {function}() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as
$$
begin
    if not pg_try_advisory_xact_lock_shared({bell}) then
        perform pg_notify({channel}, '');
    end if;
    if tg_op <> 'INSERT' then
        raise exception 'cannot % a row of %: it has no key, and is replicated between masters',
            lower(tg_op), tg_relid::regclass
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
create or replace function {function}() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as
$$
begin
    if not pg_try_advisory_xact_lock_shared({bell}) then
        perform pg_notify({channel}, '');
    end if;
    insert into {log} default values;
    return null;
end
$$
