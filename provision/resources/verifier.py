"""SCRAM verifiers, made and checked here: the clear password never travels to a server, nor into its log."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import unicodedata

ITERATIONS = 4096
FORM = re.compile(r"SCRAM-SHA-256\$(\d+):([^$]+)\$([^:]+):(.+)")


def verifier(password: str, salt: bytes | None = None, iterations: int = ITERATIONS) -> str:
    """What a server keeps of a password, in PostgreSQL's form."""
    salt = salt or secrets.token_bytes(16)
    # SASLprep's normalisation; what it forbids beyond that, PostgreSQL takes as it stands.
    plain = unicodedata.normalize("NFKC", password).encode()
    salted = hashlib.pbkdf2_hmac("sha256", plain, salt, iterations)
    client = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    encoded = (base64.b64encode(part).decode() for part in (salt, client, server))
    return "SCRAM-SHA-256${}:{}${}:{}".format(iterations, *encoded)


def matches(kept: str, password: str) -> bool:
    """Whether a server's verifier is of this password. Anything but SCRAM is not: it is to be replaced."""
    found = FORM.fullmatch(kept)
    if not found:
        return False
    return hmac.compare_digest(kept, verifier(password, base64.b64decode(found[2]), int(found[1])))
