"""What is declared of the scene: its tables, its three syncs, and where the replicator finds its catalog."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from replicator.catalog import Catalog
from replicator.model import CopyMethod, DbGroup, Herd, Sync, SyncType, TableName
from replicator.postgres import Connector
from tests.chaos.judge import SWAPPED
from tests.fixtures.nodes import Node

TABLES = """
create table t (id int primary key, v text, n bigint not null default 0);
create table u (id bigint primary key, code bigint unique, v text);
create table h (note text);
create table z (id bigint primary key, v text);
create table w (id int primary key, v text);
create table f (id int, v text);
create sequence q;
"""
ON_SLAVE = TABLES + "alter table w add check (v <> 'refused');"

PUSHED = ("t", "u", "w")
"""What the slave has by change of all that the first master has."""

SWAP, PUSH, FULL = "swap", "push", "full"
"""The syncs: between the masters; from the first one to the slave, by change and as a whole."""


def declare(connector: Connector, masters: Sequence[Node], slave: Node, pushed: Sequence[str]) -> None:
    """The three syncs, in an empty catalog. pushed: the tables that the slave has from the first master by change."""
    swapped = tuple(TableName("public", name) for name in SWAPPED)
    with Catalog.open(connector) as catalog:
        for node in (*masters, slave):
            catalog.add_database(node.database)
        catalog.add_herd(Herd(name="swapped", database="m1", tables=swapped))
        catalog.add_herd(
            Herd(
                name="pushed",
                database="m1",
                tables=tuple(TableName("public", name) for name in pushed),
                sequences=(TableName("public", "q"),),
            )
        )
        catalog.add_herd(Herd(name="whole", database="m1", tables=(TableName("public", "f"),)))
        catalog.add_dbgroup(DbGroup(name="others", members=tuple(node.name for node in masters[1:])))
        catalog.add_sync(
            Sync(
                name=SWAP,
                type=SyncType.SWAP,
                herd="swapped",
                targets=("others",),
                counters=("t.n",),
                makedelta=not set(SWAPPED).isdisjoint(pushed),
            )
        )
        catalog.add_sync(Sync(name=PUSH, type=SyncType.PUSHDELTA, herd="pushed", targets=("slave",)))
        catalog.add_sync(
            Sync(
                name=FULL,
                type=SyncType.FULLCOPY,
                herd="whole",
                targets=("slave",),
                copymethod=CopyMethod.DELETE,
            )
        )


def settings(folder: Path, catalog: Node) -> Path:
    """A configuration in a folder; its path."""
    place, path = catalog.database, folder / "replicator.toml"
    path.write_text(
        f'run_dir = "run"\nlog_file = "log/replicator.log"\n[catalog]\nhost = "{place.host}"\nport = "{place.port}"\n'
        f'dbname = "{place.dbname}"\nuser = "{place.user}"\n'
    )
    return path
