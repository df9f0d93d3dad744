"""Every common type, as key and as value, with its extremes; every shape of table; names that need quotes."""

from __future__ import annotations

import pytest

from replicator.model import SyncType
from tests.fixtures.lab import Build
from tests.fixtures.nodes import Node, Pair

pytestmark = pytest.mark.both_captures

TYPES = """
create type mood as enum ('sad', 'it''s "ok"', 'happy');
create domain positive as int check (value > 0);
create domain label as text;
create type point3 as (x int, y text);
"""

KEYS = {
    "int": ("1", "-2147483648", "2147483647"),
    "bigint": ("0", "-9223372036854775808", "9223372036854775807"),
    "smallint": ("0", "-32768", "32767"),
    "text": (r"'it''s \"quoted\" \\ back'", "''", "'\u00e9\u4e2d\U0001f418'", r"E'tab\tnewline\n'", r"'\N'"),
    "varchar(20)": ("'a'", r"'\\'", "''''"),
    "char(5)": ("'ab'", "'abcde'"),
    "uuid": ("'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"),
    "timestamptz": ("'2024-02-29 12:00+05:30'", "'infinity'", "'-infinity'"),
    "timestamp": ("'0001-01-01 BC'", "'294276-12-31 23:59:59.999999'"),
    "date": ("'4713-01-01 BC'", "'infinity'"),
    "numeric": ("1e100", "-0.000000000000000000001", "'NaN'", "1.50"),
    "numeric(12,3)": ("1.5", "-999999999.999"),
    "bytea": (r"'\x00ff5c27'", r"'\x'"),
    "boolean": ("true", "false"),
    "mood": ("'sad'", "'it''s \"ok\"'"),
    "positive": ("1", "2147483647"),
    "label": ("'x'", r"'y\\z'"),
    "double precision": ("'NaN'", "'-Infinity'", "0.1", "1e-300", "1.7976931348623157e308"),
    "interval": ("'1 year -3 days 04:05:06.789'", "'-1 month'"),
    "inet": ("'10.11.12.241/24'", "'::1'"),
    "date[]": ("array['2024-01-01'::date]", "'{}'"),
    "mood[]": ("array['sad'::mood, 'happy']",),
    "text[]": (r"array['a,b', 'c\"d', null, '\\']", "array[['x'],['y']]"),
}

VALUES = {
    **KEYS,
    "real": ("'NaN'", "'Infinity'", "0.1", "1e-37"),
    "time": ("'24:00'",),
    "timetz": ("'12:00+05:30'",),
    "jsonb": ('\'{"a": [1, 2.50, null], "": "\\\\"}\'', "'null'"),
    "json": ("'{ \"a\" :  1 }'",),
    "bit(5)": ("B'10101'",),
    "bit varying": ("B''",),
    "int4range": ("'[1,5)'", "'empty'"),
    "tsvector": ("'a:1 b:2'",),
    "point": ("'(1.5,-2)'",),
    "money": ("'12.34'",),
    "macaddr": ("'08:00:2b:01:02:03'",),
    "point3": ("row(1, 'a,b')::point3",),
    "point3[]": ("array[row(1, 'a')::point3]",),
    "regclass": ("'pg_class'",),
    "oid": ("4294967295",),
    '"char"': ("'x'",),
}

GENERATED = (
    "create table g (id int generated always as identity primary key, a int,"
    " twice int generated always as (a * 2) stored, other int generated {} as identity)"
)


def everywhere(pair: Pair, *statements: str) -> None:
    for node in pair:
        for statement in statements:
            node.execute(statement)


def held(node: Node, table: str) -> list[tuple[str, ...]]:
    """Rows as text under settings that hide nothing."""
    with node.connect(options="-c extra_float_digits=3 -c timezone=UTC -c datestyle=ISO") as connection:
        return sorted(connection.execute(f"select t::text from {table} t").fetchall())


def exactly(pair: Pair, table: str) -> None:
    ours = held(pair.source, table)
    assert ours
    assert held(pair.target, table) == ours


def test_keys_of_every_type(pair: Pair, lab: Build) -> None:
    everywhere(pair, TYPES)
    tables = []
    for number, (kind, values) in enumerate(KEYS.items()):
        table = f"k{number}"
        everywhere(pair, f"create table {table} (k {kind} primary key, v int)")
        pair.source.execute(f"insert into {table} values ({values[0]}, 1)")
        tables.append((table, kind, values))
    made = lab([pair.source, pair.target], SyncType.PUSHDELTA, tuple(table for table, _, _ in tables))
    made.settle()
    for table, _kind, values in tables:
        pair.source.execute(f"update {table} set v = 2")
        for value in values[1:]:
            pair.source.execute(f"insert into {table} values ({value}, 3)")
    made.settle()
    for table, _, _ in tables:
        assert _canonical(pair.target, table) == _canonical(pair.source, table), table
    for table, _, _ in tables:
        pair.source.execute(f"delete from {table}")
    made.settle()
    assert [pair.target.value(f"select count(*) from {table}") for table, _, _ in tables] == [0] * len(tables)


