"""A table's part of a batch, staged on another master, with all that it is judged by. Judging is `meeting`'s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from psycopg import sql

from replicator.apply.resolver import Resolver
from replicator.apply.stage import Stage
from replicator.capture import Captured
from replicator.conflict import Rule
from replicator.model import Link
from replicator.postgres import Connection
from replicator.snapshot import Snapshot


@dataclass(frozen=True, kw_only=True)
class Third:
    """Another master of the swap than the link's two. seen: what the source had of it when the batch was read.

    told: what it had of the source when its own last batch was read. None: not known.
    """

    node: int
    seen: Snapshot | None
    told: Snapshot | None


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A table's part of a batch, staged on another master.

    log: the target's own log of the table. seen: what the source had seen of the target when the batch was read.
    thirds: the same of the other masters. rule: who wins. names: of the masters, by number. unmet: keys (JSON text)
    that the source has parked, by the master from which they came: it has seen these changes, and does not have them.
    wary: an application has stood in the way at this table. silent: what arrives is noted only where the row is in the
    log anyway (`capture.notes`).
    """

    connection: Connection
    link: Link
    stage: Stage
    log: Captured
    seen: Snapshot
    thirds: Sequence[Third]
    rule: Rule
    resolver: Resolver | None
    names: Mapping[int, str]
    unmet: Mapping[str, Sequence[str]] = field(default_factory=dict)
    wary: bool = False
    silent: bool = False

    @property
    def columns(self) -> list[sql.Identifier]:
        """The log's key columns."""
        return [sql.Identifier(f"k{i + 1}") for i in range(len(self.log.key))]

    def execute(self, query: str, **parts: sql.Composable) -> int:
        """Run a statement, in no pipeline; how many rows it was about."""
        return self.connection.execute(self.compose(query, **parts)).rowcount

    def compose(self, query: str, **parts: sql.Composable) -> sql.Composed:
        """A statement with the names of what it is about filled in. `s` is the stage, `t` the table, `l` the log."""
        stage = self.stage
        return sql.SQL(query).format(
            table=stage.relation.rows,
            name=stage.relation.identifier,
            stage=stage.table,
            match=stage.match,
            log=sql.Identifier(self.link.install.schema, self.log.log),
            of_log=self._match_log(),
            node=sql.Identifier(self.link.install.schema, "node"),
            **parts,
        )

    def _match_log(self) -> sql.Composed:
        """That log row `l` is of staged row `s`."""
        triples = zip(self.columns, self.stage.relation.key, self.stage.relation.equal, strict=True)
        return sql.SQL(" and ").join(
            sql.SQL("l.{} {} {}").format(column, equal.as_sql(), self.stage.value(name))
            for column, name, equal in triples
        )


def local_json(stage: Stage) -> sql.Composed:
    """Row `t` of the target as a JSON object."""
    pairs = [sql.SQL("({0}, to_jsonb(t.{1}))").format(sql.Literal(n), sql.Identifier(n)) for n in stage.names]
    return sql.SQL("(select jsonb_object_agg(x.k, x.v) from (values {}) x(k, v))").format(sql.SQL(", ").join(pairs))
