"""The section on replication: databases, dbgroups, herds, syncs and hooks as an inventory declares them.

The words are the replicator's, and so are their meanings; `tasks.replication` hands them over. As in `settings`, one
value at a time is judged here, and what has to agree with something else in `checks`.
"""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from provision.inventory.values import (
    Duration,
    Name,
    Secretly,
    Section,
    Size,
    Table,
    TableNames,
    Texts,
    Word,
    empty,
    expected,
    many,
)

CALL = re.compile(r"sql:.+|python:.+:.+")
INDEX = re.compile(r"(https?|file)://[^\s/'\"]*/\S*")
CONTROL = "control"
"""The machine that provision runs on, where an inventory speaks of it."""


class Role(StrEnum):
    """What a member of a dbgroup is: a master of a swap, or a slave."""

    SOURCE = "source"
    TARGET = "target"


class Capture(StrEnum):
    """How the changes of a database's tables get into its change logs."""

    TRIGGERS = "triggers"
    WAL = "wal"


class SyncType(StrEnum):
    """How a sync moves rows."""

    PUSHDELTA = "pushdelta"
    FULLCOPY = "fullcopy"
    SWAP = "swap"


STRATEGIES = ("latest", "source", "target", "random", "skip", "abort")
"""Who wins where masters changed one row without knowing of each other, as far as it is one word."""


class CopyMethod(StrEnum):
    """How a whole copy replaces what the target holds."""

    DIFF = "diff"
    DELETE = "delete"
    TRUNCATE = "truncate"


class Moment(StrEnum):
    """When a hook runs."""

    BEFORE_SYNC = "before_sync"
    BEFORE_CHECK_ROWS = "before_check_rows"
    BEFORE_TXN = "before_txn"
    BEFORE_ROWS = "before_rows"
    AFTER_TABLE_SYNC = "after_table_sync"
    AFTER_ROWS = "after_rows"
    AFTER_TXN = "after_txn"
    AFTER_SYNC = "after_sync"
    EXCEPTION = "exception"


class Ddl(StrEnum):
    """Which changes of the source's tables a sync makes on its targets by itself."""

    NONE = "none"
    NEWCOL = "newcol"


class Numbers(StrEnum):
    """How masters of a swap come by different numbers from the sequences of its tables."""

    INTERLEAVE = "interleave"
    NONE = "none"


class OneTimeCopy(StrEnum):
    """Whether the next run of a sync begins with a whole copy of its tables."""

    OFF = "off"
    ALWAYS = "always"
    EMPTY = "empty"


class MakeDelta(StrEnum):
    """Whether what a sync writes on a node flows onward; auto: when another sync reads the same tables there."""

    AUTO = "auto"
    YES = "yes"
    NO = "no"


def _members(value: object) -> object:
    """A list of databases as a mapping without roles."""
    listed = many(value)
    if not isinstance(listed, list | tuple):
        return value
    if not all(isinstance(name, str) for name in listed):
        raise expected("names of databases, or a mapping of them to the roles source and target")
    return dict.fromkeys(listed)


def _yes_no(value: object) -> object:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value


def _onetimecopy(value: object) -> object:
    if isinstance(value, bool):
        return "always" if value else "off"
    return {0: "off", 1: "always", 2: "empty"}.get(value, value) if isinstance(value, int) else value


def _strategy(value: object) -> object:
    """A word, or databases in order: as a list, or with commas between them."""
    if isinstance(value, list) and value and all(isinstance(name, str) and name for name in value):
        return ", ".join(value)
    if not isinstance(value, str) or not value.strip():
        raise expected(f"{', '.join(STRATEGIES)}, databases in order, sql:function or python:module:function")
    return value.strip()


def _call(value: object) -> object:
    if not isinstance(value, str) or not CALL.fullmatch(value):
        raise expected("sql:FUNCTION or python:MODULE:FUNCTION")
    return value


