-- Strategies of any kind, those of single tables, and counters.

alter table catalog.sync drop constraint sync_strategy_known;
alter table catalog.sync add constraint sync_strategy_given check (strategy <> '');
alter table catalog.sync
    add column strategies jsonb not null default '[]'
        constraint sync_strategies_are_a_list check (jsonb_typeof(strategies) = 'array'),
    add column counters text[] not null default '{}';
alter table catalog.sync alter column strategies drop default, alter column counters drop default;
comment on column catalog.sync.strategy is 'Who wins when masters of a swap changed one row';
comment on column catalog.sync.strategies is 'The same of tables that have their own: triples of schema, name, strategy';
comment on column catalog.sync.counters is 'Columns that concurrent changes add up in: column, or table.column';
