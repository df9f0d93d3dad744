"""`bucardo_ctl add customcode`: has syncs run a function at a moment of their runs, or decide conflicts by it."""

from __future__ import annotations

import psycopg

from replicator.bucardo.codes import CONFLICT, KNOWN, Code, attached, call_of, declared, moment_of, owners
from replicator.bucardo.declaring import converge, good_name, reject_unknown
from replicator.bucardo.session import Session, taken
from replicator.bucardo.syncs import boolean
from replicator.errors import UsageError
from replicator.hook import Hook, Moment
from replicator.model import Database
from replicator.postgres import translated
from replicator.validate.functions import unloadable_here

IDLE = ("getdbh", "getrows", "priority", "trigrules")


def add(session: Session, _noun: str, words: tuple[str, ...]) -> None:
    """Add a piece. Raises what is wrong with the line, or with the function."""
    pairs = session.line.pairs
    reject_unknown(pairs, KNOWN, "customcode")
    name, *rest = words
    if rest:
        raise UsageError(f'Not understood: "{rest[0]}". See `bucardo_ctl help add customcode`.')
    good_name("customcode", name)
    for key in ("whenrun", "src_code"):
        if not pairs.get(key):
            raise UsageError(f"Must give {key}=. See `bucardo_ctl help add customcode`.")
    if not boolean("active", pairs.get("active", "yes")):
        raise UsageError("Code that is not to run need not be added here: leave active=0 out, or add it later")
    current = session.topology
    if name in {code.name for code in declared(current, session.catalog.habits())}:
        raise taken("customcode", name)
    syncs, tables = owners(current, pairs)
    code = Code(
        name=name, when=moment_of(pairs["whenrun"]), call=call_of(pairs["src_code"]), syncs=syncs, tables=tables
    )
    check(session, code)
    converge(session, attached(current, code))
    remember(session, code)
    session.keep("code", name, {key: pairs[key] for key in IDLE if key in pairs})
    session.say(f'Added customcode "{name}"')


def check(session: Session, code: Code) -> None:
    """Raise UsageError unless its function is where it is called: on every target, or here beside the daemon."""
    hook = Hook(name=code.name, moment=Moment.AFTER_SYNC, call=code.call)
    if hook.python and (why := unloadable_here(*hook.python)):
        raise UsageError(f"{code.call}: {why}")
    if not hook.sql or code.when == CONFLICT:  # a strategy's function is looked for with the rest of its sync
        return
    topology = session.topology
    targets = {target.name: target for sync in code.syncs for target in topology.targets(topology.syncs[sync])}
    for target in targets.values():
        if target.active and not _has(session, target, f"{hook.sql}(jsonb)"):
            raise UsageError(
                f"There is no function {hook.sql}(jsonb) on {target}; create it there, or correct its name"
            )


def _has(session: Session, database: Database, function: str) -> bool:
    with session.connector.open(database, "ctl", autocommit=True) as connection, translated(str(database)):
        try:
            found = connection.execute("select to_regprocedure(%s) is not null", [function]).fetchone()
        except psycopg.errors.SyntaxError:
            return False
    return bool(found and found[0])


def remember(session: Session, code: Code) -> None:
    """Keep the name of code for conflicts, which syncs know by its function only."""
    if code.when == CONFLICT:
        values = {"whenrun": code.when, "call": code.call, "syncs": ",".join(code.syncs)}
        values["tables"] = ",".join(map(str, code.tables))
        for key, value in values.items():
            session.catalog.set_habit("code", code.name, key, value)
