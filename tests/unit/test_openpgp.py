"""Fingerprints of keys as gpg made them, and what is no key."""

from __future__ import annotations

from pathlib import Path

import pytest

from provision.inventory.openpgp import fingerprints

KEYS = Path(__file__).parent / "keys"
RSA = "91D0E27B4DE7308873150B81004738175CEB42E9"
CURVE = "5092E863A79354872D30247782BE467DF502867D"


def test_fingerprints_are_those_that_gpg_shows() -> None:
    assert fingerprints((KEYS / "rsa.asc").read_text()) == [RSA]
    assert fingerprints((KEYS / "curve.asc").read_text()) == [CURVE]
    assert sorted(fingerprints((KEYS / "both.asc").read_text())) == sorted([RSA, CURVE])


def test_what_stands_around_a_key_does_not_matter() -> None:
    text = (KEYS / "rsa.asc").read_text()
    noted = text.replace("BLOCK-----\n", "BLOCK-----\nComment: a note\n", 1)
    assert fingerprints("The key:\n\n" + noted + "\nThe end.\n") == [RSA]
    assert fingerprints(text.replace("\n", "\r\n")) == [RSA]
    assert fingerprints(text + (KEYS / "curve.asc").read_text()) == [RSA, CURVE]


@pytest.mark.parametrize("cut", [60, 200, 500])
def test_half_a_key_is_none(cut: int) -> None:
    text = (KEYS / "rsa.asc").read_text()
    with pytest.raises(ValueError, match="there is no key in it"):
        fingerprints(text[:cut])
    lines = text.splitlines()
    damaged = "\n".join([*lines[:3], *lines[6:-2], lines[-1]])
    with pytest.raises(ValueError, match="it is damaged"):
        fingerprints(damaged)
