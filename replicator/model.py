"""The nouns: databases, dbgroups, herds, syncs, the topology that they form, and the links that a sync runs.

Values only, frozen; nothing here talks to a server. The catalog stores them, the inventory declares them, a controller
runs the links. Read this first, then `syncrun`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from replicator.hook import Hook

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")


class SyncType(StrEnum):
    """How a sync moves rows."""

    PUSHDELTA = "pushdelta"  # changed rows, by key, from one source to its targets
    FULLCOPY = "fullcopy"  # whole tables, key or not, whenever the source changed
    SWAP = "swap"  # changed rows both ways between masters


class Capture(StrEnum):
    """How the changes of a database's tables get into its change logs."""

    TRIGGERS = "triggers"  # each statement logs what it changes, in its own transaction
    WAL = "wal"  # decoded later, from what the server writes anyway


class Role(StrEnum):
    """What a member of a dbgroup is to the syncs over it."""

    SOURCE = "source"  # it is read and written: a master of a swap
    TARGET = "target"  # it is written only: a slave


class Strategy(StrEnum):
    """Who wins when two masters changed one row without knowing of each other. How each is written: `conflict.named`.

    Where two changes come to the same place in it, the later one wins.
    """

    LATEST = "latest"  # the later version
    SOURCE = "source"  # the sync's source
    TARGET = "target"  # a target of the sync
    RANDOM = "random"  # one draw a conflict, the same everywhere
    SKIP = "skip"  # nobody: each side keeps its row until one of them changes again
    ABORT = "abort"  # nobody, and the sync is paused
    ORDER = "order"  # the node that is named first
    SQL = "sql"  # whoever an SQL function says
    PYTHON = "python"  # whoever a Python function says


class CopyMethod(StrEnum):
    """How a whole copy replaces what the target holds."""

    DIFF = "diff"  # write only the rows that differ
    DELETE = "delete"  # delete all rows, then copy
    TRUNCATE = "truncate"  # truncate, then copy: fast, but locks readers out


class OneTimeCopy(StrEnum):
    """Whether the next run of a sync begins with a whole copy of its tables (Bucardo's 0, 1 and 2)."""

    OFF = "off"  # never: whoever set it has made the tables equal
    ALWAYS = "always"  # once, replacing what the target holds, then back to `empty`
    EMPTY = "empty"  # of tables that this target has never had; see `table_copy`


class Ddl(StrEnum):
    """Which changes of definitions a sync makes on its targets by itself."""

    NONE = "none"
    NEWCOL = "newcol"  # a column that was added on the source


class Numbers(StrEnum):
    """How masters of a swap come by different numbers from the sequences of its tables."""

    INTERLEAVE = "interleave"  # each increments by `sequence_step`, from a number of its own
    NONE = "none"  # the sequences are left alone


@dataclass(frozen=True, order=True)
class TableName:
    """A schema-qualified table or sequence, unquoted."""

    schema: str
    name: str

    @classmethod
    def parse(cls, text: str, default_schema: str = "public") -> TableName:
        """Read `name`, `schema.name`, or either part in double quotes. Raises ValueError."""
        parts = re.fullmatch(r'(?:("(?:[^"]|"")+"|[^".]+)\.)?("(?:[^"]|"")+"|[^".]+)', text.strip())
        if not parts:
            raise ValueError(f"not a table name: {text!r}")
        schema, name = (_unquote(part) if part else default_schema for part in parts.groups())
        return cls(schema, name)

    def __str__(self) -> str:
        return f"{_quote(self.schema)}.{_quote(self.name)}"


def _unquote(part: str) -> str:
    return part[1:-1].replace('""', '"') if part.startswith('"') else part


def _quote(part: str) -> str:
    return part if re.fullmatch(r"[^\".\s]+", part) else '"' + part.replace('"', '""') + '"'


@dataclass(frozen=True)
class Install:
    """One installation of the replicator. Its objects live in one schema of each node, so installs can share a node."""

    name: str = "pgherd"

    @property
    def schema(self) -> str:
        """The schema that holds the install's objects on every node."""
        return self.name if self.name == "pgherd" else f"pgherd_{self.name}"

    def lock_key(self, *parts: str) -> int:
        """A signed 64-bit advisory lock key for something of this install."""
        digest = hashlib.sha256("\0".join((self.name, *parts)).encode()).digest()
        return int.from_bytes(digest[:8], "big", signed=True)


