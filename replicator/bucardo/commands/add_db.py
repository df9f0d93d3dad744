"""`bucardo_ctl add db`: makes a database known, once it has answered.

Where its server has no role `bucardo` but lets `postgres` in, the role is made there, a superuser as in 4.5.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

import psycopg
from psycopg import conninfo, sql

from replicator import validate
from replicator.bucardo.declaring import converge, good_name, new, reject_unknown, with_value
from replicator.bucardo.grouping import grouped
from replicator.bucardo.session import Session
from replicator.cli import passwords
from replicator.errors import Refused, UsageError
from replicator.model import Database
from replicator.postgres import translated

ALIASES = {"dbname": "name", "dbhost": "host", "dbport": "port", "dbuser": "user", "dbpass": "pass", "dbconn": "conn"}
KNOWN = ("conn", "group", "dbgroup", "host", "name", "pass", "port", "service", "status", "user", *ALIASES)
IDLE = ("sourcelimit", "ssp", "targetlimit")
"""Kept and shown, without effect."""

WARNING = "A password on a command line can be read by others; it goes into the password file, and there only."


def add(session: Session, _noun: str, words: tuple[str, ...]) -> None:
    """Add one, and its group if one is named."""
    if len(words) > 1:
        raise UsageError(f'Not understood: "{words[1]}". See `bucardo_ctl help add db`.')
    pairs = {ALIASES.get(name, name): value for name, value in session.line.pairs.items()}
    reject_unknown(pairs, (*KNOWN, *IDLE), "db")
    database = made(words[0], pairs)
    good_name("database", database.name)
    desired = new(session.topology, "db", database)
    group = pairs.get("group", pairs.get("dbgroup"))
    said = [f'Added database "{database.name}"']
    if group:
        desired, more = grouped(desired, group, database.name)
        said += more
    if pairs.get("pass"):
        print(WARNING, file=sys.stderr)
    with passwords.kept(session.config, database, pairs.get("pass") or None):
        if database.active:
            _reach(session, database)
        converge(session, desired)
    session.keep("db", database.name, {name: pairs[name] for name in IDLE if name in pairs})
    session.say("\n".join(said))


def made(dbname: str, pairs: Mapping[str, str]) -> Database:
    """The database that a command line describes. Raises UsageError. Pure."""
    port = pairs.get("port") or "5432"
    if not port.isdigit():
        raise UsageError(f'Invalid port: "{port}" (a number expected)')
    return Database(
        name=pairs.get("name") or dbname,
        dbname=dbname,
        host=pairs.get("host", ""),
        port=int(port),
        user=pairs.get("user") or "bucardo",
        options=options(pairs),
        active=active(pairs.get("status", "active")),
    )


def active(status: str) -> bool:
    """What `status=` says. Raises UsageError."""
    if status.lower() not in ("active", "inactive"):
        raise UsageError(f'Invalid status: "{status}" (active or inactive expected)')
    return status.lower() == "active"


def options(pairs: Mapping[str, str]) -> dict[str, str]:
    """Further libpq parameters, of `conn=` and `service=`. Raises UsageError."""
    try:
        found = {key: str(value) for key, value in conninfo.conninfo_to_dict(pairs.get("conn", "")).items()}
    except psycopg.ProgrammingError as error:
        raise UsageError(f"Invalid conn: {error}") from error
    return {**found, **({"service": pairs["service"]} if pairs.get("service") else {})}


def _reach(session: Session, database: Database) -> None:
    """See that the database lets us in; make our role if that is what is missing. Raises InvalidTopology."""
    desired = with_value(session.topology, database)
    validate.check(desired, session.connector, ())
    try:
        session.connector.open(database, "ctl").close()
    except Refused as refused:
        if not _make_role(session, database):
            raise refused from None
    validate.answer([database], session.connector)


def _make_role(session: Session, database: Database) -> bool:
    """Make the role as `postgres`; whether that could be tried and it was missing."""
    superuser = Database(name=database.name, dbname="postgres", host=database.host, port=database.port, user="postgres")
    try:
        connection = session.connector.open(superuser, "ctl", autocommit=True)
    except Refused:
        return False
    with connection, translated(str(superuser)):
        if connection.execute("select from pg_roles where rolname = %s", [database.user]).fetchone():
            return False
        role = sql.Identifier(database.user)
        connection.execute(sql.SQL("create role {} login superuser").format(role))
        connection.execute(sql.SQL("alter role {} set search_path = bucardo").format(role))
    session.say(f'Created superuser "{database.user}" on {database.host or "the local server"}')
    return True
