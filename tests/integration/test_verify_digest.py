"""Digests: equal for equal rows on any two servers, different for any difference that a reader could see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from replicator.config import Config
from replicator.model import TableName
from replicator.postgres import Connection, Connector
from replicator.relations import describe
from replicator.verify import TableDigest, digest, table_digests
from tests.fixtures.nodes import Node, NodeFactory, Pair

TYPES = """
create schema "Odd Schema";
create type "Odd Schema"."Mood" as enum ('low', 'it''s', 'high "er"');
create domain ratio as float8;
create type spot as (label text, place point, weights float4[]);
create type span as range (subtype = float8);
create table "Odd Schema"."All Types" (
    id int, "Quoted ""Name"" 1" text, mood "Odd Schema"."Mood", small smallint, big bigint, exact numeric, r real,
    d double precision, share ratio, flag boolean, one "char", padded char(5), varying varchar(20), raw bytea, u uuid,
    day date, clock time, clockz timetz, at timestamp, atz timestamptz, took interval, net inet, block cidr,
    mac macaddr, bits bit(3), j json, jb jsonb, o oid, money money, search tsvector, p point, l line, s lseg, b box,
    way path, area polygon, round circle, reals float4[], doubles float8[], shares ratio[], spots spot[], sp spot,
    r1 span, r2 int4range, names text[]
);
insert into "Odd Schema"."All Types" values
(1, 'it''s \\ "so"', 'it''s', -32768, 9223372036854775807, 'NaN', 1.1, 0.1, 1e-7, true, 'x', 'ab', 'v', '\\x00ff',
 '00000000-0000-0000-0000-000000000001', '4713-01-01 BC', '24:00', '12:00+05:30', 'infinity', '-infinity',
 '1 year -2 days 03:04:05.000006', '10.0.0.1/8', '10.0.0.0/8', '08:00:2b:01:02:03', '101', '{"a" : 1}', '{"a": 0.10}',
 '4294967295', '12.34', 'fat:1A cat:2', '(0.1,0.2)', '{1.1,2,3}', '[(0,0.1),(1,1)]', '(1.1,1),(0,0)',
 '[(0.1,0),(1,1)]', '((0,0),(0.1,1),(1,0))', '<(0.1,0),1>', '{{0.1,NULL},{3.3e30,-0}}', '{NaN,0.3,Infinity}',
 '{0.7}', array[row('a', '(0.1,1)', '{0.1}')::spot, null, row(null, null, null)::spot], row('b', null, '{}'),
 '[0.1,0.3)', '[1,5)', '{"", NULL, "NULL", "a,b"}'),
(2, '', null, 0, 0, 1.00, 3.4e38, 2.2250738585072014e-308, 'NaN', false, '', '', '', '', null, 'infinity', '00:00',
 '00:00+00', '0001-01-01 BC', '294276-12-31 23:59:59.999999Z', '-1 mon', '::1', '::/0', null, '000', '[]', 'null', null,
 '-1', '', null, null, null, null, null, null, null, '{}', null, null, '{}', row(null, null, null), 'empty', 'empty',
 '{}'),
(3, repeat('long ', 100000), 'low', 1, 1, 1e500, 'infinity', '-infinity', -0.0, null, null, null, null, null, null,
 null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null,
 null, null, null, null, null, null, null, '(,0.1]', '(,)', null);
