"""Resources as tables: given facts, what changes. No host is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from provision.change import Change
from provision.errors import HostFailed
from provision.facts import (
    Facts,
    NotYet,
    PathFact,
    Server,
    ServerFact,
    ServerState,
    digest_of,
    free_space,
    look_at,
    text_of,
)
from provision.resources import (
    Account,
    AccountGone,
    Applied,
    Database,
    DataDirectory,
    Directory,
    File,
    Gone,
    Halted,
    ParameterGrant,
    PgbenchTables,
    Programs,
    ReplicationRights,
    Resource,
    Role,
    Room,
    Running,
)
from provision.resources.databases import database_query
from provision.resources.datadir import server_probe
from provision.resources.pgbench import TABLES, TablesFact, tables_query
from provision.resources.roles import RoleFact, role_query
from provision.resources.service import ServiceFact, installed_version, service_query
from provision.secrets import Secret, scram_verifier

SERVER = Server(
    bin="/opt/pg/bin", data="/lab/data", log="/lab/log", host="127.0.0.9", port=5432, passfile="/lab/passfile", major=16
)
OLD = replace(SERVER, major=14)
PASSWORD = Secret("a password of some length")
PLAIN = {
    "login": True,
    "superuser": False,
    "inherit": True,
    "createdb": False,
    "createrole": False,
    "replication": False,
}
MADE = RoleFact(True, 16, PLAIN, scram_verifier(PASSWORD), ("owner",))


class Given(Facts):
    """Facts as a test gives them. What it does not give is not known yet."""

    def __init__(self, values: Mapping[Any, object]) -> None:
        super().__init__()
        self._values = dict(values)

    def __getitem__(self, probe: Any) -> Any:
        if probe not in self._values:
            raise NotYet("the server is stopped")
        return self._values[probe]


def state(kind: ServerState, version: str = "16", server: Server = SERVER) -> dict[Any, object]:
    return {server_probe(server): ServerFact(kind, "" if kind is ServerState.BARE else version)}


def service(**found: Any) -> dict[Any, object]:
    return {service_query(SERVER): ServiceFact(version="16.4", **found), installed_version(SERVER): "16.4"}


def only(resource: Resource, value: object) -> dict[Any, object]:
    """Facts that give one value to a resource that asks one question."""
    (probe,) = resource.probes()
    return {probe: value}


folder = Directory(path="/lab", mode=0o750, owner="postgres")
file = File(path="/lab/a.conf", text="new\n", mode=0o600, owner="postgres", follows="reload")
secret = File(path="/lab/passfile", text="the secret\n", mode=0o600, secret=True)
DIGEST = "c62eb2c2ddcbfb4f3ffbc1d9ed2acc3d61d4d3a1e4ad1a0a2cd1a3aa0e1b1e4f"
role = Role(
    server=SERVER,
    role="clerk",
    password=PASSWORD,
    member_of=("owner",),
    superuser_before=15,
)
grant = ParameterGrant(server=SERVER, role="clerk", parameter="session_replication_role")
filled = PgbenchTables(server=SERVER, dbname="shop", owner="owner", scale=3, fill=True)
empty = replace(filled, fill=False)
rights = ReplicationRights(server=SERVER, dbname="shop", role="clerk", owner="owner")
halted = Halted(SERVER)

TABLE: list[tuple[str, Resource, dict[Any, object], list[str]]] = [
    ("a folder", folder, {look_at("/lab"): PathFact()}, ["create folder /lab"]),
    ("as it is", folder, {look_at("/lab"): PathFact("directory", 0o750, "postgres")}, []),
    (
        "open to others",
        folder,
        {look_at("/lab"): PathFact("directory", 0o777, "postgres")},
        ["set mode 750 owner postgres on /lab"],
    ),
    (
        "somebody else's",
        folder,
        {look_at("/lab"): PathFact("directory", 0o750, "bin")},
        ["set mode 750 owner postgres on /lab"],
    ),
    ("a file", file, {text_of(file.path): PathFact()}, ["write /lab/a.conf"]),
    ("same text", file, {text_of(file.path): PathFact("file", 0o600, "postgres", text="new\n")}, []),
    (
        "other text",
        file,
        {text_of(file.path): PathFact("file", 0o600, "postgres", text="old\n")},
        ["replace /lab/a.conf"],
    ),
    (
        "other mode",
        file,
        {text_of(file.path): PathFact("file", 0o644, "postgres", text="new\n")},
        ["set mode 600 owner postgres on /lab/a.conf"],
    ),
    (
        "other secret",
        secret,
        {digest_of(secret.path): PathFact("file", 0o600, digest=DIGEST)},
        ["replace /lab/passfile"],
    ),
    ("an account", Account("pg"), only(Account("pg"), False), ["create system account pg"]),
    ("that exists", Account("pg"), only(Account("pg"), True), []),
    ("an account of ours goes", AccountGone("pg"), only(AccountGone("pg"), True), ["remove system account pg"]),
    ("another's stays", AccountGone("pg"), only(AccountGone("pg"), False), []),
    (
        "programs",
        Programs(source="/venv", parts=("a/b",), destination="/lab/p", label="PostgreSQL 16"),
        {look_at("/lab/p"): PathFact()},
        ["copy PostgreSQL 16 to /lab/p"],
    ),
    (
        "programs that are there",
        Programs(source="/venv", parts=("a/b",), destination="/lab/p", label="PostgreSQL 16"),
        {look_at("/lab/p"): PathFact("directory", 0o755)},
        [],
    ),
    (
        "a new server",
        DataDirectory(server=SERVER, locale="C", encoding="UTF8", checksums=True, password=PASSWORD),
        state(ServerState.BARE),
        ["create data directory /lab/data"],
    ),
    (
        "an old one",
        DataDirectory(server=SERVER, locale="C", encoding="UTF8", checksums=True, password=PASSWORD),
        state(ServerState.STOPPED),
        [],
    ),
    ("a server to start", Running(SERVER), state(ServerState.STOPPED), ["start the server"]),
    ("a bare one too", Running(SERVER), state(ServerState.BARE), ["start the server"]),
    ("one that starts", Running(SERVER), state(ServerState.STARTING), ["wait until the server takes connections"]),
    ("one that runs", Running(SERVER), state(ServerState.RUNNING), []),
    ("a server to stop", halted, state(ServerState.RUNNING), ["stop the server"]),
    ("even while it starts", halted, state(ServerState.STARTING), ["stop the server"]),
    ("one that is stopped", halted, state(ServerState.STOPPED), []),
    ("configuration in force", Applied(SERVER), service(), []),
    ("files newer than what is read", Applied(SERVER), service(stale=True, pending=("a",)), ["reload the server"]),
    ("what wants a restart", Applied(SERVER), service(pending=("a", "b")), ["restart the server for a, b"]),
    ("ALTER SYSTEM", Applied(SERVER), service(overridden=("a",), stale=True), ["let a be as in postgresql.conf"]),
    (
        "programs newer than what runs",
        Applied(SERVER),
        {**service(), installed_version(SERVER): "16.5"},
        ["restart the server: 16.4 runs, 16.5 is installed"],
    ),
    ("a role", role, {role_query(SERVER, "clerk"): RoleFact(major=16)}, ["create role clerk"]),
    ("the same", role, {role_query(SERVER, "clerk"): MADE}, []),
    ("with more rights", role, {role_query(SERVER, "clerk"): replace(MADE, member_of=("owner", "x"))}, []),
    (
        "may read slots from now on",
        replace(role, replication=True),
        {role_query(SERVER, "clerk"): MADE},
        ["change role clerk"],
    ),
    (
        "may already",
        replace(role, replication=True),
        {role_query(SERVER, "clerk"): replace(MADE, attributes={**MADE.attributes, "replication": True})},
        [],
    ),
    ("not a member", role, {role_query(SERVER, "clerk"): replace(MADE, member_of=())}, ["change role clerk"]),
    ("another password", role, {role_query(SERVER, "clerk"): replace(MADE, verifier="md5x")}, ["change role clerk"]),
    (
        "a superuser by mistake",
        role,
        {role_query(SERVER, "clerk"): replace(MADE, attributes={**PLAIN, "superuser": True})},
        ["change role clerk"],
    ),
    (
        "a superuser where there is no other way",
        role,
        {role_query(SERVER, "clerk"): replace(MADE, major=14, attributes={**PLAIN, "superuser": True})},
        [],
    ),
    ("initdb's own role", replace(role, superuser=True), {role_query(SERVER, "clerk"): RoleFact()}, []),
    ("a parameter", grant, only(grant, False), ["grant right of clerk to set session_replication_role"]),
    ("granted", grant, only(grant, True), []),
    (
        "nothing to grant before 15",
        replace(grant, server=OLD),
        only(replace(grant, server=OLD), False),
        [],
    ),
    (
        "a database",
        Database(server=SERVER, dbname="shop", owner="owner"),
        {database_query(SERVER, "shop"): None},
        ["create database shop"],
    ),
    (
        "another's database",
        Database(server=SERVER, dbname="shop", owner="owner"),
        {database_query(SERVER, "shop"): "somebody"},
        [],
    ),
    (
        "tables to fill",
        filled,
        {tables_query(SERVER, "shop"): TablesFact()},
        ["fill pgbench tables in shop at scale 3"],
    ),
    (
        "after a kill",
        filled,
        {tables_query(SERVER, "shop"): TablesFact(scratch=True)},
        ["fill pgbench tables in shop at scale 3"],
    ),
    (
        "tables whose rows come from elsewhere",
        empty,
        {tables_query(SERVER, "shop"): TablesFact()},
        ["create pgbench tables in shop, without rows"],
    ),
    ("filled long ago", filled, {tables_query(SERVER, "shop"): TablesFact(TABLES)}, []),
    ("rights", rights, only(rights, ("grant a to b;",)), ["grant rights of clerk in shop"]),
    ("all rights", rights, only(rights, ()), []),
    ("rights of a role to come", rights, only(rights, None), ["grant rights of clerk in shop"]),
    ("something to remove", Gone("/lab"), only(Gone("/lab"), True), ["remove /lab"]),
    ("nothing to remove", Gone("/lab"), only(Gone("/lab"), False), []),
]


@pytest.mark.parametrize(("resource", "facts", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_plan(resource: Resource, facts: dict[Any, object], expected: list[str]) -> None:
    assert [change.summary for change in resource.plan(Given(facts))] == expected


@pytest.mark.parametrize("resource", [row[1] for row in TABLE], ids=[row[0] for row in TABLE])
def test_a_bare_host_can_be_planned(resource: Resource) -> None:
    for change in resource.plan(Facts.bare()):
        assert change.script


HOPELESS: list[tuple[str, Resource, dict[Any, object], str]] = [
    ("a file in a folder's place", folder, {look_at("/lab"): PathFact("file", 0o644)}, "/lab is a file, not a folder"),
    ("a link in a file's place", file, {text_of(file.path): PathFact("link", 0o777)}, "is a link, not a file"),
    (
        "data of another version",
        DataDirectory(server=SERVER, locale="C", encoding="UTF8", checksums=True, password=PASSWORD),
        state(ServerState.STOPPED, "15"),
        "/lab/data is of PostgreSQL 15, 16 is declared. Declare the version that is there, or rebuild the host.",
    ),
    (
        "no room",
        Room(server=SERVER, megabytes=300),
        {**state(ServerState.BARE), free_space("/lab/data"): 299},
        "299 MB are free where /lab/data is to be, 300 MB are needed.",
    ),
    (
        "half of pgbench's tables",
        filled,
        {tables_query(SERVER, "shop"): TablesFact(("pgbench_accounts", "pgbench_history", "pgbench_tellers"))},
        "has some of pgbench's tables, but not pgbench_branches",
    ),
]


@pytest.mark.parametrize(("resource", "facts", "said"), [row[1:] for row in HOPELESS], ids=[row[0] for row in HOPELESS])
def test_what_no_change_can_help_is_said(resource: Resource, facts: dict[Any, object], said: str) -> None:
    with pytest.raises(HostFailed) as caught:
        resource.plan(Given(facts))
    assert said in str(caught.value)


def test_room_is_only_needed_by_new_servers() -> None:
    room = Room(server=SERVER, megabytes=300)
    assert room.plan(Given({**state(ServerState.RUNNING), free_space("/lab/data"): 1})) == []


def test_what_a_stopped_server_knows_is_waited_for() -> None:
    for resource in (role, grant, filled, rights, Applied(SERVER)):
        with pytest.raises(NotYet):
            resource.plan(Given({}))


def test_a_secret_is_in_the_script_and_nowhere_else() -> None:
    password = DataDirectory(server=SERVER, locale="C", encoding="UTF8", checksums=True, password=PASSWORD)
    found = {digest_of(secret.path): PathFact("file", 0o600, digest=DIGEST)}
    (write,) = secret.plan(Given(found))
    (initdb,) = password.plan(Given(state(ServerState.BARE)))
    for change, hidden in ((write, "the secret"), (initdb, PASSWORD.reveal())):
        assert hidden in change.script
        assert hidden not in repr(change) + "".join(change.diff())
        command_lines = [line for line in change.script.splitlines() if "initdb" in line or "cat " in line]
        assert command_lines and not any(hidden in line for line in command_lines)


def test_a_role_travels_with_a_verifier_never_with_its_password() -> None:
    (change,) = role.plan(Given({role_query(SERVER, "clerk"): RoleFact(major=16)}))
    assert PASSWORD.reveal() not in change.script
    assert "SCRAM-SHA-256$4096:" in change.script
    assert "+password ***" in change.diff()


def test_diffs_show_both_states() -> None:
    (change,) = file.plan(Given({text_of(file.path): PathFact("file", 0o600, "postgres", text="old\n")}))
    assert [line for line in change.diff() if line[0] in "+-"] == ["--- found", "+++ declared", "-old", "+new"]
    assert change.follows == "reload"


def test_names_are_quoted_for_shell_and_sql() -> None:
    odd = 'O\'Neill; "x"'
    (database,) = Database(server=SERVER, dbname=odd, owner=odd).plan(Facts.bare())
    assert 'create database "O\'Neill; ""x""" owner "O\'Neill; ""x""";' in database.script
    (gone,) = Gone(f"/lab/{odd}").plan(Given(only(Gone(f"/lab/{odd}"), True)))
    assert "rm -rf '/lab/O'\"'\"'Neill; \"x\"'" in gone.script


def test_a_change_without_text_has_no_diff() -> None:
    assert Change(summary="x", script="true").diff() == []
