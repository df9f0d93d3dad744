"""Certificates that somebody else has made: read from the files that the inventory names, and judged."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning

from provision.certificates.pairs import Pair
from provision.certificates.reading import SOON, belongs, is_for, signed_by
from provision.errors import Fault, InputError
from provision.secrets import Secret

BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def given(certificate: Path, key: Path | Secret, ca: Path, address: str) -> tuple[Pair, str]:
    """A given certificate with its key, and the authorities that it is judged by. Raises InputError.

    The certificate's file may hold those between it and the authority too. address: where clients look for the host.
    """
    chain = _certificates(certificate)
    authorities = _authorities(ca)
    private = key if isinstance(key, Secret) else Secret(_text(key))
    where = "the key" if isinstance(key, Secret) else str(key)
    try:
        if not belongs(chain[0], private):
            raise InputError([Fault(str(certificate), 0, "", f"found a certificate of another key than {where}")])
    except (ValueError, TypeError):
        raise InputError(f"{where}: found no private key in PEM without a passphrase, expected one") from None
    for number, one in enumerate(chain):
        signers = [*chain[number + 1 :], *authorities]
        if not signed_by(one, signers) and one not in authorities:
            message = f"no certificate in it or in {ca} has signed the one of {_whose(one)}"
            raise InputError([Fault(str(certificate), 0, "", message)])
    if not is_for(chain[0], address):
        message = f"the certificate is not for {address}, where clients look for the host"
        raise InputError([Fault(str(certificate), 0, "", message)])
    return Pair(certificate=_text(certificate), key=private), _text(ca)


def outlived(path: Path, now: datetime | None = None) -> Iterator[str]:
    """A warning for a certificate that is not valid now, or not for long. Raises InputError when it cannot be read."""
    now = now or datetime.now(UTC)
    found = _certificates(path)[0]
    begin, end = found.not_valid_before_utc, found.not_valid_after_utc
    if end <= now:
        yield f"{path}: the certificate ended on {end:%Y-%m-%d}: clients that check it refuse the server"
    elif begin > now:
        yield f"{path}: the certificate begins on {begin:%Y-%m-%d}: until then clients refuse the server"
    elif end - now < SOON:
        yield f"{path}: the certificate ends on {end:%Y-%m-%d}, in {(end - now).days} days"


def _certificates(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_text(path).encode())
    except ValueError:
        raise _no_certificate(path) from None


def _authorities(path: Path) -> list[x509.Certificate]:
    """Those in a file that can be read: a system's bundle may hold some that the library finds improper."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        for block in BLOCK.findall(_text(path)):
            with suppress(ValueError):
                found.append(x509.load_pem_x509_certificate(block.encode()))
    if not found:
        raise _no_certificate(path)
    return found


def _no_certificate(path: Path) -> InputError:
    return InputError([Fault(str(path), 0, "", "found no certificate in PEM")])


def _whose(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except UnicodeDecodeError:
        raise InputError([Fault(str(path), 0, "", "found something else than PEM")]) from None
    except OSError as error:
        raise InputError([Fault(str(path), 0, "", f"cannot be read: {error.strerror}")]) from error
