"""Database roles: their attributes, passwords and memberships."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from psycopg.sql import Identifier

from provision.change import Change
from provision.facts import AnyProbe, Facts, Query, Server
from provision.resources.base import here, ident, statement
from provision.secrets import MASK, Secret, proves, scram_verifier
from provision.transport import quote

ATTRIBUTES = ("login", "superuser", "inherit", "createdb", "createrole", "replication")

ROLE = """
select json_build_object(
  'major', current_setting('server_version_num')::int / 10000,
  'attributes', (
    select json_build_object('login', rolcanlogin, 'superuser', rolsuper, 'inherit', rolinherit,
      'createdb', rolcreatedb, 'createrole', rolcreaterole, 'replication', rolreplication)
    from pg_authid where oid = r.oid),
  'verifier', (select rolpassword from pg_authid where oid = r.oid),
  'member_of', (
    select coalesce(json_agg(g.rolname order by g.rolname), '[]')
    from pg_auth_members m join pg_roles g on g.oid = m.roleid where m.member = r.oid))
from (select (select oid from pg_roles where rolname = {role}) as oid) r;
"""


@dataclass(frozen=True)
class RoleFact:
    """A role. major: the server's major version; verifier: what the server keeps of the password."""

    exists: bool = False
    major: int = 0
    attributes: Mapping[str, bool] = field(default_factory=dict)
    verifier: str = field(default="", repr=False)
    member_of: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> RoleFact:
        """Read what the query prints."""
        found = json.loads(text)
        if found["attributes"] is None:
            return cls(major=found["major"])
        return cls(True, found["major"], found["attributes"], found["verifier"] or "", tuple(found["member_of"]))


def role_query(server: Server, role: str) -> Query[RoleFact]:
    """Asks for a role."""
    return Query(server, "postgres", statement(ROLE, role=role), RoleFact.parse, RoleFact())


@dataclass(frozen=True, kw_only=True)
class Role:
    """A role that can log in.

    superuser_before: it is a superuser on servers of a major version below this (0: never); other servers let an
    ordinary role do the work. replication: it may read replication slots. member_of: roles whose rights it has as well.
    """

    server: Server
    role: str
    password: Secret | None = None
    superuser: bool = False
    superuser_before: int = 0
    replication: bool = False
    member_of: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"role {self.role}"

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (role_query(self.server, self.role),)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        found = facts[role_query(self.server, self.role)]
        if self.superuser and not found.exists:
            return []  # initdb makes it
        statements = list(self._statements(found))
        if not statements:
            return []
        verb = "change" if found.exists else "create"
        script = self.server.psql("\n".join(["begin;", *statements, "commit;"]))
        before, after = self._shown(found)
        return [Change(summary=f"{verb} {self.name}", script=script, before=before, after=after)]

    def _wanted(self, found: RoleFact) -> dict[str, bool]:
        major = found.major or self.server.major or self.superuser_before
        superuser = self.superuser or major < self.superuser_before
        everything = dict.fromkeys(ATTRIBUTES, self.superuser)
        replication = self.superuser or self.replication
        return {**everything, "login": True, "inherit": True, "superuser": superuser, "replication": replication}

    def _statements(self, found: RoleFact) -> Iterable[str]:
        role = ident(self.role)
        name = Identifier(self.role)
        wanted = self._wanted(found)
        if not found.exists:
            yield f"create role {role};"
        if wanted != found.attributes:
            words = " ".join(key if on else f"no{key}" for key, on in wanted.items())
            yield f"alter role {role} {words};"
        if self.password and not self._proven(found):
            kept = scram_verifier(self.password)
            yield statement("alter role {role} password {kept};", role=name, kept=kept)
        for group in self._missing_groups(found):
            yield f"grant {ident(group)} to {role};"

    def _proven(self, found: RoleFact) -> bool:
        return self.password is None or proves(found.verifier, self.password, self.role)

    def _missing_groups(self, found: RoleFact) -> list[str]:
        return [group for group in self.member_of if group not in found.member_of]

    def _shown(self, found: RoleFact) -> tuple[str | None, str]:
        """Both states as people read them; the password is only said to differ."""
        kept = self._proven(found)
        groups = tuple(dict.fromkeys((*found.member_of, *self.member_of)))
        before = _lines(found.attributes, found.member_of, "" if kept else "another")
        after = _lines(self._wanted(found), groups, "" if kept else MASK)
        return before if found.exists else None, after


def _lines(attributes: Mapping[str, bool], groups: Iterable[str], password: str) -> str:
    lines = [" ".join(name if on else f"no{name}" for name, on in attributes.items())]
    lines += [f"password {password}"] if password else []
    lines += [f"member of {group}" for group in groups]
    return "\n".join(lines)


def known_password(server: Server, password: Secret) -> str:
    """A fragment that judges a new password file of the server's (its path is in "$t"): it must let us in.

    Where only the file in place does, the superuser's password is changed by it first. So a password can be changed
    where it is kept, and neither way is closed in between.
    """
    wanted = statement(
        "alter role {role} password {kept};", role=Identifier(server.superuser), kept=scram_verifier(password)
    )
    bare = replace(server, passfile="")
    logins = _login(bare, '"$t"', "select 1;") + _login(bare, quote(server.passfile), wanted)
    return f"{server.ready()} || exit 0\n{{\n{logins}}} 2>&1 >/dev/null\nexit 1\n"


def _login(server: Server, passfile: str, sql: str) -> str:
    opening, body = here(sql)
    command = f"PGPASSFILE={passfile} {server.psql_command()} {opening} && exit 0\n{body}"
    return f"if [ -e {passfile} ]; then\n{command}fi\n"
