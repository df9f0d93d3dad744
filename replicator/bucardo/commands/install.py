"""`bucardo_ctl install`: makes the role and the database `bucardo`, the catalog in it, and a configuration for both.

It asks before it acts, as 4.5 did; `--batch` does not. Every install has a name of its own, by which its objects on
nodes are told from those of others: two installs may work on the same databases.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
from psycopg import sql

from replicator import config, postgres
from replicator.bucardo import place
from replicator.bucardo.session import Failed, Session
from replicator.catalog import Catalog
from replicator.errors import ReplicatorError, UsageError
from replicator.habits import SETTINGS, checked
from replicator.model import Install
from replicator.postgres import Connection, Connector

PROMPT = "Enter a number to change it, P to proceed, or Q to quit: "
MENU = {"1": "host", "2": "port", "3": "user", "4": "dbname", "5": "piddir"}
LABELS = {"host": "Host", "port": "Port", "user": "User", "dbname": "Database", "piddir": "PID directory"}


@dataclass(frozen=True, kw_only=True)
class Choices:
    """How to reach the server as a superuser, and where the files go. host: empty for libpq's default."""

    host: str = ""
    port: str = "5432"
    user: str = "postgres"
    dbname: str = "postgres"
    piddir: str = SETTINGS["piddir"].default

    @property
    def server(self) -> dict[str, str]:
        """libpq's parameters for the server alone."""
        return {"port": self.port, **({"host": self.host} if self.host else {})}


def run(session: Session) -> None:
    """Install. Raises what went wrong after saying that the installation failed."""
    choices = _chosen(session)
    try:
        checked("piddir", choices.piddir)
        _install(session, choices)
    except ReplicatorError:
        session.say("INSTALLATION FAILED!")
        raise
    session.say("Installation is now complete.")
    session.say("\nThe settings: bucardo_ctl show all\nChange one: bucardo_ctl set foo=bar")


def _chosen(session: Session) -> Choices:
    options = {"host": "dbhost", "port": "dbport", "user": "dbuser", "dbname": "dbname", "piddir": "piddir"}
    given = {key: value for key, option in options.items() if (value := session.option(option))}
    choices = Choices(**given)
    session.say(
        "This installs the bucardo database into an existing PostgreSQL server.\n"
        "It needs a superuser there; the role and the database 'bucardo' are made if they are missing.\n"
    )
    while not session.line.on("batch"):
        session.say("Current connection settings:")
        for number, key in MENU.items():
            session.say(f"{number}. {LABELS[key] + ':':<14} {getattr(choices, key) or '<none>'}")
        answer = _ask(PROMPT)
        if answer.upper().startswith("P"):
            break
        if answer.upper().startswith("Q"):
            session.say("Goodbye!")
            raise Failed(1)
        if answer in MENU:
            choices = _changed(choices, MENU[answer])
    return choices


def _ask(prompt: str) -> str:
    try:
        return input(prompt).strip()
    except EOFError:
        raise UsageError("nobody answers; --batch installs without asking.") from None


def _changed(choices: Choices, key: str) -> Choices:
    return replace(choices, **{key: _ask(f"Change the {LABELS[key].lower()} to: ") or getattr(choices, key)})


def _install(session: Session, choices: Choices) -> None:
    params = {**choices.server, "user": choices.user, "dbname": choices.dbname}
    if session.option("dbpass"):
        params["password"] = str(session.option("dbpass"))
    with postgres.connect({**postgres.TIMEOUTS, **params}, "the server", autocommit=True) as connection:
        session.say(f"PostgreSQL version is: {postgres.release(connection.info.server_version)}")
        session.say("Creating the role and the database 'bucardo'")
        with postgres.translated("the server"):
            _refuse_second(connection, params)
            _make_role(connection)
            _make_database(connection)
        server = _as_reached(connection, choices)
    catalog = {"dbname": place.NAME, "user": place.NAME, **server}
    _write_folder(Path(choices.piddir))
    install = Install(f"bucardo_{secrets.token_hex(4)}")
    settings = config.Config(install=install, catalog=catalog)
    _fill(Connector(settings), choices)
    settings = place.save(install, catalog, Path(choices.piddir), place.remember_password(catalog, None))
    session.say(f"The configuration is {settings.path}")


def _refuse_second(connection: Connection, params: Mapping[str, str]) -> None:
    """An installation is not made over another."""
    if not connection.execute("select from pg_database where datname = %s", [place.NAME]).fetchone():
        return
    with postgres.connect({**params, "dbname": place.NAME}, "the database bucardo", autocommit=True) as there:
        if postgres.fetch_one(there, "select to_regclass('catalog.install') is not null")[0]:
            raise UsageError("Bucardo is installed there already.", hint="`bucardo_ctl upgrade` brings it up to date.")


def _make_role(connection: Connection) -> None:
    name = sql.Identifier(place.NAME)
    if not connection.execute("select from pg_roles where rolname = %s", [place.NAME]).fetchone():
        connection.execute(sql.SQL("create role {} login superuser").format(name))
    connection.execute(sql.SQL("alter role {} set search_path = bucardo").format(name))


def _make_database(connection: Connection) -> None:
    name = sql.Identifier(place.NAME)
    if not connection.execute("select from pg_database where datname = %s", [place.NAME]).fetchone():
        try:
            connection.execute(sql.SQL("create database {0} owner {0}").format(name))
        except psycopg.errors.ObjectInUse:  # somebody is connected to the template
            connection.execute(sql.SQL("create database {0} owner {0} template template0").format(name))
    connection.execute(sql.SQL("alter database {} set search_path = bucardo, public").format(name))


def _as_reached(connection: Connection, choices: Choices) -> dict[str, str]:
    """The server as it was reached: the daemon must find it without this terminal's environment."""
    return {"host": choices.host or connection.info.host, "port": str(connection.info.port)}


def _write_folder(piddir: Path) -> None:
    try:
        piddir.mkdir(parents=True, exist_ok=True)
        (piddir / ".writable").touch()
        (piddir / ".writable").unlink()
    except OSError as error:
        raise UsageError(f"{piddir}: {error.strerror}; choose another PID directory.") from error


def _fill(connector: Connector, choices: Choices) -> None:
    Catalog.init(connector)
    with Catalog.open(connector, "ctl") as catalog:
        catalog.set_bucardo("piddir", choices.piddir)
