"""`replicator list`: what is declared, as a table or as JSON, narrowed by patterns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from functools import partial
from typing import Annotated, Any, TypeVar

import typer

from replicator import relations
from replicator.cli.objects import tell
from replicator.cli.output import dump, table
from replicator.cli.session import Json, Session
from replicator.cli.words import Nouns, Words
from replicator.errors import ReplicatorError
from replicator.model import Database, DbGroup, Herd, Sync, SyncType, TableName, Topology
from replicator.postgres import Connector, translated

listing = typer.Typer(cls=Nouns, rich_markup_mode=None, help="List what is declared.")

T = TypeVar("T")
Patterns = Annotated[list[str] | None, typer.Argument(metavar="[PATTERN]...", help="Names; * and ? match any.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.add_typer(listing, name="list")


def matching(things: Iterable[T], patterns: Sequence[str] | None, *names: Callable[[T], str]) -> list[T]:
    """The things one of whose names matches one of the patterns (Bucardo's % being *); all without patterns. Pure."""
    spelt = [pattern.replace("%", "*") for pattern in patterns or ()]
    return [thing for thing in things if not spelt or any(fnmatchcase(name(thing), p) for name in names for p in spelt)]


def _show(json: bool, columns: Sequence[str], rows: list[dict[str, Any]], empty: str) -> None:
    """Rows have a value for each column, in its order, and may have more, for JSON only."""
    if json:
        dump(rows)
    else:
        table(columns, [list(row.values())[: len(columns)] for row in rows], empty=empty)


def _empty(noun: str, patterns: Sequence[str] | None) -> str:
    which = f"matching {', '.join(patterns)} " if patterns else ""
    return f"There are no {noun} {which}in the catalog."


def _by_name(thing: Any) -> str:
    return str(thing.name)


@listing.command("dbs", cls=Words)
def list_dbs(context: typer.Context, patterns: Patterns = None, json: Json = False) -> None:
    """List databases."""
    topology = context.obj.catalog.topology()
    rows = [
        {
            "name": database.name,
            "dbname": database.dbname,
            "host": database.host or "local socket",
            "port": database.port,
            "user": database.user,
            "active": database.active,
            "capture": database.capture,
            "options": dict(database.options),
            "dbgroups": [group.name for group in topology.dbgroups.values() if database.name in group.members],
            "syncs": [sync.name for sync in topology.syncs.values() if database in topology.members(sync)],
            "id": database.id,
        }
        for database in matching(topology.databases.values(), patterns, _by_name)
    ]
    columns = ("Name", "Database", "Host", "Port", "User", "Active", "Capture", "Options", "Dbgroups", "Syncs")
    _show(json, columns, rows, _empty("databases", patterns))


@listing.command("dbgroups", cls=Words)
def list_dbgroups(context: typer.Context, patterns: Patterns = None, json: Json = False) -> None:
    """List dbgroups."""
    topology = context.obj.catalog.topology()
    rows = [
        {
            "name": group.name,
            "databases": list(group.members) if json else [_with_role(group, name) for name in group.members],
            "syncs": [sync.name for sync in topology.syncs.values() if group.name in sync.targets],
            "roles": dict(group.roles),
        }
        for group in matching(topology.dbgroups.values(), patterns, _by_name)
    ]
    _show(json, ("Name", "Databases", "Syncs"), rows, _empty("dbgroups", patterns))


def _with_role(group: DbGroup, name: str) -> str:
    return f"{name}:{group.roles[name]}" if name in group.roles else name


@listing.command("herds", cls=Words)
def list_herds(context: typer.Context, patterns: Patterns = None, json: Json = False) -> None:
    """List herds."""
    topology = context.obj.catalog.topology()
    rows = [
        {
            "name": herd.name,
            "database": herd.database,
            "tables": list(herd.tables),
            "sequences": list(herd.sequences),
            "syncs": _syncs(topology, herd),
        }
        for herd in matching(topology.herds.values(), patterns, _by_name)
    ]
    _show(json, ("Name", "Database", "Tables", "Sequences", "Syncs"), rows, _empty("herds", patterns))


def _syncs(topology: Topology, herd: Herd) -> list[str]:
    return [sync.name for sync in topology.syncs.values() if sync.herd == herd.name]


def _members(topology: Topology, field: str, patterns: Sequence[str] | None) -> list[tuple[Herd, TableName]]:
    members = [(herd, name) for herd in topology.herds.values() for name in getattr(herd, field)]
    return matching(members, patterns, lambda m: str(m[1]), lambda m: m[1].name)


@listing.command("tables", cls=Words)
def list_tables(context: typer.Context, patterns: Patterns = None, json: Json = False) -> None:
    """List the tables of all herds, with their keys as the databases have them now."""
    session: Session = context.obj
    topology = session.catalog.topology()
    members = _members(topology, "tables", patterns)
    keys = _keys(session.connector, topology, members)
    rows = [
        {
            "table": name,
            "database": herd.database,
            "herd": herd.name,
            "key": keys.get(herd.database, {}).get(name),
            "syncs": _syncs(topology, herd),
            "exists": name in keys[herd.database] if herd.database in keys else None,
        }
        for herd, name in members
    ]
    if not json:
        rows = [{**row, "key": _key_text(row)} for row in rows]
    _show(json, ("Table", "Database", "Herd", "Key", "Syncs"), rows, _empty("tables", patterns))


def _key_text(row: Mapping[str, Any]) -> str:
    if row["exists"] is None:
        return "?"
    return ", ".join(row["key"]) or "none" if row["exists"] else "table missing"


Keys = dict[TableName, tuple[str, ...]]


def _keys(connector: Connector, topology: Topology, members: list[tuple[Herd, TableName]]) -> dict[str, Keys]:
    """The key columns of tables, by database; one that does not answer is told of and left out."""
    wanted: dict[str, list[TableName]] = {}
    for herd, name in members:
        if topology.databases[herd.database].active:
            wanted.setdefault(herd.database, []).append(name)
    databases = [topology.databases[name] for name in wanted]
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(partial(_keys_of, connector), databases, wanted.values())
        return {database.name: keys for database, keys in zip(databases, found, strict=True) if keys is not None}


def _keys_of(connector: Connector, database: Database, names: list[TableName]) -> Keys | None:
    try:
        with connector.open(database, "cli", autocommit=True) as connection, translated(str(database)):
            described = relations.describe(connection, names)
    except ReplicatorError as error:
        tell(f"the keys of its tables are not shown: {error}")
        return None
    return {name: relation.key for name, relation in described.items()}


@listing.command("sequences", cls=Words)
def list_sequences(context: typer.Context, patterns: Patterns = None, json: Json = False) -> None:
    """List the sequences of all herds."""
    topology = context.obj.catalog.topology()
    rows = [
        {"sequence": name, "database": herd.database, "herd": herd.name, "syncs": _syncs(topology, herd)}
        for herd, name in _members(topology, "sequences", patterns)
    ]
    _show(json, ("Sequence", "Database", "Herd", "Syncs"), rows, _empty("sequences", patterns))


@listing.command("syncs", cls=Words)
def list_syncs(context: typer.Context, patterns: Patterns = None, json: Json = False) -> None:
    """List syncs."""
    topology = context.obj.catalog.topology()
    rows = [_sync_row(topology, sync) for sync in matching(topology.syncs.values(), patterns, _by_name)]
    columns = ("Name", "Type", "Herd", "Source", "Targets", "State", "Runs")
    _show(json, columns, rows, _empty("syncs", patterns))


def _sync_row(topology: Topology, sync: Sync) -> dict[str, Any]:
    return {
        "name": sync.name,
        "type": sync.type,
        "herd": sync.herd,
        "source": topology.herds[sync.herd].database,
        "targets": list(sync.targets),
        "state": "paused" if sync.paused else "active",
        "runs": _occasions(sync),
        "databases": [database.name for database in topology.targets(sync)],
        "strategy": sync.strategy if sync.type is SyncType.SWAP else None,
        "strategies": {str(table): strategy for table, strategy in sync.strategies},
        "counters": list(sync.counters),
        "sequences": sync.sequences if sync.type is SyncType.SWAP else None,
        "sequence_step": sync.sequence_step if sync.type is SyncType.SWAP else None,
        "makedelta": sync.makedelta,
        "autokick": sync.autokick,
        "checktime": sync.checktime,
        "onetimecopy": sync.onetimecopy,
        "copymethod": sync.copymethod,
        "ddl": sync.ddl,
        "hooks": [str(hook) for hook in sync.hooks],
    }


def _occasions(sync: Sync) -> str:
    occasions = ["on change"] if sync.autokick else []
    occasions += [f"every {sync.checktime}"] if sync.checktime else []
    return ", ".join(occasions) or "when kicked"


@listing.command("hooks", cls=Words)
def list_hooks(context: typer.Context, patterns: Patterns = None, json: Json = False) -> None:
    """List the hooks of syncs, in the order in which they run."""
    topology = context.obj.catalog.topology()
    found = [(sync, hook) for sync in topology.syncs.values() for hook in sync.hooks]
    rows = [
        {
            "name": hook.name,
            "sync": sync.name,
            "moment": hook.moment,
            "call": hook.call,
            "tables": list(hook.tables),
            "seconds": hook.seconds,
        }
        for sync, hook in matching(found, patterns, lambda pair: pair[1].name)
    ]
    _show(json, ("Name", "Sync", "Moment", "Calls", "Tables", "Seconds"), rows, _empty("hooks", patterns))


@listing.command("leftovers", cls=Words)
def list_leftovers(context: typer.Context, patterns: Patterns = None, json: Json = False) -> None:
    """List what removed syncs left on nodes that did not answer then."""
    rows = [
        {
            "database": left.database.name,
            "sync": left.sync,
            "what": f"positions on {left.source}" if left.source else "triggers and logs",
            "noted_at": left.noted_at,
            "error": left.error,
            "tables": left.tables,
        }
        for left in matching(context.obj.catalog.leftovers(), patterns, lambda left: left.database.name)
    ]
    _show(json, ("Database", "Sync", "What", "Noted at", "Why"), rows, _empty("leftovers", patterns))
