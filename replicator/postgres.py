"""Connections: opened one way, with settings under which values have one text form, and errors translated once.

What to say to a server is decided elsewhere. Blocking psycopg; one connection belongs to one thread.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import LiteralString, Self, TypeVar

import psycopg
from psycopg import conninfo, sql
from psycopg.rows import TupleRow

from replicator import errors
from replicator.config import Config
from replicator.model import Database

Connection = psycopg.Connection[TupleRow]
T = TypeVar("T")
Query = LiteralString | sql.Composed | sql.SQL

Answer = Callable[[], T]
"""Reads the answer to a question that has been sent. In a `Transaction` it is waited for then, and no sooner."""

OLDEST = 100000
JIT_SINCE, PLANS_SINCE = 110000, 120000
NEVER = 2**31

SETTINGS = {
    "application_name": "pgherd",
    "client_encoding": "UTF8",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "xmloption": "content",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "search_path": "pg_catalog, pg_temp",
    "synchronous_commit": "on",
    "check_function_bodies": "off",
    "row_security": "off",
}
"""Set on every connection: with these, equal values print equally everywhere (floats have more digits before 12)."""

TIMEOUTS = {
    "connect_timeout": "5",
    "keepalives": "1",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "25000",
}
"""A silent peer is noticed within half a minute, in either direction."""


Route = Callable[[Mapping[str, str]], Mapping[str, str]]
"""Given libpq's parameters for a server, those by which it is reached instead (`hostaddr`, `port` ...); may raise."""


@dataclass(frozen=True)
class Connector:
    """Opens connections to nodes and to the catalog, by one configuration. route: the way there, if not straight."""

    config: Config
    route: Route | None = field(default=None, compare=False)

    def open(self, database: Database, purpose: str = "", *, autocommit: bool = False) -> Connection:
        """Connect to a node. Raises Unreachable, Refused, UnsupportedServer."""
        params: dict[str, str] = dict(database.options)
        params |= {"dbname": database.dbname, "user": database.user, "port": str(database.port)}
        if database.host:
            params["host"] = database.host
        return self._open(params, str(database), purpose, autocommit=autocommit)

    def open_catalog(self, purpose: str = "", *, autocommit: bool = False) -> Connection:
        """Connect to the catalog's database. Raises as `open` does."""
        where = f"the catalog ({conninfo.make_conninfo('', **dict(self.config.catalog))})"
        return self._open(dict(self.config.catalog), where, purpose, autocommit=autocommit)

    def _open(self, params: Mapping[str, str], name: str, purpose: str, *, autocommit: bool) -> Connection:
        merged = {**TIMEOUTS, **self.config.keepalives, **params}
        if self.route:
            merged |= self.route(merged)
        if self.config.passfile:
            merged.setdefault("passfile", str(self.config.passfile))
        merged["application_name"] = f"pgherd {self.config.install.name} {purpose}".strip()[:63]
        return connect(merged, name, autocommit=autocommit)


def connect(params: Mapping[str, str], name: str, *, autocommit: bool = False) -> Connection:
    """Connect with the settings above; `name` stands for the server in error messages."""
    try:
        connection = psycopg.connect(**params, autocommit=True)  # type: ignore[arg-type]
    except psycopg.OperationalError as error:
        raise connect_error(error, name) from error
    except UnicodeError as error:  # of the resolver, which psycopg asks in Python
        raise errors.Unreachable(f"{name}: its host is not a possible host name.") from error
    except psycopg.ProgrammingError as error:
        raise errors.ConfigError(f"{name}: {_cause(error)}.", hint="Correct the database's options.") from error
    try:
        if connection.info.server_version < OLDEST:
            raise errors.UnsupportedServer(
                f"{name}: the server is PostgreSQL {release(connection.info.server_version)}; 10 is the oldest"
                " supported.",
                hint="Upgrade it, or leave this database out.",
            )
        # Only what asks for it is prepared: a plan for a staging table would outlive the number of rows that it suits.
        connection.prepare_threshold = NEVER
        settings = dict(SETTINGS, application_name=params.get("application_name", "pgherd"))
        connection.execute(
            "select set_config(k, v, false) from unnest(%s::text[], %s::text[]) s(k, v)",
            [list(settings), list(settings.values())],
        )
        connection.autocommit = autocommit
    except psycopg.Error as error:
        connection.close()
        raise translate(error, name) from error
    except BaseException:
        connection.close()
        raise
    return connection


