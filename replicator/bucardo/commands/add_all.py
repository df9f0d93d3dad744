"""`bucardo_ctl add all tables` and `add all sequences`: all that a database has, or those that patterns choose."""

from __future__ import annotations

from collections.abc import Iterable

from replicator.bucardo import goats, nouns
from replicator.bucardo.commands.add_table import KNOWN, keep
from replicator.bucardo.declaring import reject_unknown
from replicator.bucardo.grammar import Line, duplicate_free
from replicator.bucardo.herds import put
from replicator.bucardo.session import Session
from replicator.errors import NotFound, UsageError
from replicator.model import Database, TableName
from replicator.postgres import translated


def add(session: Session, words: tuple[str, ...]) -> None:
    """Add them all, to a herd if one is named. A word behind the noun is a database."""
    noun = nouns.noun(words[0]) if words else None
    if noun not in ("table", "sequence"):
        raise UsageError("Usage: add all tables|sequences [db=NAME] [-n SCHEMA] [-t TABLE] [-T TABLE] [--herd=NAME]")
    pairs = session.line.pairs
    reject_unknown(pairs, KNOWN, noun)
    conflict = goats.conflict_of(pairs.get("standard_conflict"), noun)
    named = duplicate_free([*words[1:], *filter(None, [session.line.given("db") or pairs.get("database")])])
    for database in [goats.one_database(session, name) for name in named] or [goats.one_database(session, None)]:
        _add_of(session, database, noun, conflict)


def _add_of(session: Session, database: Database, noun: str, conflict: str | None) -> None:
    with session.connector.open(database, "ctl", autocommit=True) as connection, translated(str(database)):
        there = goats.on_server(connection, noun)
        names = wanted(session.line, there)
        if missing := [
            word for word in session.line.lists.get("t", ()) if not any(goats.means(word, n) for n in there)
        ]:
            raise NotFound(f'No such {noun} in database "{database.name}": {", ".join(missing)}')
        described = goats.described(connection, database.name, dict.fromkeys(names, noun), conflict)
    known = {(goat.db, goat.table) for goat in goats.all_goats(session)}
    fresh = [goat for goat in described if (goat.db, goat.table) not in known]
    herd = session.line.given("herd")
    said = put(session, herd, database.name, described) if herd and described else []
    if said and said[0].startswith("Creating"):
        session.say(said[0])
    for goat in fresh:
        session.catalog.add_goat(goat)
        keep(session, goat, session.line.pairs)
    if session.line.verbosity and fresh:
        session.say(f"New {noun}s:")
        session.say("\n".join(f"  {name}" for name in sorted(map(goats.spelt, fresh))))
    session.say(f"New {noun}s added: {len(fresh)}")
    session.say(f"Already added: {len(described) - len(fresh)}")


def wanted(line: Line, there: Iterable[TableName]) -> list[TableName]:
    """Those of the relations that -n, -N, -t and -T leave. Pure."""
    lists = {letter: line.lists.get(letter, ()) for letter in "nNtT"}
    return [
        name
        for name in there
        if (not lists["n"] or any(nouns.fits(word, [name.schema]) for word in lists["n"]))
        and not any(nouns.fits(word, [name.schema]) for word in lists["N"])
        and (not lists["t"] or any(goats.means(word, name) for word in lists["t"]))
        and not any(goats.means(word, name) for word in lists["T"])
    ]
