"""`bucardo_ctl update db`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from replicator.bucardo.commands.add_db import ALIASES, IDLE, active, options
from replicator.bucardo.commands.update import say_changes
from replicator.bucardo.declaring import converge, existing, reject_unknown, with_value
from replicator.bucardo.session import Session
from replicator.cli import passwords
from replicator.errors import UsageError
from replicator.model import Database


def update(session: Session, _noun: str, words: tuple[str, ...]) -> None:
    """Change how a database is reached, or whether it takes part."""
    name, *rest = words
    if rest or not session.line.pairs:
        raise UsageError("Usage: update db NAME name=value ...")
    aliases = {key: value for key, value in ALIASES.items() if key != "dbname"}
    pairs = {aliases.get(key, key): value for key, value in session.line.pairs.items()}
    reject_unknown(pairs, ("conn", "dbname", "host", "pass", "port", "service", "status", "user", *IDLE), "db")
    database: Database = existing(session.topology, "db", name)
    changed = replace(database, **_fields(database, pairs))
    with passwords.kept(session.config, changed, pairs.get("pass") or None):
        converge(session, with_value(session.topology, changed))
    kept = {key: pairs[key] for key in IDLE if key in pairs}
    session.keep("db", name, kept)
    say_changes(session, "db", name, _columns(database), {**_columns(changed), **kept})


def _fields(database: Database, pairs: dict[str, str]) -> dict[str, Any]:
    fields: dict[str, Any] = {key: pairs[key] for key in ("dbname", "host", "user") if key in pairs}
    if "port" in pairs:
        if not pairs["port"].isdigit():
            raise UsageError(f'Invalid port: "{pairs["port"]}" (a number expected)')
        fields["port"] = int(pairs["port"])
    if "status" in pairs:
        fields["active"] = active(pairs["status"])
    if more := options(pairs):
        fields["options"] = {**database.options, **more}
    return fields


def _columns(database: Database) -> dict[str, object]:
    return {
        **{key: getattr(database, key) for key in ("dbname", "host", "port", "user")},
        **dict(database.options),
        "status": "active" if database.active else "inactive",
    }
