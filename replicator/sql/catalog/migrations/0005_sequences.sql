-- How masters of a swap come by different numbers. Those that are there go on as they are.

alter table catalog.sync
    add column sequences text not null default 'none'
        constraint sync_sequences_known check (sequences in ('interleave', 'none')),
    add column sequence_step int not null default 16
        constraint sync_sequence_step_valid check (sequence_step between 2 and 1024);
alter table catalog.sync alter column sequences drop default, alter column sequence_step drop default;
comment on column catalog.sync.sequences is 'How masters of a swap come by different numbers from sequences';
comment on column catalog.sync.sequence_step is 'How many masters may share the numbers';
