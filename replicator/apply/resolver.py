"""Asks the function that a sync declares who is to win: an SQL function on the target, or a Python function.

Either gets both rows as JSON (null: deleted) and what is known of the conflict, and answers `incoming` or `local`, or
nothing: then the later one wins. A function that fails, answers something else, or takes longer than `SECONDS`, is an
error of that row alone, which is parked. A Python function runs in a process of its own (`judge`), so that it can be
ended.
"""

from __future__ import annotations

import json
import selectors
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from replicator import conflict
from replicator.model import Strategy, TableName
from replicator.postgres import Connection, fetch_one
from replicator.relations import identifier

SECONDS = 5.0


class Unanswered(Exception):
    """A function did not say who wins. The message says why, for people."""


@dataclass(frozen=True)
class Question:
    """A conflict, for a function. info: sync, table, key, and of both sides node, time and operation."""

    incoming: Mapping[str, Any] | None
    local: Mapping[str, Any] | None
    info: Mapping[str, Any]


class Resolver(Protocol):
    """Asks one function."""

    def answer(self, connection: Connection, question: Question) -> object:
        """What it says. connection: to the target, in the batch's transaction. Raises Unanswered."""

    def close(self) -> None:
        """Let go of what it holds. Idempotent."""


@dataclass
class SqlResolver:
    """A function of the target, in schema public unless it is named: (incoming, local, info jsonb) returns text."""

    function: str

    def answer(self, connection: Connection, question: Question) -> object:
        """Call it in a savepoint, with a time limit."""
        query = sql.SQL("select {}(%s::jsonb, %s::jsonb, %s::jsonb)").format(identifier(TableName.parse(self.function)))
        values = [None if value is None else Jsonb(value) for value in (question.incoming, question.local)]
        try:
            with connection.transaction():
                connection.execute("select set_config('statement_timeout', %s, true)", [f"{SECONDS * 1000:.0f}ms"])
                (answer,) = fetch_one(connection, query, [*values, Jsonb(dict(question.info))])
                connection.execute("select set_config('statement_timeout', '0', true)")
                return answer
        except psycopg.Error as error:
            if connection.closed or isinstance(error, psycopg.errors.AdminShutdown):
                raise
            raise Unanswered(f"{self.function}: {str(error).splitlines()[0]}") from error

    def close(self) -> None:
        """Nothing is held."""


@dataclass
class PythonResolver:
    """A Python function: (incoming, local, info) -> "incoming", "local" or None. place: a module or a .py file."""

    place: str
    function: str
    _process: subprocess.Popen[str] | None = field(default=None, init=False)

    def answer(self, connection: Connection, question: Question) -> object:  # noqa: ARG002
        """Have the process call it; end the process if it takes too long."""
        try:
            process = self._running()
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(json.dumps([question.incoming, question.local, question.info], default=str) + "\n")
            process.stdin.flush()
            with selectors.DefaultSelector() as selector:
                selector.register(process.stdout, selectors.EVENT_READ)
                if not selector.select(SECONDS):
                    raise Unanswered(f"{self._name} did not answer within {SECONDS:.0f} seconds")
            line = process.stdout.readline()
        except (OSError, Unanswered) as error:
            self.close()
            raise error if isinstance(error, Unanswered) else Unanswered(f"{self._name}: {error}") from error
        if not line:
            self.close()
            raise Unanswered(f"{self._name}: its process ended")
        answer, error_text = json.loads(line)
        if error_text:
            raise Unanswered(f"{self._name}: {error_text}")
        return answer

    @property
    def _name(self) -> str:
        return f"{self.place}:{self.function}"

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "replicator.apply.judge", self.place, self.function],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        return self._process

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


def resolver(strategy: str) -> Resolver | None:
    """Who asks the function of a strategy; None for those that need none."""
    kind, rest = conflict.named(strategy)
    if kind is Strategy.SQL:
        return SqlResolver(rest[0])
    if kind is Strategy.PYTHON:
        return PythonResolver(*rest)
    return None


def judged(answer: object) -> bool | None:
    """Whether the arriving side wins; None: no opinion. Raises Unanswered."""
    if answer in (None, "incoming", "local"):
        return None if answer is None else answer == "incoming"
    raise Unanswered(f"the function answered {answer!r}, expected 'incoming', 'local' or nothing")
