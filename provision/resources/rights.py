"""What the replication role may do, without being a superuser."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from provision.change import Change
from provision.facts import AnyProbe, Facts, Query, Server
from provision.resources.base import ident, statement

FIRST_WITH_PARAMETER_GRANTS = 15
GRANTABLE = "select :SERVER_VERSION_NUM >= 150000 as grantable \\gset\n"
"""Lets psql decide; it keeps the server's version in that variable."""


def _granted(text: str) -> bool:
    return text.strip() == "t"


@dataclass(frozen=True, kw_only=True)
class ParameterGrant:
    """A role may set a parameter that is a superuser's. Before PostgreSQL 15 no such right exists: nothing to do."""

    server: Server
    role: str
    parameter: str

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"right of {self.role} to set {self.parameter}"

    @property
    def _query(self) -> Query[bool]:
        sql = statement(
            "\\if :grantable\n"
            "select coalesce((select has_parameter_privilege(oid, {parameter}, 'SET') from pg_roles"
            " where rolname = {role}), false);\n"
            "\\else\nselect true;\n\\endif",
            parameter=self.parameter,
            role=self.role,
        )
        return Query(self.server, "postgres", GRANTABLE + sql, _granted, False)

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (self._query,)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        before_grants = 0 < self.server.major < FIRST_WITH_PARAMETER_GRANTS
        if facts[self._query] or before_grants:
            return []
        grant = f"grant set on parameter {ident(self.parameter)} to {ident(self.role)};"
        guarded = f"{GRANTABLE}\\if :grantable\n{grant}\n\\endif"
        return [Change(summary=f"grant {self.name}", script=self.server.psql(guarded), after=grant)]


MISSING = """
with who as (select oid, rolname, rolsuper from pg_roles where rolname = {role}),
things as (
  select c.oid, c.relkind, c.relowner, n.oid as schema, n.nspname, c.relname from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'S') and c.relpersistence = 'p'
  and n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema'),
owners as (
  select r.oid, r.rolname, r.rolsuper from pg_roles r
  where r.oid in (select relowner from things union select datdba from pg_database where datname = current_database())),
foreign_things as (select t.* from things t join pg_roles r on r.oid = t.relowner and r.rolsuper),
grants as (
  select 1, format('grant %I to %I;', o.rolname, w.rolname) from owners o, who w
  where not o.rolsuper and not pg_has_role(w.oid, o.oid, 'usage')
  union all
  select 2, format('grant create, connect on database %I to %I;', current_database(), w.rolname) from who w
  where not has_database_privilege(w.oid, current_database(), 'create')
  union all
  select distinct 3, format('grant usage on schema %I to %I;', t.nspname, w.rolname) from foreign_things t, who w
  where not has_schema_privilege(w.oid, t.schema, 'usage')
  union all
  select 4, format('grant all on table %I.%I to %I;', t.nspname, t.relname, w.rolname) from foreign_things t, who w
  where t.relkind <> 'S' and exists (
    select from unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'trigger']) privilege
    where not has_table_privilege(w.oid, t.oid, privilege))
  union all
  select 5, format('grant all on sequence %I.%I to %I;', t.nspname, t.relname, w.rolname) from foreign_things t, who w
  where t.relkind = 'S' and exists (
    select from unnest(array['usage', 'select', 'update']) privilege
    where not has_sequence_privilege(w.oid, t.oid, privilege))
  union all
  select 6, format('alter default privileges grant all on %s to %I;', k.word, w.rolname)
  from (values ('r', 'tables'), ('S', 'sequences')) k(kind, word), who w
  where not exists (
    select from pg_default_acl d, aclexplode(d.defaclacl) a
    where d.defaclrole = (select oid from pg_roles where rolname = current_user) and d.defaclnamespace = 0
    and d.defaclobjtype::text = k.kind and a.grantee = w.oid))
select case when not exists (select from who) then 'null'
  when (select rolsuper from who) then '[]'
  else (select coalesce(json_agg(statement order by place, statement), '[]') from grants g(place, statement)) end;
"""
"""The grants that a role lacks in a database, as a list of statements; null when there is no such role."""


def _statements(text: str) -> tuple[str, ...] | None:
    found = json.loads(text)
    return None if found is None else tuple(found)


@dataclass(frozen=True, kw_only=True)
class ReplicationRights:
    """The replication role can read, write and watch every table of a database, now and later.

    It is made a member of the roles that own them: so it may also put triggers on them. What belongs to a superuser
    is granted piece by piece instead (membership would hand over the server), and in advance for what is yet to come.
    """

    server: Server
    dbname: str
    role: str
    owner: str

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"rights of {self.role} in {self.dbname}"

    @property
    def _query(self) -> Query[tuple[str, ...] | None]:
        return Query(self.server, self.dbname, statement(MISSING, role=self.role), _statements, None)

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (self._query,)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        found = facts[self._query]
        missing = self._first() if found is None else found
        if not missing:
            return []
        script = self.server.psql("\n".join(["begin;", *missing, "commit;"]), dbname=self.dbname)
        return [Change(summary=f"grant {self.name}", script=script, after="\n".join(missing))]

    def _first(self) -> tuple[str, ...]:
        """What a new role and a new database will want; the next look at the server finds the rest."""
        if 0 < self.server.major < FIRST_WITH_PARAMETER_GRANTS:
            return ()
        owner = () if self.owner in (self.role, self.server.superuser) else (self.owner,)
        return (
            *(f"grant {ident(name)} to {ident(self.role)};" for name in owner),
            f"grant create, connect on database {ident(self.dbname)} to {ident(self.role)};",
            *(
                f"alter default privileges grant all on {kind} to {ident(self.role)};"
                for kind in ("tables", "sequences")
            ),
        )
