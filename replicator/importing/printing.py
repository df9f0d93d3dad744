"""Writes a declaration as an inventory in YAML, with a comment wherever something has no equivalent. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta

from replicator.importing.declaring import Declaration
from replicator.importing.notes import Key
from replicator.model import CopyMethod, Database, OneTimeCopy, Strategy, Sync, SyncType, TableName

PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.]*(?:/[A-Za-z0-9_.]+)*")
WORDS_OF_YAML = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
SECRET = "bucardo"  # noqa: S105 - the name of an entry
UNKNOWN = "127.0.0.1"
"""The address of the host of databases for which Bucardo had none: its own machine."""

HEAD = """\
# What a Bucardo {version} declared, as an inventory for `provision`. Before the first deploy:
#   - look at every line that begins with #!, it says what has no equivalent here;
#   - see to it that the hosts can be reached by SSH;
#   - stop Bucardo, and remove its triggers, or both will replicate.
"""


def inventory(declared: Declaration, version: int) -> str:
    """The inventory. version: Bucardo's."""
    return "\n".join(line.rstrip() for line in _Page(declared).lines(version)) + "\n"


def scalar(text: str) -> str:
    """A text as YAML takes it for a text."""
    if PLAIN.fullmatch(text) and text.lower() not in WORDS_OF_YAML:
        return text
    return json.dumps(text)


def _inline(values: Iterable[str]) -> str:
    return f"[{', '.join(scalar(value) for value in values)}]"


def _mapping(values: Mapping[str, str]) -> str:
    return f"{{{', '.join(f'{key}: {value}' for key, value in values.items())}}}"


def _duration(value: timedelta) -> str:
    return f"{value.total_seconds():g}s"


class _Page:
    def __init__(self, declared: Declaration) -> None:
        self._declared = declared
        self._topology = declared.topology
        self._hosts = _hosts(self._topology.databases.values())

    def lines(self, version: int) -> Iterator[str]:
        yield from HEAD.format(version=version).splitlines()
        yield from self._notes(("", ""), "")
        yield "all:"
        yield "  vars:"
        yield "    connection: ssh"
        yield "    postgresql: {source: system}  # the servers that are there; see docs/reference/inventory.md"
        yield "    replication:"
        yield from (f"      {line}".rstrip() for line in self._replication())
        yield "  hosts:"
        yield from self._host_lines()

    def _notes(self, key: Key, indent: str) -> Iterator[str]:
        for text in self._declared.notes.get(key, ()):
            yield f"{indent}#! {_one_line(text)}"

    def _host_lines(self) -> Iterator[str]:
        for (host, port), name in self._hosts.items():
            if not host:
                names = ", ".join(self._declared.unnamed)
                yield f"    #! of {_one_line(names)} Bucardo gave no host: name the machine that it ran on"
            values = {"address": scalar(host or UNKNOWN)}
            if port != 5432:
                values["postgresql"] = f"{{source: system, port: {port}}}"
            yield f"    {scalar(name)}: {_mapping(values)}"

    # --- replication --------------------------------------------------------------------------------------------

    def _replication(self) -> Iterator[str]:
        first = next(iter(self._hosts.values()), "")
        yield f"catalog: {{host: {scalar(first)}}}"
        yield f"role: {scalar(self._declared.role)}"
        if self._declared.passwords:
            yield "# Bucardo kept passwords in its database; they were not read. Put the role's into a file of secrets:"
            yield f"#   provision secret set INVENTORY {SECRET}"
            yield f"role_password: !secret {SECRET}"
        yield "databases:"
        for key, database in self._topology.databases.items():
            yield from self._notes(("database", key), "  ")
            yield f"  {scalar(database.name)}: {_mapping(self._database(database))}"
        yield from self._section("dbgroups", (self._group(name) for name in self._topology.dbgroups))
        yield from self._section("herds", (self._herd(name) for name in self._topology.herds))
        yield from self._section("syncs", (self._sync(sync) for sync in self._topology.syncs.values()))

    @staticmethod
    def _section(name: str, parts: Iterable[Iterable[str]]) -> Iterator[str]:
        lines = [f"  {line}" for part in parts for line in part]
        yield f"{name}:" if lines else f"{name}: {{}}"
        yield from lines

    def _database(self, database: Database) -> dict[str, str]:
        values = {"host": scalar(self._hosts[database.host, database.port]), "dbname": scalar(database.dbname)}
        if database.user != self._declared.role:
            values["user"] = scalar(database.user)
        if database.options:
            values["options"] = _mapping({key: json.dumps(value) for key, value in database.options.items()})
        return values

    def _group(self, name: str) -> Iterator[str]:
        yield f"{scalar(name)}: {_inline(self._topology.dbgroups[name].members)}"

    def _herd(self, name: str) -> Iterator[str]:
        herd = self._topology.herds[name]
        yield from self._notes(("herd", name), "")
        yield f"{scalar(name)}:"
        yield f"  database: {scalar(herd.database)}"
        for key, tables in (("tables", herd.tables), ("sequences", herd.sequences)):
            if tables:
                yield f"  {key}:"
                yield from (f"    - {scalar(_table(table))}" for table in tables)

    def _sync(self, sync: Sync) -> Iterator[str]:
        yield from self._notes(("sync", sync.name), "")
        yield f"{scalar(sync.name)}:"
        yield f"  type: {sync.type}"
        yield f"  source: {scalar(sync.herd)}"
        yield f"  targets: {_inline(sync.targets)}"
        if sync.type is SyncType.SWAP:
            yield f"  strategy: {_strategy(sync.strategy)}"
            if sync.strategies:
                yield "  strategies:"
                yield from (f"    {scalar(_table(table))}: {_strategy(text)}" for table, text in sync.strategies)
        yield f"  makedelta: {'yes' if sync.makedelta else 'no'}"
        if not sync.autokick:
            yield "  autokick: no"
        if sync.checktime:
            yield f"  checktime: {_duration(sync.checktime)}"
        if sync.onetimecopy is not OneTimeCopy.EMPTY:
            yield f"  onetimecopy: {sync.onetimecopy}"
        if sync.copymethod is not CopyMethod.DIFF:
            yield f"  copymethod: {sync.copymethod}"
        if sync.paused:
            yield "  paused: yes"


def _hosts(databases: Iterable[Database]) -> dict[tuple[str, int], str]:
    """A host of the inventory for each server, by address and port."""
    found: dict[tuple[str, int], str] = {}
    for database in databases:
        host = database.host if not database.host.startswith("/") else ""
        name = host or "bucardo_host"
        if name in found.values() and (database.host, database.port) not in found:
            name = f"{name}_{database.port}"
        found.setdefault((database.host, database.port), name)
    return found


def _table(table: TableName) -> str:
    text = str(table)
    return text.removeprefix("public.") if table.schema == "public" and "." not in table.name else text


def _strategy(text: str) -> str:
    names = [name.strip() for name in text.split(",")]
    return scalar(text) if len(names) == 1 or text in set(Strategy) else _inline(names)


def _one_line(text: str) -> str:
    return " ".join(str(text).split()).translate({0x85: " ", 0x2028: " ", 0x2029: " "})
