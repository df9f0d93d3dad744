"""Calls the function of a hook: one of the target's server, or one in Python in a process of its own.

Both get one object, as JSON, and answer one or nothing. Neither can hold up its link for longer than it was given: the
server ends a statement, and a process that is silent is ended (`process` is what runs there).
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from replicator.hook import Hook
from replicator.model import TableName
from replicator.postgres import GAVE_WAY, Connection, fetch_one, time_limit
from replicator.relations import identifier
from replicator.signals import Stop

GLANCE = 0.2
"""Seconds after which a wait looks for a stop."""


class Failed(Exception):
    """The function did not answer. The message says why, for people."""


class Caller(Protocol):
    """Calls one function."""

    def call(self, connection: Connection | None, info: Mapping[str, Any]) -> object:
        """What it answers. Raises Failed; errors of locks and broken connections come as they are."""

    def close(self) -> None:
        """Let go of what it holds. Idempotent."""


@dataclass
class SqlCaller:
    """A function of the target, in schema public unless it is named: (info jsonb) returns jsonb, json, or void.

    In a savepoint, where a transaction is open; else in a transaction of its own.
    """

    hook: Hook

    def call(self, connection: Connection | None, info: Mapping[str, Any]) -> object:
        """Call it, with a time limit."""
        if connection is None or connection.closed:
            raise Failed(f"{self.hook.sql} was not called: the connection to the target is gone")
        query = sql.SQL("select {}(%s::jsonb)").format(identifier(TableName.parse(self.hook.sql)))
        try:
            with time_limit(connection, self.hook.seconds):
                (answer,) = fetch_one(connection, query, [Jsonb(dict(info))])
            return answer
        except psycopg.errors.QueryCanceled as error:
            raise Failed(f"{self.hook.sql} did not return within {self.hook.seconds:g} seconds") from error
        except GAVE_WAY:
            raise
        except psycopg.Error as error:
            if connection.closed or isinstance(error, psycopg.errors.AdminShutdown):
                raise
            raise Failed(f"{self.hook.sql}: {str(error).splitlines()[0]}") from error

    def close(self) -> None:
        """Nothing is held."""


@dataclass
class PythonCaller:
    """A Python function: (info) -> dict or None."""

    hook: Hook
    stop: Stop
    _process: subprocess.Popen[str] | None = field(default=None, init=False)

    def call(self, connection: Connection | None, info: Mapping[str, Any]) -> object:  # noqa: ARG002
        """Have the process call it; end the process if it takes too long, or a stop is requested."""
        try:
            line = self._ask(json.dumps([info], default=str))
        except OSError as error:
            self.close()
            raise Failed(f"{self.hook.call}: {error.strerror}") from error
        except BaseException:
            self.close()
            raise
        if not line:
            self.close()
            raise Failed(f"{self.hook.call}: its process ended")
        answer, error_text = json.loads(line)
        if error_text:
            raise Failed(f"{self.hook.call}: {error_text}")
        return answer

    def _ask(self, question: str) -> str:
        process = self._running()
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(question + "\n")
        process.stdin.flush()
        deadline = time.monotonic() + self.hook.seconds
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while not selector.select(max(0.0, min(GLANCE, deadline - time.monotonic()))):
                self.stop.raise_if_set()
                if time.monotonic() >= deadline:
                    raise Failed(f"{self.hook.call} did not return within {self.hook.seconds:g} seconds")
        return process.stdout.readline()

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            assert self.hook.python
            self._process = subprocess.Popen(
                [sys.executable, "-m", "replicator.hooks.process", *self.hook.python, f"--parent={os.getpid()}"],
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


def caller(hook: Hook, stop: Stop) -> Caller:
    """Who calls a hook's function. stop: ends a wait for one in Python."""
    return SqlCaller(hook) if hook.sql else PythonCaller(hook, stop)
