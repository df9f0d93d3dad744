"""Who wins when two masters changed one row without knowing of each other. Pure.

A version is a time and a node. The time of a change is never before that of any version of the row that its node knew
(the running maximum over its log), nor before the node's floor, so a later write never loses to a fast clock. Every
node judges the same two versions by the same rule, whichever way they met, so all come to the same winner. What
counts as "without knowing" is established in `apply.swap`, by snapshots.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from replicator.model import Strategy


@dataclass(frozen=True, order=True)
class Version:
    """When a row's state was written, and on which node (Database.id). Later wins; the node breaks a tie."""

    at: datetime
    node: int


def incoming_wins(strategy: Strategy, incoming: Version, rival: Version, lead: int) -> bool:
    """Whether the version that arrives replaces the one that is there. lead: the node of the sync's source."""
    if strategy is Strategy.LATEST:
        return incoming > rival
    return (incoming.node == lead) == (strategy is Strategy.SOURCE)