@dataclass(frozen=True, kw_only=True)
class Database:
    """A database that takes part, under the nickname by which syncs know it.

    id: the small number that stands for it in change logs as a row's origin; 0 until the catalog has given one.
    options: further libpq parameters (sslmode, passfile, service ...), never a password.
    capture: how its changes are logged, where syncs read it.
    """

    name: str
    dbname: str
    host: str = ""
    port: int = 5432
    user: str = "bucardo"
    options: Mapping[str, str] = field(default_factory=dict)
    active: bool = True
    capture: Capture = Capture.TRIGGERS
    id: int = 0

    def __str__(self) -> str:
        return f"{self.name} ({self.dbname} at {self.host or 'local socket'}:{self.port})"


@dataclass(frozen=True, kw_only=True)
class DbGroup:
    """A named list of databases, used as the targets of a sync.

    roles: of the members that have one. Without, a member is what the sync makes of it: a swap's master, else a slave.
    """

    name: str
    members: tuple[str, ...] = ()
    roles: Mapping[str, Role] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Herd:
    """Tables and sequences of one database that are replicated together, in the order in which they are written."""

    name: str
    database: str
    tables: tuple[TableName, ...] = ()
    sequences: tuple[TableName, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Sync:
    """Moves a herd from its database to targets (databases or dbgroups).

    strategy: who wins a conflict of a swap, as `conflict.named` reads it; strategies: of tables that have their own.
    counters: columns (`column`, or `table.column`) that concurrent changes add up in.
    sequences: how masters come by different numbers; sequence_step: how many masters may share them (a power of two).
    makedelta: what this sync writes on a node flows onward by the other syncs that read there.
    ddl: what it changes in the targets' definitions when the source's change.
    autokick: run when the source changed. checktime: run at least that often, changed or not. paused: declared off.
    hooks: code that runs at moments of its runs, in this order.
    """

    name: str
    type: SyncType
    herd: str
    targets: tuple[str, ...]
    strategy: str = Strategy.LATEST
    strategies: tuple[tuple[TableName, str], ...] = ()
    counters: tuple[str, ...] = ()
    sequences: Numbers = Numbers.INTERLEAVE
    sequence_step: int = 16
    makedelta: bool = False
    autokick: bool = True
    checktime: timedelta | None = None
    onetimecopy: OneTimeCopy = OneTimeCopy.EMPTY
    copymethod: CopyMethod = CopyMethod.DIFF
    ddl: Ddl = Ddl.NONE
    paused: bool = False
    hooks: tuple[Hook, ...] = ()

    def strategy_of(self, table: TableName) -> str:
        """Who wins a conflict in a table."""
        return dict(self.strategies).get(table, self.strategy)

    def counters_of(self, table: TableName) -> tuple[str, ...]:
        """The columns that are counters wherever a table has them."""
        return tuple(dict.fromkeys(name for name in map(_column_in(table), self.counters) if name))


def _column_in(table: TableName) -> Callable[[str], str]:
    def column(text: str) -> str:
        place, dot, name = text.rpartition(".")
        return name if not dot or TableName.parse(place) == table else ""

    return column


@dataclass(frozen=True, kw_only=True)
class Link:
    """One direction of one sync: everything that a runner needs to know of it, resolved.

    lead: the database that the sync's herd lives on; `Strategy.SOURCE` means this one, whichever way the link points.
    slaves: the names of a swap's slaves. They follow the lead, so what the other masters send there flows onward.
    """

    install: Install
    sync: Sync
    source: Database
    target: Database
    lead: str
    tables: tuple[TableName, ...]
    sequences: tuple[TableName, ...] = ()
    slaves: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.sync.name}: {self.source.name} -> {self.target.name}"

    @property
    def mutual(self) -> bool:
        """Whether both ends are masters, each of which judges what comes from the other."""
        return self.sync.type is SyncType.SWAP and self.target.name not in self.slaves

    @property
    def led(self) -> bool:
        """Whether the target is a slave of a swap, which takes from one master, the lead, what all of them write."""
        return self.sync.type is SyncType.SWAP and self.target.name in self.slaves

    @property
    def onward(self) -> bool:
        """Whether what is written on the target is to be read there by others."""
        return self.sync.makedelta or bool(self.slaves and self.target.name == self.lead)

    @property
    def active(self) -> bool:
        """Whether both databases may be connected to."""
        return self.source.active and self.target.active


