"""Composes the query of which tables have changes in a batch. Asking it is `read`'s."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import LiteralString

from psycopg import sql

from replicator.capture.captured import Captured
from replicator.capture.delta import Delta
from replicator.capture.needs import Kind


def changed_query(schema: str, deltas: Sequence[Delta], carried: LiteralString) -> tuple[str, dict[str, object]]:
    """Which of the tables have something in the batch: a row each of the table's place here, and `truncated`.

    The query and its parameters. carried: as `delta.carried` has it.
    """
    # What varies from batch to batch are parameters: there are few positions, and planning takes longest.
    places = {since: number for number, since in enumerate(dict.fromkeys(delta.since for delta in deltas))}
    logs = tuple((delta.captured, places[delta.since]) for delta in deltas)
    values: dict[str, object] = {f"xmax{number}": since.xmax for since, number in places.items()}
    values |= {f"running{number}": sorted(since.xip) for since, number in places.items()}
    return _query(schema, logs, carried), values


@lru_cache(maxsize=64)
def _query(schema: str, logs: Sequence[tuple[Captured, int]], carried: LiteralString) -> str:
    """With each log goes a number n: the parameters xmaxN and runningN are the ids that its position has not seen."""
    parts = [_changed(schema, place, log, number, carried) for place, (log, number) in enumerate(logs)]
    return sql.SQL(" union all ").join(parts).as_string()


def _changed(schema: str, place: int, log: Captured, number: int, carried: LiteralString) -> sql.Composed:
    def holds(table: str, where: sql.Composable) -> sql.Composed:
        # Each condition by itself, so that a long log is not read beyond its first row.
        return sql.SQL(" or ").join(
            sql.SQL("exists (select from {} l where {} and {} and {})").format(
                sql.Identifier(_twice(schema), _twice(table)), unseen, sql.SQL(carried), where
            )
            for unseen in (
                sql.SQL("l.xid >= {}").format(sql.Placeholder(f"xmax{number}")),
                sql.SQL("l.xid = any({}::bigint[])").format(sql.Placeholder(f"running{number}")),
            )
        )

    truncated: sql.Composable = sql.SQL("false")
    if log.kind is Kind.ROWS and not log.versions:
        of_table = sql.SQL("l.schema_name = {} and l.table_name = {}")
        name = sql.Literal(_twice(log.table.schema)), sql.Literal(_twice(log.table.name))
        truncated = holds("truncated", of_table.format(*name))
    return sql.SQL(
        "select x.n, x.truncated from (select {}::int as n, {} as truncated, {} as changed) x"
        " where truncated or changed"
    ).format(sql.Literal(place), truncated, holds(log.log, sql.SQL("true")))


def _twice(name: str) -> str:
    """A name in a query that is run with parameters, for which the driver looks."""
    return name.replace("%", "%%")
