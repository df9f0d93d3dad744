-- Members of dbgroups that are masters or slaves whatever the sync.

alter table catalog.dbgroup_member
    add column role text
        constraint dbgroup_member_role_known check (role in ('source', 'target'));
comment on column catalog.dbgroup_member.role is 'source: it is read too; target: only written; null: as the sync says';
