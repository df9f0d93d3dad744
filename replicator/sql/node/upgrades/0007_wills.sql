-- By what a slave of a swap can follow another master without a copy (replicator/succession.py).

alter table {schema}.progress add column will jsonb;
alter table {schema}.captured add column whole_from bigint not null default txid_current();
update {schema}.node set version = 7;
