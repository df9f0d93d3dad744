-- The floor where every transaction sees it as it is, and what counters gain while their row is parked.

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
with before as (select floor from {schema}.node), lowest as (update {schema}.node set floor = '-infinity')
select set_config('pgherd.floor', floor::text, true) from before;
update {schema}.node set floor = current_setting('pgherd.floor')::timestamptz
where current_setting('pgherd.floor')::timestamptz > floor;
alter table {schema}.parked add column gains jsonb;
update {schema}.node set version = 4;
