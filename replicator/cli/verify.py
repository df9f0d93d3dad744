"""`replicator verify`: compare the databases of syncs, and say which rows differ.

What is compared and how is `replicator.verify`'s; here it is asked for, watched and shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from replicator import signals
from replicator import verify as comparing
from replicator.cli import output
from replicator.cli.session import Json, Session
from replicator.cli.syncs import named
from replicator.errors import UsageError
from replicator.model import Sync, TableName, Topology
from replicator.verify import Difference, TableComparison, Verdict, What

PATIENCE = 30.0
"""Seconds to wait for changes on their way, while the daemon runs."""

SHOW_AFTER = 2.0

Some = Annotated[list[str] | None, typer.Argument(metavar="SYNC", help="Names of syncs; all when none is given.")]
Tables = Annotated[
    list[str] | None,
    typer.Option("--table", metavar="TABLE", help="Compare only this table or sequence. May be repeated."),
]
Limit = Annotated[
    int, typer.Option("--limit-differences", metavar="N", min=0, help="How many rows to list for each table.")
]
Wait = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", min=0, help="How long to wait for changes on their way; 30 while the daemon runs."),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("verify")(verify)


def verify(
    context: typer.Context,
    syncs: Some = None,
    tables: Tables = None,
    json: Json = False,
    limit: Limit = 10,
    wait: Wait = None,
) -> int:
    """Compare the databases of syncs row by row, while everything goes on.

    Exit codes: 0 all tables are equal; 3 rows differ, or changes have not arrived; 4 a server does not answer.
    """
    session: Session = context.obj
    topology = session.catalog.topology()
    chosen = named(session, syncs) if syncs else list(topology.syncs.values())
    wanted = _tables(topology, chosen, tables)
    running = session.catalog.locked("master")
    stop = signals.Stop()
    signals.install_handlers(stop)
    found: list[TableComparison] = []
    with output.progress("comparing", SHOW_AFTER) as show:
        for sync in chosen:
            found += comparing.verify_sync(
                topology,
                session.config.install,
                sync,
                session.connector,
                report=show or (lambda _: None),
                stop=stop,
                tables=wanted,
                limit=limit,
                patience=wait if wait is not None else PATIENCE * running,
            )
    if json:
        output.dump([as_json(comparison) for comparison in found])
    else:
        _show(found, running=running)
    return exit_code(found)


def _tables(topology: Topology, syncs: Sequence[Sync], texts: Sequence[str] | None) -> set[TableName] | None:
    """The tables that were named. Raises UsageError for those that the syncs do not have."""
    if not texts:
        return None
    herds = [topology.herds[sync.herd] for sync in syncs]
    known = {name for herd in herds for name in (*herd.tables, *herd.sequences)}
    try:
        wanted = {TableName.parse(text) for text in texts}
    except ValueError as error:
        raise UsageError(f"--table: {error}.", hint='Write it as name, schema.name or "Schema"."Name".') from error
    if missing := wanted - known:
        listed = ", ".join(map(str, sorted(known))) or "none"
        raise UsageError(f"--table {min(missing)}: no such table in these syncs; known: {listed}.")
    return wanted


# -- showing; pure


def exit_code(found: Sequence[TableComparison]) -> int:
    """3 when anything is known to differ or to be behind, else that of a failure, else 0."""
    if any(comparison.verdict in (Verdict.DIFFERS, Verdict.BEHIND) for comparison in found):
        return 3
    codes = [comparison.exit_code or 1 for comparison in found if comparison.verdict is Verdict.FAILED]
    return max(codes, default=0)


def as_json(comparison: TableComparison) -> dict[str, Any]:
    """A comparison as JSON shows it."""
    return {
        "sync": comparison.sync,
        "table": comparison.table,
        "verdict": comparison.verdict,
        "nodes": {
            name: None if digest is None else {"rows": digest.rows, "digest": digest.digest}
            for name, digest in (
                (comparison.source, comparison.source_digest),
                (comparison.target, comparison.target_digest),
            )
        },
        "source": comparison.source,
        "target": comparison.target,
        "differences": comparison.differences,
        "parked": comparison.parked,
        "left": comparison.left,
        "behind": comparison.behind,
        "moving": comparison.moving,
        "listed": comparison.listed,
        "note": comparison.note,
    }


def verdict(comparison: TableComparison) -> str:
    """The verdict as a clause."""
    if comparison.verdict is Verdict.FAILED:
        return f"not compared: {comparison.note}"
    parts = [str(comparison.verdict)]
    if comparison.differences:
        parked = f", {comparison.parked:,} parked" if comparison.parked else ""
        left = f", {comparison.left:,} left so by the strategy" if comparison.left else ""
        parts = [counted(comparison.differences, "row differs", "rows differ") + parked + left]
    if comparison.behind:
        parts = parts if comparison.differences else []
        parts.append(f"behind by {counted(comparison.behind, 'row', 'rows')}")
    if comparison.moving:
        parts.append(f"{counted(comparison.moving, 'row was', 'rows were')} changing all the time")
    if comparison.note:
        parts.append(comparison.note)
    return "; ".join(parts)


def counted(number: int, one: str, many: str) -> str:
    """`1 row`, `2,000 rows`."""
    return f"{number:,} {one if number == 1 else many}"


def _rows(comparison: TableComparison) -> Iterator[tuple[str, ...]]:
    sides = ((comparison.source, comparison.source_digest), (comparison.target, comparison.target_digest))
    for number, (name, digest) in enumerate(sides):
        shown = (f"{digest.rows}", digest.digest) if digest else ("", "")
        what = (comparison.sync, str(comparison.table)) if not number else ("", "")
        yield (*what, name, *shown, "" if number == 0 else verdict(comparison))


def _show(found: Sequence[TableComparison], *, running: bool) -> None:
    columns = ("Sync", "Table", "Database", "Rows", "Digest", "Result")
    output.table(
        columns, [row for comparison in found for row in _rows(comparison)], empty="There is nothing to compare."
    )
    for comparison in found:
        for line in lines(comparison):
            typer.echo(line)
    if not running and any(comparison.behind for comparison in found):
        typer.echo("The daemon is not running, so nothing that is on its way arrives: `replicator start` starts it.")


def lines(comparison: TableComparison) -> Iterator[str]:
    """The rows that differ, a line each under a heading."""
    if not comparison.listed:
        return
    yield ""
    yield f"{comparison.sync}: {comparison.table} on {comparison.source} and {comparison.target}:"
    for difference in comparison.listed:
        yield f"  {row(difference, comparison)}"
    if more := comparison.differences - len(comparison.listed):
        yield f"  and {counted(more, 'row', 'rows')} more; --limit-differences shows them"


def row(difference: Difference, comparison: TableComparison) -> str:
    """One row that differs, as a line."""
    key = ", ".join(f"{name}={value(text)}" for name, text in difference.key.items())
    where = {
        What.MISSING: f"missing on {comparison.target}",
        What.EXTRA: f"only on {comparison.target}",
        What.DIFFERS: "; ".join(f"{c.column}: {value(c.source)} | {value(c.target)}" for c in difference.columns),
    }[difference.what]
    if difference.source_rows > 1 or difference.target_rows > 1:
        where = (
            f"{difference.source_rows} times on {comparison.source}, {difference.target_rows} on {comparison.target}"
        )
    why = " (parked)" if difference.parked else " (left so after a conflict)" if difference.left else ""
    return f"{key}: {where}{why}"


def value(text: str | None) -> str:
    """A value so that NULL, an empty string and blanks can be told apart."""
    if text is None:
        return "NULL"
    plain = text.isprintable() and text == text.strip() and text not in ("", "NULL")
    return text if plain else repr(text)
