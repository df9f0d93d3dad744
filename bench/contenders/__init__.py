"""Who competes: each sets replication up between databases that are equal, pauses it, goes on, and cleans up.

A contender says by `missing` why it cannot run here; then the others go on without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from bench.grounds import Grounds
from tests.fixtures.nodes import Node


class Replication(Protocol):
    """Replication that runs, from one database to others."""

    def pause(self) -> None:
        """Stop moving rows; changes go on being captured."""

    def resume(self) -> None:
        """Move rows again; returns as soon as that is asked for."""

    def close(self) -> None:
        """End it, and remove what it left on the servers."""


class Contender(Protocol):
    """One way to replicate. settings: what its servers need besides the others'; then it has servers of its own."""

    name: str
    settings: Mapping[str, str]

    def missing(self) -> str:
        """Why it cannot run here, and what to install; empty when it can."""

    def start(self, grounds: Grounds, nodes: Sequence[Node], tables: Sequence[str]) -> Replication:
        """Set replication up from the first node to the others; the tables are equal on all. Returns when it runs."""


def known() -> dict[str, Contender]:
    """All contenders by name."""
    from bench.contenders.bucardo import Bucardo  # noqa: PLC0415
    from bench.contenders.native import Native  # noqa: PLC0415
    from bench.contenders.pgherd import PgHerd, PgHerdWal  # noqa: PLC0415
    from bench.contenders.pglogical import PgLogical  # noqa: PLC0415

    return {contender.name: contender for contender in (PgHerd(), PgHerdWal(), Native(), Bucardo(), PgLogical())}
