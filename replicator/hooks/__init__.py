"""Runs the hooks of a link at their moments, and heeds what they answer.

An answer is nothing, or an object of these: `message` and `warning` go to the log; `skip` gives this run up (it is
tried again later), `retry` tries it again at once, `stop` pauses the sync, `error` is an error; each with a text that
says why. A hook that fails, or takes too long, is an error of its sync: what the batch had written is rolled back.

How functions are called is `caller`'s; which moments there are is `hook`'s.
"""

from __future__ import annotations

from collections.abc import Collection, ItemsView, Mapping
from typing import Any

from replicator.errors import HookFailed, HookRetries, HookSkips, HookStops, ReplicatorError
from replicator.hook import Hook, Moment
from replicator.hooks.caller import Caller, Failed, caller
from replicator.logs import log
from replicator.model import Link, TableName
from replicator.postgres import Connection
from replicator.signals import Stop

BUCARDO = {"endsync": "skip", "runagain": "retry"}
"""What custom code of Bucardo's said for the same."""

CONSEQUENCES: Mapping[str, type[ReplicatorError]] = {
    "error": HookFailed,
    "stop": HookStops,
    "skip": HookSkips,
    "retry": HookRetries,
}
"""In the order in which they count, if there are several."""


class Hooks:
    """The hooks of one link; belongs to one thread. False when there are none: then nothing needs to be asked."""

    def __init__(self, link: Link, stop: Stop) -> None:
        self._link = link
        self._callers = [(hook, caller(hook, stop)) for hook in link.sync.hooks]

    def __bool__(self) -> bool:
        return bool(self._callers)

    def have(self, moment: Moment) -> bool:
        """Whether there is one for a moment."""
        return any(hook.moment is moment for hook, _ in self._callers)

    def at(
        self, moment: Moment, connection: Connection | None, tables: Collection[TableName] = (), **facts: object
    ) -> None:
        """Run those of a moment, in their order. connection: to the target, for SQL functions; None: it is gone.

        tables: those that the batch is about. Raises HookFailed, HookSkips, HookRetries, HookStops; and as they are
        the driver's errors of a lock that was not had, or of a connection that broke.
        """
        for hook, function in self._callers:
            if hook.moment is moment and _concerned(hook, tables):
                self._run(hook, function, connection, self._info(hook, tables, facts))

    def close(self) -> None:
        """End their processes. Idempotent."""
        for _, function in self._callers:
            function.close()

    def _info(self, hook: Hook, tables: Collection[TableName], facts: Mapping[str, object]) -> dict[str, Any]:
        link = self._link
        return {
            "hook": hook.name,
            "moment": str(hook.moment),
            "sync": link.sync.name,
            "type": str(link.sync.type),
            "source": link.source.name,
            "target": link.target.name,
            "tables": [str(table) for table in tables],
            **facts,
        }

    def _run(self, hook: Hook, function: Caller, connection: Connection | None, info: Mapping[str, Any]) -> None:
        name = f"{self._link}: hook {hook.name}"
        try:
            answer = function.call(connection, info)
        except Failed as failed:
            raise HookFailed(f"{name} ({hook.moment}): {failed}.") from failed
        heed(name, answer)


def _concerned(hook: Hook, tables: Collection[TableName]) -> bool:
    return not hook.tables or bool({str(table) for table in tables} & set(hook.tables))


def heed(name: str, answer: object) -> None:
    """Do what an answer says. Raises what `CONSEQUENCES` has, and HookFailed for an answer that cannot be."""
    if answer in (None, "", {}):
        return
    said = {BUCARDO.get(str(key), str(key)): value for key, value in _items(answer)}
    if not said or not said.keys() <= {"message", "warning", *CONSEQUENCES}:
        raise HookFailed(
            f"{name} answered {answer!r}.",
            hint=f"Expected nothing, or an object of message, warning, {', '.join(CONSEQUENCES)}.",
        )
    if said.get("message"):
        log.info("%s: %s", name, said["message"])
    if said.get("warning"):
        log.warning("%s: %s", name, said["warning"])
    for word, kind in CONSEQUENCES.items():
        if said.get(word):
            why = "" if said[word] is True else f": {said[word]}"
            raise kind(f"{name} says {word}{why}.")


def _items(answer: object) -> ItemsView[object, object] | tuple[()]:
    return answer.items() if isinstance(answer, Mapping) else ()
