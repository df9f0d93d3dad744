-- Code that syncs run at moments of their runs.

alter table catalog.sync
    add column hooks jsonb not null default '[]' constraint sync_hooks_are_a_list check (jsonb_typeof(hooks) = 'array');
alter table catalog.sync alter column hooks drop default;
comment on column catalog.sync.hooks is 'What it runs at moments of its runs: name, moment, call, tables, seconds';
