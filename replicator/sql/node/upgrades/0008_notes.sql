-- Whether what arrives from another master is noted in the log, whatever the row (replicator/capture/needs.py).

alter table {schema}.captured add column notes boolean not null default true;
update {schema}.node set version = 8;
