"""Tells how recorded conflicts would have ended by another strategy, functions too. Nothing changes anywhere.

A ledger is read once and not kept. An SQL function is called on the master that noted the conflict, in a transaction
that may not write; a Python function here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from psycopg import sql

from replicator import conflict
from replicator.apply import resolver
from replicator.apply.probing import python_fault, sql_fault
from replicator.apply.resolver import Merged, Question, Resolver, Unanswered, alike, judged, told
from replicator.conflict import Claim, Version, row_name, rule
from replicator.errors import ReplicatorError
from replicator.ledger.entry import MERGED, NEITHER, Conflict, Side, merged
from replicator.ledger.reading import Filters, ask, entries, masters
from replicator.model import Database, Install, Strategy, Topology
from replicator.postgres import Connection, Connector, fetch_one


@dataclass(frozen=True)
class Ending:
    """How a conflict would have ended. word: as `Conflict.ending`, or `parked`. changed: otherwise than it did.

    why: what a function had failed of.
    """

    word: str
    changed: bool
    why: str = ""


@dataclass(frozen=True)
class Simulated:
    """changed: conflicts of `total` that would have ended otherwise. changes: the newest of these, with how.

    unknown: conflicts that cannot be judged, because their sync or a node of theirs is no longer declared.
    """

    total: int
    changed: int
    unknown: int
    changes: tuple[tuple[Conflict, Ending], ...]
    silent: Mapping[str, ReplicatorError]


@dataclass
class _Found:
    """What one master's notes come to. changed: by the hash of their identity, as `weighing` counts them."""

    changed: dict[int, bool | None] = field(default_factory=dict)
    changes: list[tuple[Conflict, Ending]] = field(default_factory=list)


def simulate(topology: Topology, install: Install, connector: Connector, strategy: str, filters: Filters) -> Simulated:
    """How recorded conflicts would have ended by a strategy. filters.limit: how many of the changed ones to tell.

    Raises ReplicatorError when the strategy's function cannot be asked.
    """
    kind, names = conflict.named(strategy)
    if kind is Strategy.PYTHON and (why := python_fault(*names)):
        raise ReplicatorError(f"strategy {strategy}: {why}.")

    def work(connection: Connection, database: Database) -> _Found:
        connection.execute("set transaction read only")
        if kind is Strategy.SQL and (why := sql_fault(connection, names[0])):
            raise ReplicatorError(f"{database}: strategy {strategy}: {why}.")
        asked = resolver.resolver(strategy, connector.config.function_timeout)
        try:
            judge = _Judge(topology, install, strategy, connection, asked)
            return _fold(judge, database, filters)
        finally:
            if asked is not None:
                asked.close()

    answers = ask(connector, masters(topology, filters.syncs), work)
    changed = {name: verdict for found in answers.given.values() for name, verdict in found.changed.items()}
    counts = Counter(changed.values())
    endings = {note.name: (note, ending) for found in answers.given.values() for note, ending in found.changes}
    changes = merged((note for note, _ in endings.values()), filters.limit)
    told_of = tuple((note, endings[note.name][1]) for note in changes)
    return Simulated(len(changed), counts[True], counts[None], told_of, answers.silent)


def _fold(judge: _Judge, database: Database, filters: Filters) -> _Found:
    found = _Found()
    for note in entries(judge.connection, judge.install, database, replace(filters, limit=None)):
        ending = judge.ending(note)
        found.changed[hash(note.identity)] = ending.changed if ending else None
        if ending and ending.changed and (filters.limit is None or len(found.changes) < filters.limit):
            found.changes.append((note, ending))
    return found


@dataclass(frozen=True)
class _Judge:
    """A strategy at work on one master's notes."""

    topology: Topology
    install: Install
    strategy: str
    connection: Connection
    resolver: Resolver | None

    def ending(self, note: Conflict) -> Ending | None:
        """How a conflict would have ended; None when that cannot be told."""
        word = by_rule(self.topology, self.strategy, note)
        if word is None or self.resolver is None:
            return Ending(word, word != note.ending) if word else None
        try:
            return self._by_function(self.resolver, note, word)
        except Unanswered as error:
            return Ending("parked", True, str(error))

    def _by_function(self, asked: Resolver, note: Conflict, otherwise: str) -> Ending:
        query = sql.SQL("select incoming_row::text, local_row::text, merged_row::text from {} where id = {}").format(
            sql.Identifier(self.install.schema, "conflict"), sql.Literal(note.number)
        )
        *rows, recorded = fetch_one(self.connection, query)
        # Of two rows that collide a function is always told the later one as the incoming one; see `apply.collision`.
        turned = note.unique_key and note.local.at > note.incoming.at
        if turned:
            rows.reverse()
        answer = judged(asked.answer(self.connection, _question(note, rows, turned=turned)))
        if isinstance(answer, Merged):
            if note.unique_key:
                raise Unanswered("the function answered with a row where two rows collide in a unique key")
            return Ending(MERGED, not note.merges or not alike(answer.row, recorded or "{}"))
        if answer is None:
            return Ending(otherwise, otherwise != note.ending)
        word = (note.incoming if answer != turned else note.local).node
        return Ending(word, word != note.ending)


def _question(note: Conflict, rows: list[str | None], *, turned: bool) -> Question:
    sides = [_told(note.incoming), _told(note.local)]
    if turned:
        sides.reverse()
    kind = "unique key" if note.unique_key else "row"
    return Question(rows[0], rows[1], resolver.info(note.sync, note.table, kind, note.key, *sides))


def _told(side: Side) -> dict[str, Any]:
    return told(side.node, side.at, "U" if side.op == "K" else side.op)


def by_rule(topology: Topology, strategy: str, note: Conflict) -> str | None:
    """How a conflict would have ended by a strategy (of a function: where it has no opinion); None: unknown. Pure."""
    sync = topology.syncs.get(note.sync)
    incoming, local = (topology.databases.get(side.node) for side in note.sides)
    if sync is None or incoming is None or local is None:
        return None
    claims = (
        Claim(Version(note.incoming.at, incoming.id), incoming.id),
        Claim(Version(note.local.at, local.id), local.id),
    )
    wins = rule(topology, sync, strategy).wins(*claims, row_name(note.table, note.key))
    return NEITHER if wins is None else (incoming if wins else local).name
