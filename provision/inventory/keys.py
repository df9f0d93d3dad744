"""The keys of package repositories that an inventory gives: read, and compared with the fingerprints beside them."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from provision.inventory.faults import Faults, read_text
from provision.inventory.marks import Node
from provision.inventory.openpgp import fingerprints
from provision.inventory.reach import path_of
from provision.inventory.system import PgdgSettings, RepositorySettings, SystemSettings

K = TypeVar("K", RepositorySettings, PgdgSettings)
OF_HOST = "file://"


def with_keys(settings: SystemSettings, node: Node, faults: Faults) -> SystemSettings:
    """The settings with the texts and fingerprints of keys; node: where they were written."""
    repositories = {
        name: _with_key(repository, node, ("repositories", name), faults)
        for name, repository in settings.repositories.items()
    }
    pgdg = _with_key(settings.pgdg, node, ("pgdg",), faults)
    return settings.model_copy(update={"repositories": repositories, "pgdg": pgdg})


def _with_key(settings: K, node: Node, path: tuple[str, ...], faults: Faults) -> K:
    given = settings.gpgkey
    if not given or given.startswith(OF_HOST):
        return settings
    mark = node.place(*path, "gpgkey")
    if "://" in given:
        if not settings.fingerprint:
            faults.add(mark, f"found {given}, expected its fingerprint beside it (as its owner publishes it)")
        return settings
    file = None if "BEGIN PGP" in given else path_of(Path(given), mark)
    text = given if file is None else read_text(file, faults)
    if text is None:
        return settings
    try:
        (found,) = fingerprints(text)
    except ValueError as error:
        why = "it holds several" if "unpack" in str(error) else str(error)
        faults.add(mark, f"found {file or 'a text'}, expected one public key: {why}")
        return settings
    if settings.fingerprint not in (None, found):
        faults.add(mark, f"found a key with the fingerprint {found}, expected {settings.fingerprint}")
    return settings.model_copy(update={"gpgkey": text, "fingerprint": found})
