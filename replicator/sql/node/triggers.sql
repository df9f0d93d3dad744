-- row_function --
-- Logs the key of a changed row, and the old key too when it changed. Runs with the log owner's rights, so that the
-- application's role needs none on the log.
create or replace function {function}() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as
$$
begin
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

-- versioned_row_function --
-- The same for a table of a swap, where the time of a change decides: it never lies before the node's floor.
create or replace function {function}() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as
$$
declare
    at timestamptz := greatest(clock_timestamp(), (select floor from {schema}.node));
begin
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

-- truncate_function --
-- TRUNCATE as the deletion of every row: for a partition (the root keeps its other rows) and for a table of a swap
-- (each deletion has a version of its own).
create or replace function {truncate_function}() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as
$$
begin
    execute format('insert into {log_text} ({keys_text}, op, changed_at) select {columns_text}, ''D'','
                   ' greatest(clock_timestamp(), (select floor from {schema_text}.node)) from only %I.%I',
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
    insert into {log} default values;
    return null;
end
$$
