"""What of a Bucardo's configuration has no equivalent, in sentences for people, beside the object that it belonged to.

A value that is as Bucardo delivers it is not worth a sentence. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from replicator.importing.reading import Former, Row
from replicator.model import Herd, Strategy, Sync, SyncType, TableName

Key = tuple[str, str]
"""Kind and name of the object; ("", "") for what belongs to none."""

OPTIONS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "connect_timeout", "keepalives", "keepalives_idle")
"""What of a connection's further parameters is taken over. Others may hold a secret."""

WORDS = (Strategy.LATEST, Strategy.SOURCE, Strategy.TARGET, Strategy.RANDOM, Strategy.SKIP, Strategy.ABORT)

ZERO = (None, 0, False, "", timedelta())

OF_SYNC: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "usecustomselect": (ZERO, "columns are not chosen here: a table travels whole"),
    "copyextra": (ZERO, "no equivalent"),
    "rebuild_index": (ZERO, "indexes are never taken away here"),
    "limitdbs": (ZERO, "every link has connections of its own"),
    "priority": (ZERO, "syncs do not wait for each other"),
    "overdue": (ZERO, "see the lag in `replicator status --json`"),
    "expired": (ZERO, "see the lag in `replicator status --json`"),
    "lifetime": (ZERO, "processes need no renewal"),
    "maxkicks": (ZERO, "processes need no renewal"),
    "track_rates": (ZERO, "rates are always shown"),
    "strict_checking": ((None, True), "definitions are always compared, by column name"),
    "stayalive": ((None, True), "processes stay"),
    "kidsalive": ((None, True), "processes stay"),
    "do_listen": (ZERO, "sources are looked at, nothing is listened to"),
    "isolation_level": (ZERO, "batches are read in one snapshot, written read committed"),
    "txnmode": ((None, "SERIALIZABLE", "serializable"), "batches are read in one snapshot, written read committed"),
    "copytype": ((None, "", "copy"), "rows always go by COPY"),
}
"""By column: the values that say nothing, and what to say of others."""

OF_RELATION: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "customselect": (ZERO, "columns are not chosen here: a table travels whole"),
    "ghost": (ZERO, "no equivalent: take it out of the herd if it shall not travel"),
    "delta_bypass": (ZERO, "a batch is never replaced by a whole copy"),
    "rebuild_index": (ZERO, "indexes are never taken away here"),
    "makedelta": ((None, "", "off", "inherits", "0"), "set makedelta on the sync"),
    "strict_checking": ((None, True), "definitions are always compared, by column name"),
}


@dataclass
class Notes:
    """Notes by object, each once."""

    found: dict[Key, list[str]] = field(default_factory=dict)

    def add(self, kind: str, name: str, text: str) -> None:
        """Add one."""
        mine = self.found.setdefault((kind, name), [])
        if text not in mine:
            mine.append(text)


def strategy(text: str, databases: Sequence[str]) -> str:
    """The strategy that a Bucardo's means; empty when there is none."""
    word = text.strip().removeprefix("bucardo_").removesuffix("_all_tables")
    if word in set(WORDS):
        return word
    order = re.split(r"[,\s]+", text.strip())
    return ", ".join(order) if len(order) > 1 and set(order) <= set(databases) else ""


def options(row: Row, notes: Notes) -> dict[str, str]:
    """A database's further connection parameters, as far as they are known to hold no secret."""
    given = dict(re.findall(r"([A-Za-z_]+)\s*=\s*([^\s;']+)", str(row.get("dbconn") or "")))
    for key in sorted(given.keys() - set(OPTIONS)):
        notes.add("database", row["name"], f"dbconn gave {key}: add it to `options` if it is needed and no secret")
    taken = {key: value for key, value in given.items() if key in OPTIONS}
    if row.get("dbservice"):
        taken["service"] = str(row["dbservice"])
    return taken


def database(row: Row, notes: Notes) -> None:
    """What of a database has no equivalent."""
    name = row["name"]
    if row.get("dbdsn"):
        notes.add("database", name, "it had a DSN of its own (dbdsn): see that all of it is said here")
    if row.get("pgpass"):
        notes.add("database", name, f"its password was in {row['pgpass']}")
    if row.get("status", "active") != "active":
        notes.add("database", name, f"it was {row['status']}; here syncs are paused, or the database taken out")
    for limit in ("sourcelimit", "targetlimit"):
        if row.get(limit):
            notes.add("database", name, f"{limit} = {row[limit]}: connections are not limited here")


def relation(row: Row, former: Former, notes: Notes, herd: str) -> None:
    """What of a table or sequence has no equivalent."""
    table = TableName(row["schemaname"], row["tablename"])
    for column, (silent, text) in OF_RELATION.items():
        if row.get(column) not in silent:
            notes.add("herd", herd, f"{table}: {column} = {row[column]}: {text}")
    for column in ("ping", "autokick"):
        if row.get(column) is not None:
            notes.add("herd", herd, f"{table}: {column} = {row[column]}: it is the sync that is kicked, or not")
    for what, rows, text in (
        ("customname", former.customnames, "a table has the same name everywhere"),
        ("customcols", former.customcols, "columns are not chosen here: a table travels whole"),
        ("custom trigger", former.triggers, "triggers are the replicator's own"),
    ):
        if any(other.get("goat") == row["id"] for other in rows):
            notes.add("herd", herd, f"{table}: it has a {what}: {text}")


def sync(row: Row, notes: Notes, made: Sync, herd: Herd) -> None:
    """What of a sync has no equivalent."""
    if made.name != row["name"]:
        notes.add("sync", made.name, f"part of Bucardo's {row['name']}")
    for column, (silent, text) in OF_SYNC.items():
        if row.get(column) not in silent:
            notes.add("sync", made.name, f"{column} = {row[column]}: {text}")
    if row.get("deletemethod") == "truncate_cascade" and made.type is SyncType.FULLCOPY:
        notes.add("sync", made.name, "deletemethod = truncate_cascade: truncate, which other tables' keys may forbid")
    if str(row.get("conflict_strategy") or "").endswith("_all_tables"):
        notes.add("sync", made.name, "conflict_strategy was by all tables; `latest` judges row by row")
    if made.type is SyncType.SWAP and herd.sequences:
        notes.add("sync", made.name, "sequences do not follow between masters: give each other ranges or steps")


def codes(former: Former, notes: Notes, relations: Mapping[Any, Row]) -> None:
    """Custom code is named: it is Perl, and must be written anew."""
    for code in former.codes:
        uses = [use for use in former.codemap if use["code"] == code["id"]]
        where = [f"sync {use['sync']}" for use in uses if use.get("sync")]
        tables = [relations[use["goat"]] for use in uses if use.get("goat") in relations]
        where += [f"table {TableName(row['schemaname'], row['tablename'])}" for row in tables]
        rewrite = "a strategy, sql:FUNCTION or python:MODULE:FUNCTION" if code["whenrun"] == "conflict" else "a hook"
        notes.add(
            "",
            "",
            f"custom code {code['name']} ({code['whenrun']}; {', '.join(where) or 'used nowhere'})"
            f" is Perl: write it anew as {rewrite}",
        )


def settings(former: Former, notes: Notes) -> None:
    """Settings have no place in an inventory."""
    for name, value in former.settings.items():
        notes.add("", "", f"setting {name} = {'(a secret, not read)' if value is None else value}")