def release(number: int) -> str:
    """A server_version_num as people say it: 160014 is 16.14, 90624 is 9.6.24."""
    if number >= OLDEST:
        return f"{number // 10000}.{number % 10000}"
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"


def connect_error(error: psycopg.OperationalError, name: str) -> errors.ReplicatorError:
    """The replicator's error for a connection that could not be made; `name` stands for the server."""
    text = _why_not_connected(error)
    state = error.sqlstate or ""
    if "password" in text or "authentication" in text or "pg_hba.conf" in text or state.startswith("28"):
        return errors.Refused(f"{name}: login refused: {text}.", hint="Check the password file and pg_hba.conf.")
    if "does not exist" in text or state == "3D000":
        return errors.Refused(f"{name}: {text}.", hint="Create it, or correct the name.")
    if "too many" in text or "remaining connection slots" in text:
        return errors.ServerFull(f"{name}: {text}.", hint="Raise max_connections, or end some sessions.")
    return errors.Unreachable(f"{name} does not answer: {text}.", hint="Is the server up, and the address right?")


def _why_not_connected(error: psycopg.OperationalError) -> str:
    """The cause without libpq's introduction (which server) and afterthoughts (questions, where the password was)."""
    causes = re.findall(r"failed: (?:FATAL:\s*)?(?!connection to server)(.+)", str(error))
    return str(causes[-1]).strip().rstrip(".") if causes else _cause(error)


def translate(error: psycopg.Error, name: str) -> errors.ReplicatorError:
    """The replicator's error for a driver's; `name` is the server or the object that was being worked on."""
    state = error.sqlstate or ""
    text = _cause(error)
    lost = not state and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    if lost or state.startswith(("08", "57P")):
        return errors.ConnectionLost(f"{name}: the connection broke: {text}")
    kind: type[errors.ReplicatorError] = errors.ServerError
    if state in ("55P03", "40P01"):
        kind = errors.LockedOut
    elif state.startswith("40"):
        kind = errors.Transient
    elif state.startswith("53"):
        kind = errors.ServerFull
    elif state.startswith(("22", "23")):
        kind = errors.RowRejected
    return kind(f"{name}: {text} (SQLSTATE {state})" if state else f"{name}: {text}")


