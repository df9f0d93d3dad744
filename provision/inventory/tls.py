"""Whether a host's PostgreSQL encrypts its connections, and with which certificate: the variable `tls`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import PlainValidator
from pydantic_core import PydanticCustomError

from provision.inventory.faults import Faults
from provision.inventory.marks import Node, SecretSource
from provision.inventory.model import Tls
from provision.inventory.reach import path_of
from provision.inventory.validation import validate
from provision.inventory.values import Section

GIVEN = ("certificate", "key", "ca")


def _key(value: object) -> object:
    if isinstance(value, SecretSource) or (isinstance(value, str) and value):
        return value
    raise PydanticCustomError("expected", "{expected}", {"expected": "a path, or a secret such as !secret NAME"})


class TlsSettings(Section):
    """The `tls` section. `tls: yes` is short for `{enabled: yes}`; a section that is there is enabled."""

    enabled: bool = True
    certificate: Path | None = None
    key: Annotated[str | SecretSource | None, PlainValidator(_key)] = None
    ca: Path | None = None


def tls_of(node: Node | None, faults: Faults, *, local: bool) -> Tls | None:
    """What a host has, None for no TLS: that is the default of hosts on this machine, and of no others."""
    if node is None or node.value is None:
        return None if local else Tls()
    if isinstance(node.value, bool):
        return Tls() if node.value else None
    settings = validate(TlsSettings, node, faults)
    if settings is None or not settings.enabled:
        return None
    missing = [name for name in GIVEN if getattr(settings, name) is None]
    if missing and len(missing) < len(GIVEN):
        faults.add(node.place(missing[0]), f"found nothing, expected {missing[0]!r} here: the three go together")
    key = settings.key
    return Tls(
        certificate=path_of(settings.certificate, node.place("certificate")),
        key=path_of(Path(key), node.place("key")) if isinstance(key, str) else key,
        ca=path_of(settings.ca, node.place("ca")),
    )
