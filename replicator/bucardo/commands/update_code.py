"""`bucardo_ctl update customcode`: another moment, or another function."""

from __future__ import annotations

from dataclasses import replace

from replicator.bucardo.codes import attached, call_of, declared, detached, moment_of
from replicator.bucardo.commands.add_code import check, remember
from replicator.bucardo.commands.update import say_changes
from replicator.bucardo.declaring import converge, reject_unknown
from replicator.bucardo.session import Session, missing
from replicator.errors import UsageError


def update(session: Session, _noun: str, words: tuple[str, ...]) -> None:
    """Change a piece; the syncs that run it stay."""
    pairs = session.line.pairs
    reject_unknown(pairs, ("src_code", "whenrun"), "customcode")
    if len(words) != 1 or not pairs:
        raise UsageError("Usage: update customcode NAME [whenrun=MOMENT] [src_code=FUNCTION]")
    current = session.topology
    found = {code.name: code for code in declared(current, session.catalog.habits())}
    if words[0] not in found:
        raise missing("customcode", words[0])
    before = found[words[0]]
    after = replace(
        before,
        when=moment_of(pairs["whenrun"]) if "whenrun" in pairs else before.when,
        call=call_of(pairs["src_code"]) if "src_code" in pairs else before.call,
    )
    check(session, after)
    converge(session, attached(detached(current, before), after))
    session.catalog.forget_habits("code", after.name)
    remember(session, after)
    columns: list[dict[str, object]] = [{"whenrun": code.when, "src_code": code.call} for code in (before, after)]
    say_changes(session, "customcode", after.name, *columns)
