"""What a server keeps of a password: computed here, so that no statement and no server log ever holds the password."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import stringprep
import unicodedata

from provision.secrets.secret import Secret

ITERATIONS = 4096
"""SCRAM iterations: PostgreSQL's own default."""

VERIFIER = re.compile(r"SCRAM-SHA-256\$(\d+):([A-Za-z0-9+/=]+)\$[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+")


def scram_verifier(password: Secret, *, salt: bytes | None = None, iterations: int = ITERATIONS) -> str:
    """What PostgreSQL stores for a password (RFC 5803): it proves the password and does not give it away."""
    salt = secrets.token_bytes(16) if salt is None else salt
    key = hashlib.pbkdf2_hmac("sha256", _prepared(password.reveal()), salt, iterations)
    client_key = hmac.digest(key, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(key, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${iterations}:{_base64(salt)}${_base64(stored_key)}:{_base64(server_key)}"


def md5_verifier(password: Secret, user: str) -> str:
    """What PostgreSQL stores under password_encryption = md5, for clients that know nothing better."""
    return "md5" + hashlib.md5((password.reveal() + user).encode(), usedforsecurity=False).hexdigest()


def proves(verifier: str, password: Secret, user: str) -> bool:
    """Whether a stored verifier (SCRAM or md5) is one of this password."""
    if verifier.startswith("md5"):
        return hmac.compare_digest(verifier, md5_verifier(password, user))
    parts = VERIFIER.fullmatch(verifier)
    if not parts:
        return False
    again = scram_verifier(password, salt=base64.b64decode(parts[2]), iterations=int(parts[1]))
    return hmac.compare_digest(verifier, again)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _prepared(password: str) -> bytes:
    """The password by SASLprep (RFC 4013); as it is where that refuses it, which is what PostgreSQL does too."""
    mapped = "".join(
        " " if stringprep.in_table_c12(sign) else sign for sign in password if not stringprep.in_table_b1(sign)
    )
    prepared = unicodedata.normalize("NFKC", mapped)
    return (prepared if prepared and _allowed(prepared) else password).encode()


FORBIDDEN = (
    stringprep.in_table_a1,
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def _allowed(text: str) -> bool:
    if any(forbidden(sign) for sign in text for forbidden in FORBIDDEN):
        return False
    if not any(stringprep.in_table_d1(sign) for sign in text):
        return True
    leftward = stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
    return leftward and not any(stringprep.in_table_d2(sign) for sign in text)
