"""`bucardo_ctl inspect table`: what a table refers to and what refers to it, and whether its herds hold those too."""

from __future__ import annotations

from collections.abc import Iterator

from replicator.bucardo import goats, nouns
from replicator.bucardo.session import Failed, Session
from replicator.catalog import Goat
from replicator.errors import UsageError
from replicator.model import TableName, Topology
from replicator.postgres import Connection, translated

REFERENCES = """
select c.conname::text, n.nspname::text, r.relname::text, fn.nspname::text, f.relname::text
from pg_constraint c
join pg_class r on r.oid = c.conrelid join pg_namespace n on n.oid = r.relnamespace
join pg_class f on f.oid = c.confrelid join pg_namespace fn on fn.oid = f.relnamespace
where c.contype = 'f' and ((n.nspname, r.relname) = (%s, %s) or (fn.nspname, f.relname) = (%s, %s))
order by 1, 2, 3
"""


def run(session: Session) -> None:
    """Inspect tables; 4.5 can inspect nothing else."""
    noun, words = nouns.needed("inspect", session.line.words)
    if noun in ("herd", "sync"):
        print("Not implemented yet")
        raise Failed(1)
    if noun != "table" or not words:
        raise UsageError("Usage: inspect table NAME ...")
    topology = session.topology
    for goat in goats.known(session, words, "table", session.line.given("db")):
        database = topology.databases[goat.db]
        print(f"Inspecting table: {goats.spelt(goat)} on database {goat.db}")
        with session.connector.open(database, "ctl", autocommit=True) as connection, translated(str(database)):
            print("\n".join(_findings(topology, goat, connection)))


def _findings(topology: Topology, goat: Goat, connection: Connection) -> Iterator[str]:
    herds = [herd for herd in topology.herds.values() if herd.database == goat.db and goat.table in herd.tables]
    yield f"  Herds: {', '.join(sorted(herd.name for herd in herds)) or 'none'}"
    place = (goat.table.schema, goat.table.name)
    rows = connection.execute(REFERENCES, [*place, *place]).fetchall()
    for name, schema, table, other_schema, other_table in rows:
        ours, theirs = TableName(schema, table), TableName(other_schema, other_table)
        other = theirs if ours == goat.table else ours
        yield f"  {'Refers to' if ours == goat.table else 'Referred to by'}: {other} ({name})"
        for herd in herds:
            if other not in herd.tables:
                yield f"    Warning: herd {herd.name} does not hold {other}"
    if not rows:
        yield "  No foreign keys"