@dataclass(frozen=True)
class Topology:
    """All that is declared, by name. `links` resolves it; `contradictions` says what cannot be resolved."""

    databases: Mapping[str, Database] = field(default_factory=dict)
    dbgroups: Mapping[str, DbGroup] = field(default_factory=dict)
    herds: Mapping[str, Herd] = field(default_factory=dict)
    syncs: Mapping[str, Sync] = field(default_factory=dict)

    def targets(self, sync: Sync) -> tuple[Database, ...]:
        """The databases that a sync writes to, groups resolved, without the source and without repeats."""
        names: dict[str, None] = {}
        for target in sync.targets:
            group = self.dbgroups.get(target)
            names.update(dict.fromkeys(group.members if group else (target,)))
        names.pop(self.herds[sync.herd].database, None)
        return tuple(self.databases[name] for name in names)

    def members(self, sync: Sync) -> tuple[Database, ...]:
        """The databases of a sync: its source first, then its targets."""
        return (self.databases[self.herds[sync.herd].database], *self.targets(sync))

    def masters(self, sync: Sync) -> tuple[Database, ...]:
        """The databases that a sync reads: its source, and the other masters of a swap."""
        slaves = self.slaves(sync)
        return tuple(database for database in self.members(sync) if database.name not in slaves)

    def slaves(self, sync: Sync) -> tuple[str, ...]:
        """The names of the databases that a sync writes only."""
        names = [database.name for database in self.targets(sync)]
        if sync.type is not SyncType.SWAP:
            return tuple(names)
        groups = [self.dbgroups[target] for target in sync.targets if target in self.dbgroups]
        return tuple(name for name in names if any(group.roles.get(name) is Role.TARGET for group in groups))

    def pairs(self, sync: Sync) -> list[tuple[Database, Database]]:
        """Where the rows of a sync go from and to: source to each slave, and every ordered pair of masters."""
        masters, slaves = self.masters(sync), self.slaves(sync)
        mutual = [(a, b) for a in masters for b in masters if a is not b]
        return mutual + [(masters[0], self.databases[name]) for name in slaves]

    def links(self, install: Install, sync: Sync) -> tuple[Link, ...]:
        """The links of a sync, one for each of its pairs."""
        herd = self.herds[sync.herd]
        slaves = self.slaves(sync) if sync.type is SyncType.SWAP else ()
        return tuple(
            Link(
                install=install,
                sync=sync,
                source=source,
                target=target,
                lead=herd.database,
                tables=herd.tables,
                sequences=herd.sequences,
                slaves=slaves,
            )
            for source, target in self.pairs(sync)
        )

    def all_links(self, install: Install) -> Iterator[Link]:
        """The links of every sync."""
        for sync in self.syncs.values():
            yield from self.links(install, sync)

    def contradictions(self) -> list[str]:
        """What is wrong with the declaration in itself, one sentence each; empty when it can be resolved."""
        return [*self._bad_names(), *self._bad_groups(), *self._bad_herds(), *self._bad_syncs()]

    def _bad_names(self) -> Iterator[str]:
        kinds = (("database", self.databases), ("dbgroup", self.dbgroups), ("herd", self.herds), ("sync", self.syncs))
        for kind, things in kinds:
            for name in things:
                if not NAME.fullmatch(name):
                    yield f"{kind} {name!r}: a name is a letter, then letters, digits or underscores, 63 at most"
        for name in self.databases.keys() & self.dbgroups.keys():
            yield f"dbgroup {name}: a database has that name already; give the group another"

    def _bad_groups(self) -> Iterator[str]:
        for group in self.dbgroups.values():
            for member in group.members:
                if member not in self.databases:
                    yield f"dbgroup {group.name}: no database is called {member!r}; {_known(self.databases)}"

    def _bad_herds(self) -> Iterator[str]:
        for herd in self.herds.values():
            if herd.database not in self.databases:
                yield f"herd {herd.name}: no database is called {herd.database!r}; {_known(self.databases)}"

    def _bad_syncs(self) -> Iterator[str]:
        for sync in self.syncs.values():
            known = sync.herd in self.herds
            if not known:
                yield f"sync {sync.name}: no herd is called {sync.herd!r}; {_known(self.herds)}"
            unknown = [t for t in sync.targets if t not in self.databases and t not in self.dbgroups]
            for target in unknown:
                places = {**self.databases, **self.dbgroups}
                yield f"sync {sync.name}: no database or dbgroup is called {target!r}; {_known(places)}"
            if known and not unknown and not list(self._bad_groups()) and not list(self._bad_herds()):
                yield from self._bad_targets(sync)

    def _bad_targets(self, sync: Sync) -> Iterator[str]:
        targets = self.targets(sync)
        if not targets:
            yield f"sync {sync.name}: it has no target other than its source; name a database or a dbgroup"


def _known(things: Mapping[str, object]) -> str:
    return "known: " + (", ".join(sorted(things)) or "none")
