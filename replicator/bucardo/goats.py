"""Tables and sequences as Bucardo knows them, apart from herds ("goats"): looked up, made known, spelt.

What `replicator` has put into a herd is a goat as well, whether or not it was added here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from replicator.bucardo import nouns
from replicator.bucardo.session import Session
from replicator.catalog import Goat
from replicator.errors import NotFound, ReplicatorError, UsageError
from replicator.model import Database, TableName
from replicator.postgres import Connection, translated
from replicator.relations import describe, user_sequences, user_tables

TYPES = """
select a.attname::text, t.typname::text from pg_attribute a join pg_type t on t.oid = a.atttypid
where a.attrelid = %s and a.attname = any(%s)
"""

TABLE_CONFLICTS = ("source", "target", "skip", "random", "latest", "abort")
SEQUENCE_CONFLICTS = ("source", "target", "skip", "lowest", "highest")


def all_goats(session: Session) -> list[Goat]:
    """All that were added, then those that only a herd lists, with the keys that the servers tell."""
    added = session.catalog.goats()
    known = {(goat.db, goat.table) for goat in added}
    more: dict[str, dict[TableName, str]] = {}
    for herd in session.topology.herds.values():
        for kind, names in (("table", herd.tables), ("sequence", herd.sequences)):
            for name in names:
                if (herd.database, name) not in known:
                    more.setdefault(herd.database, {})[name] = kind
    for db, wanted in sorted(more.items()):
        added += _looked_up(session, session.topology.databases[db], wanted)
    return added


def _looked_up(session: Session, database: Database, wanted: Mapping[TableName, str]) -> list[Goat]:
    try:
        with session.connector.open(database, "ctl", autocommit=True) as connection, translated(str(database)):
            return described(connection, database.name, wanted)
    except ReplicatorError:
        return [Goat(db=database.name, table=table, kind=kind, key=("unknown",)) for table, kind in wanted.items()]


def described(
    connection: Connection, db: str, wanted: Mapping[TableName, str], conflict: str | None = None
) -> list[Goat]:
    """The goats of those relations (name to kind), with the keys that the server has."""
    there = describe(connection, list(wanted))
    found = []
    for table, kind in wanted.items():
        key = there[table].key if kind == "table" and table in there else ()
        types: dict[str, str] = dict(connection.execute(TYPES, [there[table].oid, list(key)]).fetchall()) if key else {}
        found.append(
            Goat(db=db, table=table, kind=kind, key=key, types=tuple(types[name] for name in key), conflict=conflict)
        )
    return found


def on_server(connection: Connection, kind: str) -> list[TableName]:
    """All relations of a kind that could be replicated, in the order of their creation; none of the replicator's."""
    names = user_tables(connection) if kind == "table" else user_sequences(connection)
    return [name for name in names if name.schema != "bucardo"]


def chosen(connection: Connection, database: Database, words: Sequence[str], kind: str) -> list[TableName]:
    """The relations of a server that words mean, in the words' order. Raises NotFound naming all that are missing."""
    there = on_server(connection, kind)
    found: dict[TableName, None] = {}
    lost = []
    for word in words:
        meant = [name for name in there if means(word, name)]
        if not meant:
            lost.append(word)
        found.update(dict.fromkeys(meant))
    if lost:
        raise NotFound("\n".join(f'No such {kind} in database "{database.name}": {word}' for word in lost))
    return list(found)


def means(word: str, name: TableName) -> bool:
    """Whether a word, with or without a schema or wildcards, means a relation. Pure."""
    if "." in word or nouns.is_pattern(word):
        return nouns.fits(word, [f"{name.schema}.{name.name}", *([] if "." in word else [name.name])])
    return word.strip('"') == name.name


def known(session: Session, words: Sequence[str], kind: str, db: str | None = None) -> list[Goat]:
    """The goats that words mean, on a database if one is named. Raises NotFound, UsageError where a word is unclear."""
    goats = [g for g in all_goats(session) if g.kind == kind and (db is None or g.db == db)]
    found: dict[tuple[str, TableName], Goat] = {}
    for word in words:
        meant = [goat for goat in goats if means(word, goat.table)]
        if not meant:
            raise NotFound(f'No such {kind}: "{word}"')
        places = sorted({goat.db for goat in meant})
        if len(places) > 1 and not nouns.is_pattern(word):
            raise UsageError(f'The {kind} "{word}" is on several databases ({", ".join(places)}); say which: db=NAME')
        found.update({(goat.db, goat.table): goat for goat in meant})
    return list(found.values())


def conflict_of(value: str | None, kind: str) -> str | None:
    """`standard_conflict` as it was typed. Raises UsageError naming what there is."""
    allowed = TABLE_CONFLICTS if kind == "table" else SEQUENCE_CONFLICTS
    if value is None or value.lower() in allowed:
        return value.lower() if value else None
    raise UsageError(f'Invalid standard_conflict "{value}" for a {kind}: must be one of {", ".join(allowed)}')


def spelt(goat: Goat) -> str:
    """`schema.name`, as Bucardo prints it."""
    return f"{goat.table.schema}.{goat.table.name}"


def key_text(goat: Goat) -> str:
    """`aid (int4)`; columns and types by |; `none`."""
    if not goat.key:
        return "none"
    return f"{'|'.join(goat.key)} ({'|'.join(goat.types)})" if goat.types else "|".join(goat.key)


def habit_name(goat: Goat) -> str:
    """The name under which options of a goat are kept."""
    return f"{goat.db} {spelt(goat)}"


def one_database(session: Session, named: str | None, goats: Iterable[Goat] = ()) -> Database:
    """The database meant: the one named, else the only one there is. Raises NotFound, UsageError."""
    databases = session.topology.databases
    if named is not None:
        if named not in databases:
            raise NotFound(f'No such database: "{named}"')
        return databases[named]
    places = {goat.db for goat in goats} or set(databases)
    if len(places) == 1:
        return databases[places.pop()]
    if not databases:
        raise UsageError("No databases have been added yet. Use: bucardo_ctl add db NAME")
    raise UsageError(f"Say which database: db=NAME ({', '.join(sorted(places))})")


def found(session: Session, words: Sequence[str], db: str | None) -> list[Goat]:
    """The tables and sequences that words mean: known ones, else those that the database has. Raises NotFound."""
    here = [goat for goat in all_goats(session) if db is None or goat.db == db]
    made: list[Goat] = []
    for word in words:
        meant = [goat for goat in here if means(word, goat.table)]
        if not meant:
            database = one_database(session, db)
            with session.connector.open(database, "ctl", autocommit=True) as connection, translated(str(database)):
                kinds = {name: kind for kind in ("table", "sequence") for name in on_server(connection, kind)}
                wanted = {name: kind for name, kind in kinds.items() if means(word, name)}
                meant = described(connection, database.name, wanted)
        if not meant:
            raise NotFound(f'No such table or sequence: "{word}"')
        made += meant
    return list({(goat.db, goat.table): goat for goat in made}.values())
