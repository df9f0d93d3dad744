-- What a function made of the two rows of a conflict.

alter table {schema}.conflict add column merged_row jsonb;
update {schema}.node set version = 6;
