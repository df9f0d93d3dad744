"""Takes a link's position for a batch; which of its tables go with that, and which are held and keep one of their own.

Asked and written within a batch, for all its tables at once. Tables that are parked when a link is made ready are held
back there, in `ready`; how a position is kept is `progress`'s.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from replicator import columns, progress, relations
from replicator.errors import Transient
from replicator.failpoint import failpoint
from replicator.model import Link, TableName
from replicator.postgres import Answer
from replicator.progress import TablePosition, TableState
from replicator.syncrun.job import Job
from replicator.syncrun.ready import Ready


def take(job: Job, ready: Ready) -> Answer[str]:
    """Keep other runs of the link from its position on the target; the fingerprint of the tables' definitions there.

    The answer raises Transient where the target is not where this link has left it.
    """
    link, target = job.link, ready.target
    names = link.install, link.sync.name, link.source.name
    failpoint("lock.before-position")
    if ready.position is None:  # there is no row to lock yet
        target.execute("select pg_advisory_xact_lock(%s)", [link.install.lock_key("link", *names[1:])])
    position = progress.ask(target, *names, lock=True)
    # The lead may be copying over a table, and setting where this link goes on.
    tables = progress.ask_tables(target, *names) if job.swap and link.source.name != link.lead else None
    fingerprint = relations.fingerprint(target, link.tables)

    def answer() -> str:
        if ((there := position()) and there.snapshot) != ready.position:
            raise Transient(f"{link}: another run has moved the position; looking again.")
        if tables is not None:
            held = tables()
            if any(held.get(name) != at for name, at in ready.tables.items()):
                raise Transient(f"{link}: a table is being copied anew; looking again.")
        failpoint("lock.after-position")
        return fingerprint()

    return answer


def unfilled(link: Link, ready: Ready) -> Answer[set[TableName]]:
    """The tables that other masters are still to fill on the source of a swap's link: whole, or in columns of which
    rows lack the values. Nothing is to be sent of them yet.
    """
    lacking = columns.unfilled(ready.source.connection, link.install, link.sync.name)
    copying = progress.copying(ready.source.connection, link.install, link.sync.name)

    def answer() -> set[TableName]:
        whole, columns_of = copying(), lacking()
        return {
            name
            for name, pair in ready.pairs.items()
            if name in whole or any(column.name in columns_of.get(name, ()) for column in pair.source.columns)
        }

    return answer


def catching_up(ready: Ready) -> list[TableName]:
    """The tables that are to share the sync's position after this batch, and do not yet."""
    tables = ready.tables
    return [name for name in tables if tables[name].state is TableState.COPIED and name not in ready.held]


def stay_behind(link: Link, ready: Ready) -> dict[TableName, TablePosition]:
    """Let held tables keep the position that the others leave; where these are now."""
    behind = [name for name in ready.held if name in ready.tables and ready.tables[name].state is TableState.LIVE]
    if ready.position is None or not behind:
        return {}
    progress.hold(ready.target, link, behind, ready.position)
    return {name: replace(ready.tables[name], state=TableState.COPIED, snapshot=ready.position) for name in behind}


def go_live(link: Link, ready: Ready, changed: Collection[TableName]) -> dict[TableName, TablePosition]:
    """Let tables that were copied, or are new to a fullcopy, share the sync's position from here on; where they are."""
    copied = catching_up(ready)
    progress.go_live(ready.target, link, copied)
    new = [name for name in changed if not ready.has(name)]
    live = {name: TablePosition(TableState.LIVE, ready.pairs[name].captured.id, None) for name in (*copied, *new)}
    for name in new:
        progress.save_table(ready.target, link, name, live[name])
    return live
