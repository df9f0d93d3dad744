"""Small tables' parts of a batch travel as arrays, large ones by COPY: every value arrives the same by both ways."""

from __future__ import annotations

import pytest

from replicator.apply import parcel
from replicator.change import Counts
from replicator.errors import RowRejected
from replicator.model import SyncType
from replicator.syncrun import batch
from tests.fixtures.lab import Build, rows
from tests.fixtures.nodes import Node, NodeFactory, Pair
from tests.fixtures.servers import Server
from tests.integration.test_values import TYPES, VALUES, held

NOT_CARRIED = {"point3", "point3[]", "regclass", '"char"', "money", "mood[]"}
"""Of types that mean another thing on another server; those go by COPY however few they are."""

ODD = {
    **VALUES,
    "box": ("'(1,1),(0,0)'", "null"),
    "box[]": ("array['(1,1),(0,0)'::box, '(2,2),(1,1)']",),
    "int[]": ("array[[1,2],[3,null]]", "'[0:1]={7,8}'", "'{}'"),
    "jsonb[]": ("""array['{"a": "b,\\"c"}'::jsonb, null]""",),
    "text": (*VALUES["text"], "'NULL'", "null", "'{}'", "' '", r"E'\b\f\v\r\\n'", "'\"'"),
    "bit varying": (*VALUES["bit varying"], "B'101'"),
    "int2vector": ("'1 2 3'",),
    "name": ("'a b'",),
    "char(5)": ("'a'", "''", "null"),
}


@pytest.fixture
def carried(monkeypatch: pytest.MonkeyPatch) -> list[parcel.Parcel]:
    """The parcels that came by COPY."""
    return spied(monkeypatch, "pack")


def spied(monkeypatch: pytest.MonkeyPatch, name: str) -> list[parcel.Parcel]:
    """The parcels that a function makes."""
    found: list[parcel.Parcel] = []
    make = getattr(parcel, name)

    def spy(rows: object) -> parcel.Parcel:
        found.append(make(rows))
        return found[-1]

    monkeypatch.setattr(parcel, name, spy)
    return found


