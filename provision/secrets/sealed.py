"""Secrets sealed under a passphrase, as one text: what `provision secret` keeps. Pure; files are `vault`'s business.

The text is JSON: the parameters and the salt of scrypt, which makes a key of the passphrase, and a Fernet token of that
key (AES and HMAC, by the package cryptography), which holds all entries at once. The digest tells a damaged file from a
wrong passphrase.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from provision.secrets.secret import Secret

VERSION = 1
COST = {"n": 2**16, "r": 8, "p": 2}
"""Half a second and 64 MB for each guess: a setting of scrypt that OWASP's cheat sheet on passwords gives."""


class Damaged(Exception):
    """The text is not what was written."""


class WrongPassphrase(Exception):
    """The passphrase is another one."""


class _Scrypt(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    n: int = Field(ge=2, le=2**20)  # more would be somebody's attempt to use up our memory
    r: int = Field(ge=1, le=32)
    p: int = Field(ge=1, le=16)
    salt: str = Field(min_length=16)


class _Sealed(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    pgherd_secrets: Literal[1]
    scrypt: _Scrypt
    fernet: str
    sha256: str


def seal(entries: Mapping[str, str], passphrase: Secret) -> str:
    """The entries as a text that only the passphrase opens."""
    from cryptography.fernet import Fernet  # noqa: PLC0415 - loads slowly, and most runs seal nothing

    scrypt = _Scrypt(**COST, salt=base64.b64encode(secrets.token_bytes(16)).decode())
    token = Fernet(_key(scrypt, passphrase)).encrypt(json.dumps(dict(entries)).encode())
    content = {"pgherd_secrets": VERSION, "scrypt": scrypt.model_dump(), "fernet": token.decode()}
    return json.dumps({**content, "sha256": _digest(content)}, indent=1) + "\n"


def unseal(text: str, passphrase: Secret) -> dict[str, str]:
    """The entries of a sealed text. Raises Damaged, WrongPassphrase."""
    from cryptography.fernet import Fernet, InvalidToken  # noqa: PLC0415

    sealed = _parsed(text)
    try:
        opened = Fernet(_key(sealed.scrypt, passphrase)).decrypt(sealed.fernet.encode())
    except InvalidToken:
        raise WrongPassphrase from None
    return {str(name): str(value) for name, value in json.loads(opened).items()}


def check(text: str) -> None:
    """Look whether a text is whole, which takes no passphrase. Raises Damaged."""
    _parsed(text)


def _parsed(text: str) -> _Sealed:
    try:
        content = json.loads(text)
        sealed = _Sealed.model_validate(content)
    except (ValueError, ValidationError):
        raise Damaged from None
    if content.pop("sha256") != _digest(content) or sealed.scrypt.n & (sealed.scrypt.n - 1):
        raise Damaged
    return sealed


def _digest(content: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _key(scrypt: _Scrypt, passphrase: Secret) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt  # noqa: PLC0415

    derived = Scrypt(salt=scrypt.salt.encode(), length=32, n=scrypt.n, r=scrypt.r, p=scrypt.p)
    return base64.urlsafe_b64encode(derived.derive(passphrase.reveal().encode()))
