"""Every error that the replicator raises on purpose, and the one table that says what follows from it.

The docstring of a class is its default sentence; an instance says which object and carries a hint for the operator.
Driver errors become one of these at one border (`postgres.translate`) and stay as `__cause__`.
"""

from __future__ import annotations

from enum import StrEnum


class Policy(StrEnum):
    """What the controller does after an error. Keep the list narrow."""

    RETRY = "retry"  # by itself, with back-off, for ever: the cause is expected to pass
    WAIT = "wait"  # stay up, say why, look again now and then: a person must mend something
    PARK = "park"  # only some keys are to blame: they go to the dead letters, the rest flows
    STOP = "stop"  # a defect: leave the process, the master starts a fresh one


class ReplicatorError(Exception):
    """The replicator cannot go on."""

    policy = Policy.WAIT
    exit_code = 1

    def __init__(self, message: str | None = None, *, hint: str = "") -> None:
        super().__init__(message or type(self).__doc__ or "")
        self.hint = hint

    def __str__(self) -> str:
        text = str(self.args[0])
        return f"{text} {self.hint}" if self.hint else text


class UsageError(ReplicatorError):
    """The command was given something that it cannot take."""

    exit_code = 2


class ConfigError(UsageError):
    """The replicator's configuration file is missing or wrong."""


class NotFound(UsageError):
    """There is no such object in the catalog."""


class AlreadyExists(UsageError):
    """The catalog already has an object of that name."""


class InvalidTopology(UsageError):
    """The declared databases, herds or syncs contradict each other or the servers."""

    def __init__(self, problems: list[str] | str, *, hint: str = "") -> None:
        self.problems = [problems] if isinstance(problems, str) else problems
        super().__init__("\n".join(self.problems), hint=hint)


class UnsentChanges(ReplicatorError):
    """A master that is to leave holds changes that the others do not have."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__(
            "\n".join(faults),
            hint="Stop writing there, and let it catch up; or give these changes up:"
            " `replicator remove-node SYNC DATABASE --force`.",
        )


class DaemonNotRunning(ReplicatorError):
    """The replicator daemon is not running."""


class AlreadyRunning(ReplicatorError):
    """A daemon of this install is running already."""


class Unreachable(ReplicatorError):
    """A server does not answer."""

    policy = Policy.RETRY
    exit_code = 4


class ConnectionLost(Unreachable):
    """The connection to a server broke in the middle of a statement."""


class Refused(ReplicatorError):
    """The server refused the login."""

    exit_code = 4


class UnsupportedServer(ReplicatorError):
    """The server is older than PostgreSQL 10."""


class NotPrimary(ReplicatorError):
    """The source is a standby: its commits become visible in another order than the primary's."""


class SourceReplaced(ReplicatorError):
    """The source is not the server (or not the history) that the target was following."""


class SchemaMismatch(ReplicatorError):
    """A table differs between source and target."""


class CaptureMissing(ReplicatorError):
    """The change log of a table is gone from the source."""


class LockedOut(ReplicatorError):
    """The replicator gave way to an application's locks and tries again."""

    policy = Policy.RETRY


class Transient(ReplicatorError):
    """The server reported a passing condition."""

    policy = Policy.RETRY


class ServerFull(ReplicatorError):
    """The server has run out of disk, memory or connections."""

    policy = Policy.RETRY


class RowRejected(ReplicatorError):
    """The target refused a row."""

    policy = Policy.PARK


class ServerError(ReplicatorError):
    """The server refused a statement."""


class HookFailed(ReplicatorError):
    """A hook failed, or took too long."""


class HookSkips(ReplicatorError):
    """A hook gives this run up; it is tried again later."""

    policy = Policy.RETRY


class HookRetries(Transient):
    """A hook wants this run again at once."""


class HookStops(ReplicatorError):
    """A hook pauses the sync."""


class Interrupted(ReplicatorError):
    """The work was interrupted by a stop request."""

    policy = Policy.STOP
    exit_code = 130