def _canonical(node: Node, table: str) -> list[tuple[str, ...]]:
    # Floats print differently before PostgreSQL 12: their binary form does not.
    kind = node.value(
        "select format_type(atttypid, null) from pg_attribute where attrelid = %s::regclass and attnum = 1", [table]
    )
    form = {"double precision": "float8send(k)", "real": "float4send(k)"}.get(kind, "k")
    with node.connect(options="-c timezone=UTC -c datestyle=ISO") as connection:
        return sorted(connection.execute(f"select {form}::text, v::text from {table}").fetchall())


def test_values_of_every_type(pair: Pair, lab: Build) -> None:
    everywhere(pair, TYPES)
    columns = list(VALUES)
    declared = ", ".join(f"c{i} {kind}" for i, kind in enumerate(columns))
    everywhere(pair, f"create table wide (id int primary key, {declared}, long text)")
    for row in range(max(map(len, VALUES.values()))):
        given = [VALUES[kind][row] if row < len(VALUES[kind]) else "null" for kind in columns]
        pair.source.execute(f"insert into wide values ({row}, {', '.join(given)}, repeat('x\u00e9', 100000))")
    made = lab([pair.source, pair.target], SyncType.PUSHDELTA, ("wide",))
    made.settle()
    assert _sent(pair.target, columns) == _sent(pair.source, columns)
    pair.source.execute("update wide set id = id + 100, long = null")
    made.settle()
    assert _sent(pair.target, columns) == _sent(pair.source, columns)


def _sent(node: Node, columns: list[str]) -> list[tuple[object, ...]]:
    forms = [
        f"float4send(c{i})" if kind == "real" else f"float8send(c{i})" if kind == "double precision" else f"c{i}::text"
        for i, kind in enumerate(columns)
    ]
    with node.connect(options="-c timezone=UTC -c datestyle=ISO") as connection:
        return connection.execute(f"select id, {', '.join(forms)}, md5(long) from wide order by id").fetchall()


@pytest.mark.both_captures(False)
def test_shapes_of_keys_and_names(pair: Pair, lab: Build) -> None:
    everywhere(
        pair,
        'create schema "Odd.Schema"',
        'create table "Odd.Schema"."Table ""x"" %s" ("Key 1" int, "key%%2" text, "Select" numeric, v text,'
        ' primary key ("key%%2", "Key 1"))'.replace("%%", "%"),
        "create table only_key (a int, b uuid, primary key (a, b))",
        "create table by_unique (a int not null unique, b text)",
        "create table deferred (a int primary key deferrable initially deferred, b text)",
    )
    odd = '"Odd.Schema"."Table ""x"" %s"'
    made = lab([pair.source, pair.target], SyncType.PUSHDELTA, (odd, "only_key", "by_unique", "deferred"))
    made.settle()
    pair.source.execute(f"insert into {odd} select i, 'k' || i, i / 3.0, null from generate_series(1, 20) i")
    pair.source.execute("insert into only_key select i, md5(i::text)::uuid from generate_series(1, 20) i")
    pair.source.execute("insert into by_unique select i, 'x' from generate_series(1, 20) i")
    pair.source.execute("insert into deferred select i, 'x' from generate_series(1, 20) i")
    made.settle()
    pair.source.execute(f"""update {odd} set v = 'a', "key%2" = "key%2" || '''' where "Key 1" < 5""")
    pair.source.execute("delete from only_key where a = 3; update only_key set a = -a where a = 4")
    pair.source.execute("update by_unique set a = a + 100 where a > 10")
    pair.source.execute("update deferred set a = a + 1")
    made.settle()
    for table in (odd, "only_key", "by_unique", "deferred"):
        assert held(pair.target, table) == held(pair.source, table), table


@pytest.mark.pg(">=12")
def test_generated_and_identity_columns(pair: Pair, lab: Build) -> None:
    everywhere(pair, GENERATED.format("by default"), GENERATED.format("always").replace("table g", "table h"))
    made = lab([pair.source, pair.target], SyncType.PUSHDELTA, ("g", "h"))
    made.settle()
    for table in ("g", "h"):
        pair.source.execute(f"insert into {table} (a) select i from generate_series(1, 10) i")
    made.settle()
    for table in ("g", "h"):
        pair.source.execute(f"update {table} set a = 7 where id = 3; delete from {table} where id = 4")
    made.settle()
    for table in ("g", "h"):
        assert held(pair.target, table) == held(pair.source, table)


@pytest.mark.pg(">=11")
@pytest.mark.both_captures(False)
def test_partitioned_tables(pair: Pair, lab: Build) -> None:
    everywhere(
        pair,
        "create table p (id int, at date, v text, primary key (id, at)) partition by range (at)",
        "create table p1 partition of p for values from ('2026-01-01') to ('2026-02-01')",
        "create table p2 partition of p for values from ('2026-02-01') to ('2026-03-01')",
    )
    pair.source.execute("insert into p select i, '2026-01-15'::date + i, 'x' from generate_series(1, 30) i")
    made = lab([pair.source, pair.target], SyncType.PUSHDELTA, ("p",))
    made.settle()
    exactly(pair, "p")
    pair.source.execute("update p set at = at + 20, v = 'moved' where id < 5; delete from p where id = 6")
    pair.source.execute("insert into p1 values (100, '2026-01-01', 'into the leaf'); truncate p2")
    pair.source.execute("insert into p values (101, '2026-02-02', 'after')")
    made.settle()
    exactly(pair, "p")
    pair.source.execute("truncate p; insert into p values (1, '2026-01-01', 'again')")
    made.settle()
    exactly(pair, "p")
