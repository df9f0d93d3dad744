"""Asks the function that a sync declares what is to stay: an SQL function on the target, or a Python function.

Either gets both rows as JSON (null: deleted) and what is known of the conflict, and answers `incoming` or `local`, a
row of its own making (`Merged`), or nothing: then the later one wins. A function that fails, answers something else,
or takes longer than it may, is an error of that row alone, which is parked. A Python function runs in a process of its
own (`judge`), so that it can be ended. What a merged row must be is checked in `merging`.
"""

from __future__ import annotations

import json
import selectors
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import psycopg
from psycopg import sql

from replicator import conflict
from replicator.model import Strategy, TableName
from replicator.postgres import GAVE_WAY, Connection, fetch_one, time_limit
from replicator.relations import identifier

SILENCES = 3
"""So many times running a function may not answer before it is left alone."""

LEFT_ALONE = 60.0
"""Seconds for which it then is not asked: the batch's rows stay locked while it is waited for."""

LOAD_SECONDS = 20.0
"""How long loading a Python function may take."""


class Unanswered(Exception):
    """A function did not say what is to stay. The message says why, for people."""

    def __init__(self, message: str, sqlstate: str = "P0001") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class Silent(Unanswered):
    """It took too long."""


@dataclass(frozen=True)
class Merged:
    """A third row that is to stay instead of both. row: a JSON object, of some or all of the columns."""

    row: str


Answer = bool | Merged | None
"""Whether the arriving side wins, or a row; None: no opinion."""


@dataclass(frozen=True)
class Question:
    """A conflict, for a function: both rows as JSON text, so that no digit is lost on the way.

    info: sync, table, kind (`row`, or `unique key`: then the two rows have different keys), key, and of both sides
    node, time and operation.
    """

    incoming: str | None
    local: str | None
    info: Mapping[str, Any]


def info(
    sync: str,
    table: TableName,
    kind: str,
    key: Mapping[str, object],
    incoming: Mapping[str, object],
    local: Mapping[str, object],
) -> dict[str, object]:
    """What a function is told besides the rows. incoming, local: as `told` gives them."""
    return {"sync": sync, "table": str(table), "kind": kind, "key": key, "incoming": incoming, "local": local}


def told(node: str | None, at: datetime, op: str) -> dict[str, object]:
    """What a function is told of one side. op: what it had last done, I, U or D."""
    return {"node": node, "at": at.isoformat(), "op": "U" if op == "+" else op}


class Resolver(Protocol):
    """Asks one function."""

    def answer(self, connection: Connection, question: Question) -> str | None:
        """What it says, as JSON text. connection: in a transaction, of which nothing changes. Raises Unanswered."""

    def close(self) -> None:
        """Let go of what it holds. Idempotent."""


@dataclass
class SqlResolver:
    """A function of the target, in schema public unless it is named: (incoming, local, info jsonb).

    It returns text, json, jsonb, or a row type such as the table's. seconds: how long it may take.
    """

    function: str
    seconds: float

    def answer(self, connection: Connection, question: Question) -> str | None:
        """Call it in a savepoint, with a time limit."""
        name = identifier(TableName.parse(self.function))
        query = sql.SQL("select to_jsonb({}(%s::jsonb, %s::jsonb, %s::jsonb))::text").format(name)
        values = [question.incoming, question.local, json.dumps(question.info, default=str)]
        try:
            with time_limit(connection, self.seconds):
                (answer,) = fetch_one(connection, query, values)
            return str(answer) if answer is not None else None
        except psycopg.errors.QueryCanceled as error:
            raise Silent(f"{self.function}: {_first_line(error)} (after {self.seconds:g} s)", "57014") from error
        except psycopg.Error as error:
            if connection.closed or isinstance(error, (psycopg.errors.AdminShutdown, *GAVE_WAY)):
                raise
            raise Unanswered(f"{self.function}: {_first_line(error)}", error.sqlstate or "P0001") from error

    def close(self) -> None:
        """Nothing is held."""


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


