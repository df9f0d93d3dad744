"""Capture runs with the log owner's rights: an application needs none on the log, and cannot lead it to its own code.

Its functions set no search_path (that would cost at each call), so an application may have any path it likes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from replicator.model import SyncType
from tests.fixtures.lab import Build, rows
from tests.fixtures.nodes import NodeFactory, Pair

KEYED = "create table t (id int primary key, v text, n int not null default 0)"
KEYLESS = "create table t (id int, v text, n int)"

OPERATORS = {
    "=": ("text, text", "int, int"),
    "<>": ("text, text", "int, int"),
    "+": ("bigint, int", "timestamptz, interval"),
    "*": ("bigint, interval", "float8, interval"),
    "-": ("int, int",),
    "*=": ("record, record",),
}
FUNCTIONS = (
    "clock_timestamp()",
    "to_timestamp(int)",
    "txid_current()",
    "nextval(regclass)",
    "pg_notify(text, text)",
    "pg_try_advisory_xact_lock_shared(int)",
    "pg_try_advisory_xact_lock_shared(bigint)",
    "lower(text)",
    '"left"(text, int)',
)


def traps(major: int) -> Iterator[str]:
    """A schema whose functions and operators have the names and arguments of those that capture might use."""
    body = "language plpgsql as $$ begin raise exception 'led astray as %', current_user; end $$"
    yield "create schema evil; grant usage on schema evil to public"
    for name in FUNCTIONS:
        yield f"create function evil.{name} returns boolean {body}"
    for operator, variants in OPERATORS.items():
        for types in variants:
            left, right = types.split(", ")
            if left == "record" and major < 11:
                continue  # no function takes one
            yield f"create or replace function evil.trap({types}) returns boolean {body}"
            yield f"create operator evil.{operator} (leftarg = {left}, rightarg = {right}, procedure = evil.trap)"


@pytest.fixture(params=[10, 16], ids="pg{}".format)
def nodes(request: pytest.FixtureRequest, servers: Any) -> Iterator[Pair]:
    """Two databases on a server where a trigger that has no old row may not speak of it, and on one where it may."""
    factory = NodeFactory(servers.get(request.param))
    yield factory.pair()
    factory.close()


@pytest.fixture
def application(nodes: Pair) -> Iterator[str]:
    """A role that may change what is in the table, and no more."""
    nodes.source.execute("create role visitor login")
    yield "visitor"
    nodes.source.execute("drop owned by visitor")
    nodes.source.execute("drop role visitor")


@pytest.mark.parametrize(
    ("type_", "table", "options"),
    [
        (SyncType.PUSHDELTA, KEYED, {}),
        (SyncType.FULLCOPY, KEYED, {}),
        (SyncType.SWAP, KEYED, {}),
        (SyncType.SWAP, KEYED, {"counters": ("n",)}),
        (SyncType.SWAP, KEYLESS, {}),
    ],
    ids=["pushdelta", "fullcopy", "swap", "counters", "keyless"],
)
def test_no_path_leads_capture_astray(
    nodes: Pair, lab: Build, application: str, type_: SyncType, table: str, options: dict[str, object]
) -> None:
    for node in nodes:
        node.execute(table)
    made = lab([nodes.source, nodes.target], type_, **options)
    made.settle()
    for statement in (*traps(nodes.source.server.major), f"grant select, insert, update, delete on t to {application}"):
        nodes.source.execute(statement)
    with nodes.source.connect(user=application) as connection:
        connection.execute("set search_path = evil, public, pg_catalog")
        with pytest.raises(psycopg.errors.RaiseException, match="led astray"):
            connection.execute("select 1 where 1 = 1")
        for number in range(4):
            connection.execute("insert into t values (%s, 'v', 0)", [number])
        if table == KEYED:
            connection.execute("update t set v = 'w', n = 5")
            connection.execute("update t set n = 6 where id operator(pg_catalog.=) 0")
            connection.execute("update t set id = 100 where id operator(pg_catalog.=) 1")
            connection.execute("delete from t where id operator(pg_catalog.=) 2")
        else:
            with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="it has no key"):
                connection.execute("delete from t")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(f"select from {made.install.schema}.floor")
    made.settle()
    assert rows(nodes.target) == rows(nodes.source)
    assert len(rows(nodes.target)) == (3 if table == KEYED else 4)
