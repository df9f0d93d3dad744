"""The judge: once everything has arrived, do all nodes hold the same, and is every acknowledged write accounted for?

A write is accounted for when its value is there, when one who saw it and replaced it is accounted for, or when a ledger
or a parked row names it. A deletion is, when its key is not there, or when a ledger names a deletion of that key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.chaos.applications import SHARED, Written
from tests.fixtures.nodes import Node

SWAPPED = ("t", "u", "h", "z")


@dataclass(frozen=True)
class Verdict:
    """problems: a sentence each; none: all is well."""

    problems: tuple[str, ...]
    conflicts: int
    parked: int


def judge(
    masters: Sequence[Node], left: Sequence[Node], slave: Node, written: Written, pushed: Sequence[str]
) -> Verdict:
    """Look at nodes at which everything has arrived, and on which nobody writes.

    left: who was a master before; what it decided is in its ledger alone. pushed: the tables that the slave has by
    change.
    """
    ledger = [note for master in (*masters, *left) for note in _ledger(master)]
    parked = slave.execute("select table_name, key ->> 'id', new_row ->> 'v' from pgherd.parked")
    problems = [
        *_unequal(masters),
        *_slave_differs(masters[0], slave, pushed, {(table, key) for table, key, _ in parked}),
        *_unaccounted(masters[0], written, ledger, [value for _, _, value in parked]),
        *_wrong(masters[0], written),
    ]
    return Verdict(tuple(problems), len(ledger), len(parked))


def _ledger(node: Node) -> list[tuple[Any, ...]]:
    return node.execute(
        "select key ->> 'id', incoming_op::text, incoming_row ->> 'v', local_op::text, local_row ->> 'v'"
        " from pgherd.conflict"
    )


def _rows(node: Node, table: str) -> list[str]:
    return sorted(text for (text,) in node.execute(f"select x::text from {table} x"))


def digest(node: Node, table: str) -> str:
    """What a table holds, as one number."""
    return str(
        node.value(f"select md5(coalesce(string_agg(x::text, ' ' order by x::text collate \"C\"), '')) from {table} x")
    )


def _unequal(masters: Sequence[Node]) -> list[str]:
    first, *others = masters
    return [
        f"{table} differs on {first.name} and {other.name}: {_difference(first, other, table)}"
        for table in SWAPPED
        for other in others
        if digest(first, table) != digest(other, table)
    ]


def _difference(one: Node, other: Node, table: str) -> str:
    here, there = _rows(one, table), _rows(other, table)
    only_here, only_there = sorted(set(here) - set(there)), sorted(set(there) - set(here))
    return f"{len(here)} and {len(there)} rows, only {only_here[:3]}, only {only_there[:3]}"


def _slave_differs(master: Node, slave: Node, pushed: Sequence[str], parked: set[tuple[str, str]]) -> list[str]:
    found = []
    for table in pushed:
        here, there = (
            {row for row in node.execute(f"select * from {table}") if (table, str(row[0])) not in parked}
            for node in (master, slave)
        )
        if here != there:
            found.append(f"{table} of the slave: lacks {sorted(here - there)[:3]}, has {sorted(there - here)[:3]}")
    if digest(master, "f") != digest(slave, "f"):
        found.append(f"f of the slave: {_difference(master, slave, 'f')}")
    stands = [node.value("select last_value from q") for node in (master, slave)]
    return [*found, *([f"the sequence stands at {stands}"] if stands[0] != stands[1] else [])]


def _unaccounted(master: Node, written: Written, ledger: Sequence[tuple[Any, ...]], parked: list[str]) -> list[str]:
    there = dict(master.execute("select id, v from u"))
    known = {value for (value,) in master.execute("select v from t")} | {*there.values(), *parked}
    known |= {value for note in ledger for value in (note[2], note[4]) if value}
    named = {int(key) for key, op, _, local, _ in ledger if key and {op, local} & {"D", "K"}}
    known |= {name for name, key in written.deleted.items() if key not in there or key in named}
    todo = list(known)
    while todo:
        parent = written.parents.get(todo.pop())
        if parent is not None and parent not in known:
            known.add(parent)
            todo.append(parent)
    missing = sorted((written.values | written.deleted.keys()) - known)
    return [f"acknowledged, and neither there nor named: {missing[:5]} ({len(missing)} in all)"] if missing else []


def _wrong(master: Node, written: Written) -> list[str]:
    found = []
    sums = dict(master.execute("select id, n from t where id <= %s", [SHARED]))
    expected = {key: written.added[key] for key in range(1, SHARED + 1)}
    if sums != expected:
        found.append(f"counters: {sums}, but {expected} was added")
    rows, notes = sorted(v for (v,) in master.execute("select note from h")), sorted(written.rows)
    if rows != notes:
        found.append(f"h: {len(rows)} rows of {len(notes)} that were inserted, {len(set(rows))} different ones")
    emptied = dict(master.execute("select id, v from z"))
    lost = {key for key, value in written.kept.items() if emptied.get(key) != value}
    return [*found, *([f"z: {sorted(lost)[:3]} of {len(lost)} came after the last TRUNCATE"] if lost else [])]
