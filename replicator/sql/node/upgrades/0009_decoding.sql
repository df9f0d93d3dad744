-- Logs that are fed from the WAL (replicator/capture/decoding).

alter table {schema}.captured add column decoded boolean not null default false;

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

update {schema}.node set version = 9;