def _index(value: object) -> object:
    if not isinstance(value, str) or not (value == CONTROL or INDEX.fullmatch(value)):
        raise expected(f"{CONTROL}, or the address of a package index such as https://pypi.org/simple")
    return value


def _power_of_two(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int) or not 2 <= value <= 1024 or value & (value - 1):
        raise expected("a power of two from 2 to 1024")
    return value


Members = Annotated[dict[Name, Role | None], BeforeValidator(_members)]
Strategy = Annotated[str, BeforeValidator(_strategy)]
Tables = Annotated[
    Annotated[Literal["all"], Tag("~all")] | Annotated[TableNames, Tag("~list")],
    Discriminator(lambda value: "~all" if value == "all" else "~list"),
]


class CatalogSettings(Section):
    """The database in which the replicator keeps what is declared."""

    host: str
    dbname: Name = "pgherd"


class DatabaseSettings(Section):
    """A database that takes part. dbname: None: the nickname; user: None: the replication role.

    capture: how its changes are logged, where syncs read it.
    """

    host: str
    dbname: Word | None = None
    user: Word | None = None
    capture: Capture = Capture.TRIGGERS
    options: dict[str, str] = Field(default_factory=dict)


class HerdSettings(Section):
    """Tables and sequences of one database. exclude: what `all` leaves out."""

    database: str
    tables: Tables = ()
    exclude: TableNames = ()
    sequences: Tables = ()


class HookSettings(Section):
    """Code that a sync runs. when: the moment of its runs. tables: for batches with these only."""

    when: Moment
    call: Annotated[str, BeforeValidator(_call)]
    tables: TableNames = ()
    timeout: Duration = timedelta(seconds=30)


class SyncSettings(Section):
    """One sync. source: a herd; targets: databases and dbgroups."""

    type: SyncType
    source: str
    targets: Texts
    strategy: Strategy | None = None
    strategies: Annotated[dict[Table, Strategy], BeforeValidator(empty)] = Field(default_factory=dict)
    counters: Texts = ()
    sequences: Numbers = Numbers.INTERLEAVE
    sequence_step: Annotated[int, BeforeValidator(_power_of_two)] = 16
    makedelta: Annotated[MakeDelta, BeforeValidator(_yes_no)] = MakeDelta.AUTO
    autokick: bool = True
    checktime: Duration | None = None
    onetimecopy: Annotated[OneTimeCopy, BeforeValidator(_onetimecopy)] = OneTimeCopy.EMPTY
    copymethod: CopyMethod = CopyMethod.DIFF
    ddl: Ddl = Ddl.NONE
    paused: bool = False
    hooks: Annotated[dict[Name, HookSettings], BeforeValidator(empty)] = Field(default_factory=dict)


class ReplicationSettings(Section):
    """All that the replicator is to do.

    runs_on: the host that runs the replicator, or CONTROL; None: see `runner`. install_from: the address of a package
    index that this host installs it from; CONTROL: what this machine sends. allow_from: addresses, networks, hosts or
    groups besides the nodes and that host from which the role may connect: where the replicator runs on this machine,
    at least this machine as remote hosts see it. warn_behind, warn_kept: when to warn of a node for which changes are
    kept; None: as the replicator sees fit.
    """

    install: Name = "pgherd"
    catalog: CatalogSettings
    role: Name = "bucardo"
    role_password: Secretly | None = None
    runs_on: Word | None = None
    install_from: Annotated[str, BeforeValidator(_index)] = CONTROL
    allow_from: Texts = ()
    warn_behind: Duration | None = None
    warn_kept: Size | None = None
    databases: dict[Name, DatabaseSettings]
    dbgroups: Annotated[dict[Name, Members], BeforeValidator(empty)] = Field(default_factory=dict)
    herds: Annotated[dict[Name, HerdSettings], BeforeValidator(empty)] = Field(default_factory=dict)
    syncs: Annotated[dict[Name, SyncSettings], BeforeValidator(empty)] = Field(default_factory=dict)
