"""`bucardo_ctl list dbs`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from replicator.bucardo.commands.listing import columns, matching, width
from replicator.bucardo.session import Session
from replicator.model import Database, Topology


def show(session: Session, _noun: str, words: Sequence[str]) -> Iterator[str]:
    """A line for each database, with the psql command that connects as the replicator does."""
    topology = session.topology
    found = matching(sorted(topology.databases.values(), key=lambda d: d.name), words, lambda d: d.name)
    wide = width(database.name for database in found)
    for database in found:
        status = "active" if database.active else "inactive"
        yield f"Database: {database.name:<{wide}}  Status: {status}  Conn: {psql(database)}"
        if session.line.verbosity:
            yield from _used(topology, database)
        if session.line.verbosity > 1:
            values = {**vars(database), **dict(database.options), "status": status}
            values.update(session.catalog.habits().get(("db", database.name), {}))
            yield from columns({key: value for key, value in values.items() if key not in ("options", "active")})


def psql(database: Database) -> str:
    """The psql command for a database. Pure."""
    parts = ["psql", f"-p {database.port}", f"-U {database.user}", f"-d {database.dbname}"]
    return " ".join([*parts, *([f"-h {database.host}"] if database.host else [])])


def _used(topology: Topology, database: Database) -> Iterator[str]:
    groups = sorted(group.name for group in topology.dbgroups.values() if database.name in group.members)
    if groups:
        yield f"  Belongs to database groups: {', '.join(groups)}"
    syncs = sorted(s.name for s in topology.syncs.values() if database.name in {d.name for d in topology.members(s)})
    if syncs:
        yield f"  Used in syncs: {', '.join(syncs)}"
