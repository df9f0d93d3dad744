-- Databases whose changes are captured from their WAL.

alter table catalog.db
    add column capture text not null default 'triggers'
        constraint db_capture_known check (capture in ('triggers', 'wal'));
comment on column catalog.db.capture is 'triggers: statements log what they change; wal: it is decoded from the WAL';
