"""Applications that write on the masters, and know what they were told is committed.

Every value is written once, by one write, and each write says which value it saw and replaced. So whatever is nowhere
in the end can be asked for: it was replaced by one who knew it, or it must be named in a ledger or among the parked.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import psycopg

from tests.fixtures.nodes import Node

SHARED = 8
"""Rows of `t` that all masters change all the time."""

Connection = psycopg.Connection[Any]


@dataclass
class Written:
    """What was acknowledged, by all applications together.

    parents: of each value the one that it replaced. values: where each was written, by value. deleted: the value that
    each deletion (by its own name) saw, and of which key. rows: values of the table without a key. kept: rows of `z`
    that no TRUNCATE has seen. added: what each counter gained. keys: some of those in use.
    truncations: how often one began or ended.
    """

    parents: dict[str, str] = field(default_factory=dict)
    values: set[str] = field(default_factory=set)
    deleted: dict[str, int] = field(default_factory=dict)
    rows: list[str] = field(default_factory=list)
    kept: dict[int, str] = field(default_factory=dict)
    added: Counter[int] = field(default_factory=Counter)
    keys: deque[int] = field(default_factory=lambda: deque(maxlen=30))
    acknowledged: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    truncations: int = 0

    def replaced(self, value: str, parent: str | None) -> None:
        """A value stands where another did."""
        self.values.add(value)
        if parent is not None:
            self.parents[value] = parent


class Application:
    """Writes on one master until the stop, as fast as `pace` (seconds between writes, at most) lets it."""

    def __init__(
        self, node: Node, number: int, written: Written, seed: int, pace: float, stop: threading.Event
    ) -> None:
        self._thread = threading.Thread(target=self._run, name=f"application on {node.name}", daemon=True)
        self.node, self._written, self._pace, self._stop_event = node, written, pace, stop
        self._chance = random.Random(f"{seed}:{number}")
        self._numbers = count((seed % 1000 * 10 + number) * 1_000_000)
        self.crash: BaseException | None = None
        kinds: dict[Callable[[Connection], None], int] = {
            **{self._add: 20, self._change: 12, self._insert: 14, self._collide: 6, self._update: 16},
            **{self._delete: 6, self._move: 6, self._note: 8, self._fill: 6, self._empty: 1, self._think: 3},
        }
        if number == 1:
            kinds |= {self._tell_slave: 14, self._empty_slave: 1, self._draw: 4}
        self._kinds, self._weights = list(kinds), list(kinds.values())

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self) -> None:
        """Wait until it has noticed the stop."""
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            with self.node.connect() as connection:
                while not self._stop_event.is_set():
                    self.write(connection)
                    self._stop_event.wait(self._chance.random() * self._pace)
        except BaseException as error:
            self.crash = error

    def write(self, connection: Connection) -> None:
        """One of the writes. What the server refuses did not happen."""
        (kind,) = self._chance.choices(self._kinds, self._weights)
        self._try(kind, connection)

    def _try(self, kind: Callable[[Connection], None], connection: Connection) -> None:
        with suppress(psycopg.errors.UniqueViolation, psycopg.errors.DeadlockDetected):
            kind(connection)
            with self._written.lock:
                self._written.acknowledged += 1

    def stir(self, connection: Connection, code: int) -> None:
        """Each kind of write once. Where all masters do that at once, with the same code, there are conflicts."""
        for kind in self._kinds:
            often = kind not in (self._empty, self._empty_slave) or self._chance.random() < 0.3
            if often and kind != self._collide:
                self._try(kind, connection)
        self._try(lambda connection: self._replace(connection, "t", 1), connection)
        self._try(lambda connection: self._insert_coded(connection, next(self._numbers), code), connection)

    def _value(self) -> str:
        return f"{self.node.name} {next(self._numbers)}"

    def _key(self) -> int:
        keys = list(self._written.keys)
        return self._chance.choice(keys) if keys else 0

    # -- t: a few rows that all change, with a counter

    def _add(self, connection: Connection) -> None:
        key, gain = self._chance.randint(1, SHARED), self._chance.randint(-9, 9)
        connection.execute("update t set n = n + %s where id = %s", [gain, key])
        with self._written.lock:
            self._written.added[key] += gain

    def _change(self, connection: Connection) -> None:
        self._replace(connection, "t", self._chance.randint(1, SHARED))

    def _replace(self, connection: Connection, table: str, key: int) -> None:
        value = self._value()
        query = (
            f"with old as (select id, v from {table} where id = %s for update)"
            f" update {table} x set v = %s from old where x.id = old.id returning old.v"
        )
        found = connection.execute(query, [key, value]).fetchone()
        if found:
            with self._written.lock:
                self._written.replaced(value, found[0])

    # -- u: rows that come and go, with a second unique column

    def _insert(self, connection: Connection) -> None:
        key = next(self._numbers)
        self._insert_coded(connection, key, key)

    def _collide(self, connection: Connection) -> None:
        # Who else does it in these moments takes the same number.
        self._insert_coded(connection, next(self._numbers), -int(time.time() * 4))

    def _insert_coded(self, connection: Connection, key: int, code: int) -> None:
        value = self._value()
        connection.execute("insert into u values (%s, %s, %s)", [key, code, value])
        with self._written.lock:
            self._written.replaced(value, None)
            self._written.keys.append(key)

    def _update(self, connection: Connection) -> None:
        self._replace(connection, "u", self._key())

    def _delete(self, connection: Connection) -> None:
        key = self._key()
        found = connection.execute("delete from u where id = %s returning v", [key]).fetchone()
        if found:
            with self._written.lock:
                self._deleted(key, found[0])

    def _deleted(self, key: int, saw: str) -> None:
        name = f"deletion {self._value()}"
        self._written.deleted[name] = key
        self._written.parents[name] = saw

    def _move(self, connection: Connection) -> None:
        key, to, value = self._key(), next(self._numbers), self._value()
        query = (
            "with old as (select id, v from u where id = %s for update)"
            " update u x set id = %s, v = %s from old where x.id = old.id returning old.v"
        )
        found = connection.execute(query, [key, to, value]).fetchone()
        if found:
            with self._written.lock:
                self._written.replaced(value, found[0])
                self._deleted(key, found[0])
                self._written.keys.append(to)

    # -- h: no key; z: emptied now and then

    def _note(self, connection: Connection) -> None:
        value = self._value()
        connection.execute("insert into h values (%s)", [value])
        with self._written.lock:
            self._written.rows.append(value)

    def _fill(self, connection: Connection) -> None:
        key, value, before = next(self._numbers), self._value(), self._written.truncations
        connection.execute("insert into z values (%s, %s)", [key, value])
        with self._written.lock:
            if self._written.truncations == before and before % 2 == 0:
                self._written.kept[key] = value

    def _empty(self, connection: Connection) -> None:
        with self._written.lock:  # odd while one is under way: what is inserted meanwhile may go or stay
            if self._written.truncations % 2:
                return
            self._written.truncations += 1
        try:
            connection.execute("truncate z")
        finally:
            with self._written.lock:
                self._written.truncations += 1
                self._written.kept.clear()

    def _think(self, connection: Connection) -> None:
        """A transaction that gets an id and ends without a trace."""
        with connection.transaction(force_rollback=True):
            connection.execute("select txid_current()")

    # -- w, f, q: from the first master to its slave

    def _tell_slave(self, connection: Connection) -> None:
        key, value = self._chance.randint(1, 40), self._value()
        value = "refused" if self._chance.random() < 0.2 else value
        query = "insert into {} values (%s, %s) on conflict (id) do update set v = excluded.v"
        connection.execute(query.format("w"), [key, value])
        connection.execute("insert into f values (%s, %s)", [key, value])

    def _empty_slave(self, connection: Connection) -> None:
        connection.execute("truncate w")
        connection.execute("delete from f")

    def _draw(self, connection: Connection) -> None:
        connection.execute("select nextval('q')")
