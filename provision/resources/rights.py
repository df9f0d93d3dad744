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
with recursive who as (select oid, rolname, rolsuper from pg_roles where rolname = {role}),
named as (
  select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'S') and c.relpersistence = 'p'
  and n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema' and n.nspowner <> (select oid from who)
  and ({everything}::boolean or exists (
    select from regexp_split_to_table({named}, '\n') x where to_regclass(nullif(x, '')) = c.oid))
  and not exists (
    select from regexp_split_to_table({excluded}, '\n') x where to_regclass(nullif(x, '')) = c.oid)
  union
  select i.inhrelid from pg_inherits i join named on named.oid = i.inhparent),
things as (
  select c.relkind, c.relname, n.nspname, n.oid as schema, r.rolname as owner, r.oid as owner_id, r.rolsuper
  from named join pg_class c using (oid) join pg_namespace n on n.oid = c.relnamespace
  join pg_roles r on r.oid = c.relowner),
owners as (
  select owner as rolname, owner_id as oid from things where not rolsuper
  union
  select rolname, r.oid from pg_database d join pg_roles r on r.oid = d.datdba
  where datname = current_database() and not rolsuper),
grants as (
  select 1, format('grant %I to %I;', o.rolname, w.rolname) from owners o, who w
  where not pg_has_role(w.oid, o.oid, 'usage')
  union all
  select 2, format('grant create, connect on database %I to %I;', current_database(), w.rolname) from who w
  where not has_database_privilege(w.oid, current_database(), 'create')
  union all
  select distinct 3, format('grant usage on schema %I to %I;', t.nspname, w.rolname) from things t, who w
  where not has_schema_privilege(w.oid, t.schema, 'usage')
  union all
  select 4, format('alter %s %I.%I owner to %I;', case relkind when 'S' then 'sequence' else 'table' end,
    nspname, relname, {owner}) from things where rolsuper
  and not exists (
    select from pg_depend where classid = 'pg_class'::regclass and relkind = 'S' and deptype in ('a', 'i')
    and objid = format('%I.%I', nspname, relname)::regclass))
select case when not exists (select from who) then 'null'
  when (select rolsuper from who) then '[]'
  else (select coalesce(json_agg(statement order by place, statement), '[]') from grants g(place, statement)) end;
"""
"""What a role lacks in a database, as a list of statements; null when there is no such role.

A sequence that belongs to a column has the owner of its table.
"""


def _statements(text: str) -> tuple[str, ...] | None:
    found = json.loads(text)
    return None if found is None else tuple(found)


@dataclass(frozen=True, kw_only=True)
class ReplicationRights:
    """The replication role can read, write and watch what is replicated in a database.

    To put triggers on a table, a role has to have its owner's rights, so it is made a member of the owners. Membership
    in a superuser would hand over the whole server: what belongs to one is given to `owner` instead.
    relations: tables and sequences; None: all, except excluded.
    """

    server: Server
    dbname: str
    role: str
    owner: str
    relations: tuple[str, ...] | None = ()
    excluded: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"rights of {self.role} in {self.dbname}"

    @property
    def _query(self) -> Query[tuple[str, ...] | None]:
        sql = statement(
            MISSING,
            role=self.role,
            owner=self.owner,
            everything="yes" if self.relations is None else "no",
            named="\n".join(self.relations or ()),
            excluded="\n".join(self.excluded),
        )
        return Query(self.server, self.dbname, sql, _statements, None)

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
        owners = () if self.owner in (self.role, self.server.superuser) else (self.owner,)
        role = ident(self.role)
        return (
            *(f"grant {ident(owner)} to {role};" for owner in owners),
            f"grant create, connect on database {ident(self.dbname)} to {role};",
        )
