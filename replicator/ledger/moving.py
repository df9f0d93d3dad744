"""Takes over what a master that leaves a swap has noted: only the node that decides a conflict notes it.

Without it the losers that nobody else has heard of would go with that node's ledger. That the master has left, and who
is to keep its notes, is `topology`'s to know.
"""

from __future__ import annotations

from typing import LiteralString

from psycopg import sql

from replicator.failpoint import failpoint
from replicator.model import Install
from replicator.postgres import Connection

COLUMNS: tuple[LiteralString, ...] = (
    *("sync", "schema_name", "table_name", "key", "source", "incoming_op", "incoming_at", "incoming_row"),
    *("local_op", "local_at", "local_row", "incoming_wins", "rule", "decided_at", "merged_row"),
)


def take_over(leaving: Connection, keeper: Connection, install: Install, sync: str, node: str) -> int:
    """Move the notes of a sync from the ledger of `node` to another master's; how many that one had not.

    Both connections are in autocommit, to two databases whose schemas are of this version. What a run before has moved
    is known again, so one that was broken off is taken up. Raises the driver's errors.
    """
    ledger = sql.Identifier(install.schema, "conflict")
    columns = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
    # The local side of a note is that of its ledger's node, where it says nothing else.
    notes = sql.SQL("copy (select id, {}, coalesce(local_node, {}) from {} where sync = {}) to stdout").format(
        columns, sql.Literal(node), ledger, sql.Literal(sync)
    )
    with keeper.transaction():
        keeper.execute(sql.SQL("create temp table taken_over (like {}) on commit drop").format(ledger))
        arriving = sql.SQL("copy taken_over (id, {}, local_node) from stdin").format(columns)
        with leaving.cursor().copy(notes) as reader, keeper.cursor().copy(arriving) as writer:
            for part in reader:
                writer.write(part)
        taken = keeper.execute(
            sql.SQL(
                "insert into {ledger} ({columns}, local_node) select {columns}, local_node from taken_over n"
                " where not exists (select from {ledger} l where l.decided_at = n.decided_at and l.sync = n.sync"
                " and l.local_node = n.local_node and l.source = n.source and l.key = n.key"
                " and (l.schema_name, l.table_name) = (n.schema_name, n.table_name)) order by n.decided_at, n.id"
            ).format(ledger=ledger, columns=columns)
        ).rowcount
    failpoint("clean.after-ledger")
    leaving.execute(sql.SQL("delete from {} where sync = {}").format(ledger, sql.Literal(sync)))
    return taken
