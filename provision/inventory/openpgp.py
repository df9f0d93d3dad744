"""The fingerprint of an OpenPGP public key, read from its text: enough to compare it, no more."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator

ARMOR = re.compile(
    r"-----BEGIN PGP PUBLIC KEY BLOCK-----\s*\n(?:[^\n]*:[^\n]*\n)*\s*\n?(.*?)(?:\n=[A-Za-z0-9+/]{4}\s*)?"
    r"\n-----END PGP PUBLIC KEY BLOCK-----",
    re.DOTALL,
)
PUBLIC_KEY = 6


def fingerprints(text: str) -> list[str]:
    """The fingerprints of the primary keys in a text, in upper case. Raises ValueError for what is no key."""
    found: list[str] = []
    for block in ARMOR.finditer(text):
        try:
            raw = base64.b64decode("".join(block[1].split()), validate=True)
        except binascii.Error as error:
            raise ValueError("it is damaged") from error
        found += (_fingerprint(body) for tag, body in _packets(raw) if tag == PUBLIC_KEY)
    if not found:
        raise ValueError("there is no key in it")
    return found


def _fingerprint(body: bytes) -> str:
    if body[:1] != b"\x04":
        raise ValueError(f"it is a key of version {body[0] if body else 0}, and rpm takes version 4")
    # SHA-1 is what a version 4 fingerprint is (RFC 4880, 12.2).
    return hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body, usedforsecurity=False).hexdigest().upper()


def _packets(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and body of each packet (RFC 4880, 4.2)."""
    at = 0
    while at < len(raw):
        head = raw[at]
        if head & 0x40:
            tag, start, length = head & 0x3F, *_new_length(raw, at + 1)
        else:
            tag, size = (head >> 2) & 0x0F, 1 << (head & 3)
            start = at + 1 + size
            length = int.from_bytes(raw[at + 1 : start], "big")
        if not head & 0x80 or start + length > len(raw):
            raise ValueError("it is damaged")
        yield tag, raw[start : start + length]
        at = start + length


def _new_length(raw: bytes, at: int) -> tuple[int, int]:
    first = raw[at] if at < len(raw) else 0
    if first < 192:
        return at + 1, first
    if first < 224:
        return at + 2, ((first - 192) << 8) + int.from_bytes(raw[at + 1 : at + 2], "big") + 192
    return at + 5, int.from_bytes(raw[at + 1 : at + 5], "big")