def test_every_type_travels_by_all_ways(
    pair: Pair, lab: Build, carried: list[parcel.Parcel], monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = {f"v{number}": kind for number, kind in enumerate(ODD)}
    create = "".join(f"create table {table} (id int primary key, v {kind});" for table, kind in tables.items())
    for node in pair:
        node.execute(TYPES)
        node.execute(create)
    made = lab(list(pair), SyncType.PUSHDELTA, tuple(tables))
    made.settle()
    fill = [
        f"insert into {table} values ({number}, {value})"
        for table, kind in tables.items()
        for number, value in enumerate(ODD[kind])
    ]
    monkeypatch.setattr(batch, "ASKED_FOR", len(tables))
    pair.source.execute("; ".join(fill))
    made.settle()
    assert len(carried) == len(ODD.keys() - NOT_CARRIED)
    _same(pair, tables)
    carried.clear()
    answered = spied(monkeypatch, "answered")
    pair.source.execute("; ".join(f"update {table} set id = id + 100" for table in tables))
    made.settle()
    assert len(answered) == len(ODD.keys() - NOT_CARRIED) and not carried
    _same(pair, tables)
    answered.clear()
    monkeypatch.setattr(batch, "FEW", -1)
    pair.source.execute("; ".join(f"update {table} set id = id + 100" for table in tables))
    made.settle()
    assert not carried and not answered
    _same(pair, tables)


def _same(pair: Pair, tables: dict[str, str]) -> None:
    for table, kind in tables.items():
        if kind not in ("real", "double precision"):  # they print differently before PostgreSQL 12
            assert held(pair.source, table) and held(pair.target, table) == held(pair.source, table), kind
    forms = {"real": "float4send", "double precision": "float8send"}
    for table, kind in tables.items():
        if kind in forms:
            query = f"select id, {forms[kind]}(v) from {table} order by id"
            assert pair.target.execute(query) == pair.source.execute(query), kind


@pytest.mark.parametrize("type_", [SyncType.PUSHDELTA, SyncType.SWAP])
def test_rows_too_large_for_a_parcel_go_by_copy(
    node_factory: NodeFactory, lab: Build, carried: list[parcel.Parcel], type_: SyncType
) -> None:
    pair = node_factory.pair(
        schema="create table t (id int primary key, v text); create table u (like t including all)"
    )
    made = lab(list(pair), type_, ("t", "u"))
    made.settle()
    pair.source.execute("insert into t select i, repeat(md5(i::text), 1000) from generate_series(1, 10) i")
    pair.source.execute("insert into u values (1, 'small')")
    made.settle()
    assert len(carried) == 1
    for table in ("t", "u"):
        assert rows(pair.target, table) == rows(pair.source, table)


@pytest.mark.parametrize("type_", [SyncType.PUSHDELTA, SyncType.SWAP])
def test_what_is_asked_for_before_it_is_known_to_be_there(
    node_factory: NodeFactory,
    second_server: Server,
    lab: Build,
    carried: list[parcel.Parcel],
    monkeypatch: pytest.MonkeyPatch,
    type_: SyncType,
) -> None:
    answered = spied(monkeypatch, "answered")
    schema = "create type mood as enum ('dull'); create table t (id int primary key, v mood); create table u (like t)"
    pair = node_factory.pair(target=second_server, schema=f"{schema}; alter table u add primary key (id)")
    made = lab(list(pair), type_, ("t", "u"))
    made.settle()

    def after(*statements: str) -> tuple[int, int]:
        """How many parcels came by either way."""
        carried.clear()
        answered.clear()
        for statement in statements:
            pair.source.execute(statement)
        made.settle()
        for table in ("t", "u"):
            assert rows(pair.target, table) == rows(pair.source, table)
        return len(carried), len(answered)

    few = parcel.FEW
    assert after("insert into t values (0, 'dull')", "insert into u values (0, 'dull')") == (2, 0)
    assert after("insert into t values (1, 'dull')", "delete from u") == (0, 2)
    assert after("insert into t values (2, 'dull')") == (0, 1)
    assert after(f"insert into t select i, 'dull' from generate_series(3, {few + 2}) i") == (0, 1)
    assert after(f"delete from t where id <= {few}") == (1, 0), "one more than an answer holds"
    assert after("truncate t", "insert into t values (1, 'dull')") == (1, 0)
    assert after("delete from t") == (0, 1)
    for node in pair:  # an answer would have other types than the plan that is kept
        node.execute("alter type mood rename to old; create type mood as enum ('dull')")
        node.execute("alter table t alter v type mood using v::text::mood")
    assert after("insert into t values (7, 'dull')") == (0, 0), "by COPY, as after each start"


def test_bytes_of_databases_without_an_encoding(server: Server, lab: Build) -> None:
    options = "encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C' template template0"
    nodes = [Node(server, server.database(f"raw_{place}", place, id=i)) for i, place in enumerate(("a", "b"), 1)]
    try:
        for node in nodes:
            server.execute(f"create database {node.database.dbname} {options}")
            node.execute("create table t (id int primary key, v text)")
        made = lab(nodes)
        made.settle()
        nodes[0].execute("insert into t select 1, convert_from('\\xfffe', 'SQL_ASCII')")
        with pytest.raises(RowRejected, match="invalid byte sequence"):
            made.settle()
        nodes[0].execute("update t set v = convert_from('\\xc3a4', 'SQL_ASCII')")
        made.settle()
        made.close()
        assert nodes[1].execute("select v::bytea from t") == [(b"\xc3\xa4",)]
    finally:
        for node in nodes:
            server.drop_database(node.database.dbname)


def test_few_rows_need_no_staging_table(node_factory: NodeFactory, lab: Build) -> None:
    """The server empties every staging table of a session at each commit of a batch that touches one."""
    pair = node_factory.pair(schema='create table t (id int primary key, "50% off" text, n int unique)')
    made = lab(list(pair))
    made.settle()
    pair.source.execute("insert into t select i, 'v', i from generate_series(1, 40) i")
    staged = "select count(*) from pg_class where relname like 'stage%'"
    assert made.run() == Counts(inserted=40)
    assert pair.target.value(staged) == 1, "these are more than few"
    made.close()
    made.settle()
    for updated in (10, 11):  # the rows are read by COPY first, then asked for with the look
        pair.source.execute("delete from t where id = (select min(id) from t)")
        pair.source.execute('update t set "50% off" = E\'{a,"b\\\\\' where id > 30')
        pair.source.execute("insert into t select max(id) + 1, null, max(id) + 1 from t")
        assert made.run() == Counts(inserted=1, updated=updated, deleted=1)
        assert rows(pair.target) == rows(pair.source)
    assert pair.target.value(staged) == 0
