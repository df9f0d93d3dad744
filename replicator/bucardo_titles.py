"""What `ps` shows of an install that has Bucardo's habits: titles for those who grep for them. Pure.

A kid is a thread of its controller here, so the controller's title names its kids too.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from replicator.habits import VERSION
from replicator.model import Link, Sync, SyncType


def master(names: Collection[str]) -> str:
    """The title of the master."""
    return f"Bucardo Master Control Program v{VERSION}. Active syncs: {', '.join(sorted(names))}"


def controller(sync: Sync, links: Sequence[Link]) -> str:
    """The title of a sync's controller."""
    begin = f'Bucardo Controller. Sync "{sync.name}" ({sync.type}) for source "{sync.herd}"'
    return "; ".join([begin, *(kid(sync, link) for link in kids(sync, links))])


def kids(sync: Sync, links: Sequence[Link]) -> list[Link]:
    """The links that count as kids: both directions of a swap are one."""
    return [link for link in links if sync.type is not SyncType.SWAP or link.source.name == link.lead]


def kid(sync: Sync, link: Link) -> str:
    """What stands for a link."""
    return f'Bucardo Kid. Sync "{sync.name}": ({sync.type}) "{link.source.name}" -> "{link.target.name}"'
