"""`bucardo_ctl add customcode`: has syncs run a function at a moment of their runs, or decide conflicts by it."""

from __future__ import annotations

from replicator.bucardo.codes import CONFLICT, KNOWN, Code, attached, call_of, declared, moment_of, owners
from replicator.bucardo.declaring import converge, good_name, reject_unknown
from replicator.bucardo.session import Session, taken
from replicator.bucardo.syncs import boolean
from replicator.errors import UsageError
from replicator.hook import Hook, Moment
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
    check(code)
    converge(session, attached(current, code))
    remember(session, code)
    for key in IDLE:
        if key in pairs:
            session.catalog.set_habit("code", name, key, pairs[key])
    session.say(f'Added customcode "{name}"')


def check(code: Code) -> None:
    """Raise UsageError unless its Python function can be loaded here, where the daemon runs."""
    python = Hook(name=code.name, moment=Moment.AFTER_SYNC, call=code.call).python
    if python and (why := unloadable_here(*python)):
        raise UsageError(f"{code.call}: {why}")


def remember(session: Session, code: Code) -> None:
    """Keep the name of code for conflicts, which syncs know by its function only."""
    if code.when == CONFLICT:
        values = {"whenrun": code.when, "call": code.call, "syncs": ",".join(code.syncs)}
        values["tables"] = ",".join(map(str, code.tables))
        for key, value in values.items():
            session.catalog.set_habit("code", code.name, key, value)