insert into "Odd Schema"."All Types" (id, d) values (4, 'infinity'::float8 - 'infinity'::float8), (5, 1.0 / 3);
"""

ALL = TableName("Odd Schema", "All Types")


@contextmanager
def opened(node: Node) -> Iterator[Connection]:
    with Connector(Config(catalog={})).open(node.database, "test", autocommit=True) as connection:
        yield connection


def digest_of(node: Node, name: TableName) -> TableDigest:
    with opened(node) as connection:
        return digest(connection, describe(connection, [name])[name])


@pytest.mark.pg("all")
def test_equal_rows_have_one_digest_on_servers_of_all_versions(pair: Pair) -> None:
    for node in pair:
        # arrays of domains came with 11
        node.execute(TYPES if node.server.major > 10 else TYPES.replace("ratio[]", "float8[]"))
    ours, theirs = (digest_of(node, ALL) for node in pair)
    assert ours == theirs
    assert ours.rows == 5


def test_the_order_of_columns_and_rows_does_not_matter(nodes: Pair) -> None:
    nodes.source.execute("create table t (a int, b text); insert into t values (1, 'x'), (2, null)")
    nodes.target.execute("create table t (gone int, b text, a int); alter table t drop gone")
    nodes.target.execute("insert into t (a, b) values (2, null), (1, 'x')")
    assert digest_of(nodes.source, TableName("public", "t")) == digest_of(nodes.target, TableName("public", "t"))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("('a', null)", "('a', '')"),
        ("('a', 'b')", "('ab', '')"),
        ("('a,b', 'c')", "('a', 'b,c')"),
        ("('NULL', 'b')", "(null, 'b')"),
        ("('a', 'b'), ('c', 'd')", "('a', 'd'), ('c', 'b')"),
        ("('a', 'b'), ('a', 'b')", "('c', 'd'), ('c', 'd')"),
        ("('a', 'b'), ('a', 'b')", "('a', 'b')"),
    ],
)
def test_any_visible_difference_changes_the_digest(nodes: Pair, ours: str, theirs: str) -> None:
    for node, rows in zip(nodes, (ours, theirs), strict=True):
        node.execute(f"create table t (a text, b text); insert into t values {rows}")
    assert digest_of(nodes.source, TableName("public", "t")) != digest_of(nodes.target, TableName("public", "t"))


@pytest.mark.parametrize(
    ("kind", "ours", "theirs", "equal"),
    [
        ("float8", "0", "'-0'", False),
        ("float8", "'NaN'", "'infinity'::float8 - 'infinity'::float8", True),
        ("float8[]", "'{NaN}'", "array['infinity'::float8 - 'infinity'::float8]", True),
        ("float8", "0.1", "0.1::float8 + 1e-18", True),
        ("float8", "0.3", "0.1::float8 + 0.2::float8", False),
        ("numeric", "1.0", "1.00", False),
        ("jsonb", """'{"a": 1, "b": 2}'""", """'{"b":2,"a":1}'""", True),
        ("timestamptz", "'2020-01-01 00:00Z'", "'2020-01-01 05:30+05:30'", True),
        ("bytea", "'\\x00'", "''", False),
    ],
)
def test_values_count_as_equal_when_they_print_equally(
    nodes: Pair, kind: str, ours: str, theirs: str, equal: bool
) -> None:
    for node, value in zip(nodes, (ours, theirs), strict=True):
        node.execute(f"create table t (v {kind}); insert into t values ({value})")
    same = digest_of(nodes.source, TableName("public", "t")) == digest_of(nodes.target, TableName("public", "t"))
    assert same is equal


def test_the_encoding_of_the_database_does_not_matter(node_factory: NodeFactory) -> None:
    one, other = node_factory("one"), node_factory("other")
    other.server.execute(f"drop database {other.database.dbname}")
    other.server.execute(f"create database {other.database.dbname} template template0 encoding 'LATIN1' locale 'C'")
    for node in (one, other):
        node.execute("create table t (v text); insert into t values ('na\u00efve')")
    assert digest_of(one, TableName("public", "t")) == digest_of(other, TableName("public", "t"))


def test_a_partitioned_table_equals_a_plain_one_and_an_heir_is_no_part_of_its_ancestor(nodes: Pair) -> None:
    nodes.source.execute("create table t (a int) partition by range (a)")
    nodes.source.execute("create table t1 partition of t for values from (0) to (10)")
    nodes.source.execute("create table t2 partition of t for values from (10) to (20)")
    nodes.target.execute("create table t (a int); create table heir () inherits (t); insert into heir values (99)")
    for node in nodes:
        node.execute("insert into t values (1), (11)")
    ours, theirs = (digest_of(node, TableName("public", "t")) for node in nodes)
    assert ours == theirs


def test_digests_of_several_databases_at_once(nodes: Pair, connector: Connector) -> None:
    nodes.source.execute("create table t (a int); create table u (a int); insert into t values (1)")
    nodes.target.execute("create table t (a int)")
    t, u = TableName("public", "t"), TableName("public", "u")
    found = table_digests(connector, [node.database for node in nodes], [t, u])
    assert found[t]["source"] == digest_of(nodes.source, t)
    assert found[t]["target"] == TableDigest()
    assert found[u] == {"source": TableDigest(), "target": None}