@dataclass
class PythonResolver:
    """A Python function: (incoming, local, info) -> "incoming", "local", a mapping of columns, or None.

    place: a module or a .py file. seconds: how long it may take.
    """

    place: str
    function: str
    seconds: float
    _process: subprocess.Popen[str] | None = field(default=None, init=False)

    def answer(self, connection: Connection, question: Question) -> str | None:  # noqa: ARG002
        """Have the process call it; end the process if it takes too long."""
        try:
            line = self._ask(question)
        except (OSError, Silent) as error:
            self.close()
            raise error if isinstance(error, Silent) else Unanswered(f"{self._name}: {error}") from error
        answer, problem = json.loads(line)
        if problem:
            raise Unanswered(f"{self._name}: {problem}")
        return None if answer is None else str(answer)

    def _ask(self, question: Question) -> str:
        process = self._running()
        assert process.stdin is not None
        info = json.dumps(question.info, default=str)
        process.stdin.write(f"[{question.incoming or 'null'}, {question.local or 'null'}, {info}]\n")
        process.stdin.flush()
        return self._line(process, self.seconds)

    def _line(self, process: subprocess.Popen[str], seconds: float) -> str:
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            if not selector.select(seconds):
                raise Silent(f"{self._name} did not answer within {seconds:g} s", "57014")
        if line := process.stdout.readline():
            return line
        raise OSError("its process ended")

    @property
    def _name(self) -> str:
        return f"{self.place}:{self.function}"

    def _running(self) -> subprocess.Popen[str]:
        """The process, once it has loaded the function: that may take longer than an answer."""
        if self._process is None or self._process.poll() is not None:
            self._process = process = subprocess.Popen(
                [sys.executable, "-m", "replicator.apply.judge", self.place, self.function, str(self.seconds)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            _, problem = json.loads(self._line(process, LOAD_SECONDS))
            if problem:
                raise OSError(problem)
        return self._process

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


@dataclass
class Patient:
    """Asks a resolver until it was silent several times running, then leaves it alone for a while."""

    inner: Resolver
    _silences: int = field(default=0, init=False)
    _asks_from: float = field(default=0.0, init=False)

    def answer(self, connection: Connection, question: Question) -> str | None:
        """What it says; Silent at once while it is left alone."""
        if time.monotonic() < self._asks_from:
            raise Silent(f"not asked: the function had not answered {SILENCES} times running", "57014")
        try:
            answer = self.inner.answer(connection, question)
        except Silent:
            self._silences += 1
            if self._silences == SILENCES:
                self._silences, self._asks_from = 0, time.monotonic() + LEFT_ALONE
            raise
        self._silences = 0
        return answer

    def close(self) -> None:
        """Let go of what the resolver holds."""
        self.inner.close()


def resolver(strategy: str, seconds: float) -> Resolver | None:
    """Who asks the function of a strategy; None for those that need none. seconds: how long an answer may take."""
    kind, rest = conflict.named(strategy)
    if kind is Strategy.SQL:
        return Patient(SqlResolver(rest[0], seconds))
    if kind is Strategy.PYTHON:
        place, function = rest
        return Patient(PythonResolver(place, function, seconds))
    return None


def alike(one: str, other: str) -> bool:
    """Whether two rows, as JSON text, have the same values in the columns that both have."""
    rows = [json.loads(text, parse_float=str, parse_int=str) for text in (one, other)]
    return all(_text(rows[0][name]) == _text(rows[1][name]) for name in rows[0].keys() & rows[1].keys())


def _text(value: object) -> str | None:
    """As `->>` shows it: a number may have come as text."""
    return value if value is None or isinstance(value, str) else json.dumps(value, sort_keys=True)


def judged(answer: str | None) -> Answer:
    """What an answer, as JSON text, stands for. Raises Unanswered."""
    value = None if answer is None else json.loads(answer)
    if value is None or value in ("incoming", "local"):
        return None if value is None else value == "incoming"
    if isinstance(value, dict) and answer:
        return Merged(answer)
    raise Unanswered(f"the function answered {value!r}, expected 'incoming', 'local', a row or nothing")
