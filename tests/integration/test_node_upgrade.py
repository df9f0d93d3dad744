"""A node whose schema an older program made: brought up to date, logs and all, without a change being missed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from replicator.capture.schema import create_schema
from replicator.model import Install, SyncType
from tests.fixtures.lab import Build, rows
from tests.fixtures.nodes import Node, NodeFactory, Pair

OLD = Path("tests/fixtures/node_v1.sql")
SHAPE = """
select table_name::text, column_name::text, data_type::text, is_nullable::text, column_default::text
from information_schema.columns where table_schema = 'pgherd'
union all
select p.proname::text, p.oid::regprocedure::text, replace(p.prosrc, '"', ''), p.prosecdef::text, p.proconfig::text
from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname in ('pgherd', 'bucardo') order by 1, 2
"""


def make_old(node: Node) -> None:
    text = OLD.read_text().replace("{schema}", "pgherd").replace("{sequence}", "'pgherd.seq'")
    node.execute(text.replace("{{", "{").replace("}}", "}"))


def shape(node: Node) -> list[tuple[Any, ...]]:
    return node.execute(SHAPE)


@pytest.mark.pg("10,18")
def test_all_upgrades_in_turn_make_the_schema(node_factory: NodeFactory) -> None:
    old, new = node_factory("old"), node_factory("new")
    make_old(old)
    before = shape(old)
    floor = old.value("update pgherd.node set floor = '2090-01-02 03:04:05.678901+00' returning floor")
    for node in (old, new):
        with node.connect() as connection:
            create_schema(connection, Install())
            create_schema(connection, Install())
    assert shape(old) == shape(new) != before
    seen = "select timestamptz 'epoch' + last_value * interval '1 microsecond' from pgherd.floor"
    assert old.value("select floor from pgherd.node") == old.value(seen) == floor
    assert old.value("select version from pgherd.node") == new.value("select version from pgherd.node")


def test_logs_of_an_older_program_go_on(nodes: Pair, lab: Build) -> None:
    for node in nodes:
        node.execute("create table t (id int primary key, v text)")
    made = lab(list(nodes), SyncType.SWAP)
    made.settle()
    made.close()
    for node in nodes:
        made_now = node.value("select pg_get_functiondef('pgherd.delta_public_t'::regproc)")
        node.execute(re.sub(r"\(select greatest[^$]*?floor\)", "clock_timestamp()", made_now))
        node.execute(
            "alter table pgherd.captured drop column shape, drop column counters, drop column settled,"
            " drop column settled_on, drop column whole_from, drop column notes, drop column decoded;"
            "drop function pgherd.purge_delta; drop function pgherd.after_columns;"
            "alter table pgherd.progress drop column knows, drop column will;"
            "alter table pgherd.conflict drop column local_node, drop column merged_row;"
            "drop table pgherd.table_columns;"
            "alter table pgherd.parked drop column gains; drop trigger raise_floor on pgherd.node;"
            "drop function pgherd.raise_floor(); drop sequence pgherd.floor cascade;"
            "alter table pgherd.delta_public_t drop column author, drop column source_xid;"
            "update pgherd.node set version = 1"
        )
    nodes.source.execute("insert into t values (1, 'while it was down')")
    made.settle()
    assert rows(nodes.source) == rows(nodes.target) == [('(1,"while it was down")',)]
