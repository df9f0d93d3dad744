"""`bucardo_ctl list syncs`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from replicator.bucardo import syncs as bucardo_syncs
from replicator.bucardo.commands.listing import columns, matching, width
from replicator.bucardo.session import Session


def show(session: Session, _noun: str, words: Sequence[str]) -> Iterator[str]:
    """A line for each sync: its type, where it reads, where it writes, whether it runs."""
    topology = session.topology
    found = matching(sorted(topology.syncs.values(), key=lambda s: s.name), words, lambda s: s.name)
    wide, kinds, herds = (
        (width(t) for t in zip(*((s.name, str(s.type), s.herd) for s in found), strict=True)) if found else (0, 0, 0)
    )
    for sync in found:
        target = ",".join(sync.targets)
        state = "Inactive" if sync.paused else "Active"
        yield f"Sync: {sync.name:<{wide}}  ({sync.type:<{kinds}})  {sync.herd:<{herds}} =>  {target}  ({state})"
        if session.line.verbosity:
            herd = topology.herds[sync.herd]
            yield f"  Database: {herd.database}  Tables: {', '.join(f'{t.schema}.{t.name}' for t in herd.tables)}"
        if session.line.verbosity > 1:
            yield from columns(bucardo_syncs.as_columns(sync, session.catalog.habits().get(("sync", sync.name), {})))
