-- Columns that a sync adds on its targets by itself.

alter table catalog.sync
    add column ddl text not null default 'none' constraint sync_ddl_known check (ddl in ('none', 'newcol'));
alter table catalog.sync alter column ddl drop default;
comment on column catalog.sync.ddl is 'Which changes of definitions it makes on its targets by itself';