def _cause(error: psycopg.Error) -> str:
    lines = (error.diag.message_primary or str(error)).strip().splitlines()
    return lines[-1].strip().rstrip(".") if lines else type(error).__name__


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Let no driver error out of the block as it is."""
    try:
        yield
    except psycopg.Error as error:
        raise translate(error, name) from error


GAVE_WAY = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)
"""What the server says to a transaction that let another one go first: it is to be done again."""


@contextmanager
def time_limit(connection: Connection, seconds: float) -> Iterator[None]:
    """A savepoint, or a transaction where none is open, of which no statement may take longer than so many seconds.

    What is too slow raises the driver's QueryCanceled.
    """
    with connection.transaction():
        connection.execute("select set_config('statement_timeout', %s, true)", [f"{seconds * 1000:.0f}ms"])
        yield
        connection.execute("select set_config('statement_timeout', '0', true)")


def give_way(connection: Connection) -> None:
    """Make this transaction the one that yields: its lock waits end before the server looks for deadlocks."""
    connection.execute(
        "select set_config('lock_timeout', greatest(10, 0.6 * extract(epoch from"
        " current_setting('deadlock_timeout')::interval) * 1000)::int || 'ms', true)"
    )


class Transaction:
    """A transaction on a connection in autocommit, begun within a pipeline: statements are sent, and waited for only
    when an answer is read (`Answer`), at `leave`, and at `commit`. Ends by a commit, after an error by a rollback.

    psycopg's own would take a round trip for each statement, and cannot leave its pipeline before it ends.
    """

    def __init__(self, connection: Connection, begin: LiteralString = "begin") -> None:
        self._connection = connection
        self._begin = begin
        self._pipeline = ExitStack()
        self._open = True

    def __enter__(self) -> Self:
        self._pipeline.enter_context(self._connection.pipeline())
        self._connection.execute(self._begin)
        return self

    def leave(self) -> None:
        """Await what was sent, and every later statement by itself: for COPY, and for statements that may fail."""
        self._pipeline.close()

    def commit(self) -> None:
        """Commit, in one round trip with what was sent and not awaited: all of that has succeeded then."""
        self._connection.execute("commit")
        self._open = False
        self.leave()

    def end_unwritten(self) -> None:
        """End what has read and locked, but not written, without the server waiting for its disk.

        A rollback would do, but has psycopg forget what is prepared: in a pipeline, after it has prepared anew.
        """
        self._connection.execute("set local synchronous_commit = off")
        self.commit()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None and self._open:
            self.commit()
        elif error is not None:
            with suppress(psycopg.Error):  # what matters is the first error; the server rolls back what it lost
                self.leave()
            with suppress(psycopg.Error):
                self._connection.rollback()


def affected(cursor: psycopg.Cursor[TupleRow]) -> int:
    """How many rows a statement was about. Within a pipeline its answer is awaited."""
    if cursor.pgresult is None:
        try:
            cursor.fetchone()
        except psycopg.ProgrammingError:
            if cursor.pgresult is None:
                raise  # it is the server's; else there are merely no rows to fetch
    return cursor.rowcount


WAYS = ("hashjoin", "mergejoin", "seqscan")
"""The planner's ways that read whole tables."""


def expect_few_rows(connection: Connection, *, few: bool = True) -> None:
    """Let this transaction join by index. The planner cannot know how little a batch holds, and would read tables."""
    query = "select set_config('enable_' || way, %s, true) from unnest(%s::text[]) s(way)"
    connection.execute(query, ["off" if few else "on", list(WAYS)], prepare=True)


@contextmanager
def by_index(connection: Connection) -> Iterator[None]:
    """Have tables joined by index inside, in a transaction; afterwards as the planner thinks best."""
    expect_few_rows(connection)
    yield
    expect_few_rows(connection, few=False)


def expect_many_rows(connection: Connection) -> None:
    """Give this session the memory to sort, hash and stage a large batch, where the server's settings give it less.

    Compiling statements costs more than it saves: each runs once. To be called before the first temporary table.
    """
    connection.execute(
        "select set_config(name, greatest(setting::bigint, case unit when 'kB' then 32768 else 4096 end)::text, false)"
        " from pg_settings where name in ('work_mem', 'temp_buffers')"
    )
    if connection.info.server_version >= JIT_SINCE:
        connection.execute("set jit = off")


def plan_once(connection: Connection) -> None:
    """Have what this session prepares planned once, whatever its parameters are: for a link's fixed questions.

    The planner would try five times first, and compare; of some it plans each again and again.
    """
    if connection.info.server_version >= PLANS_SINCE:
        connection.execute("set plan_cache_mode = force_generic_plan")


def patiently(work: Callable[[], T], *, attempts: int = 50, pause: float = 0.05) -> T:
    """Do `work`, again (with jitter) while it is locked out. For DDL on busy tables; the last failure is raised."""
    for attempt in range(attempts):
        try:
            return work()
        except errors.LockedOut:
            if attempt == attempts - 1:
                raise
            time.sleep(pause * (1 + random.random()))
    raise AssertionError


def fetch_one(
    connection: Connection, query: Query, args: Sequence[object] | None = None, *, prepare: bool = False
) -> TupleRow:
    """The single row of a query. prepare: it comes again and again, and is planned once."""
    row = connection.execute(query, args, prepare=prepare).fetchone()
    if row is None:
        raise errors.ServerError("a query that always has a row returned none")
    return row
