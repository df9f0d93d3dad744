"""What the replicator needs to run, in the versions that are installed here."""

from __future__ import annotations

import importlib.metadata
import re

DIRECT = ("psycopg[binary]", "setproctitle", "typer", "rich", "typing_extensions")
"""What `replicator` imports. The last one is named because pip judges by our own Python whether psycopg needs it."""

INSTALLER = "pip"
NAME = re.compile(r"[A-Za-z0-9._-]+")


def pins() -> dict[str, str]:
    """Everything that the replicator needs, directly or not, by name, with the version that is here."""
    found: dict[str, str] = {}
    waiting = [*DIRECT, "psycopg-binary"]
    while waiting:
        match = NAME.match(waiting.pop())
        name = _plain(match[0]) if match else ""
        if not name or name in found:
            continue
        try:
            here = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:  # what another system, or an extra, would need
            continue
        found[name] = here.version
        waiting += [need for need in here.requires or () if "extra ==" not in need]
    return dict(sorted(found.items()))


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
