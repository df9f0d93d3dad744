"""Reads certificates and says what is the matter with them. Pure: the time is given."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from provision.certificates.pairs import Pair
from provision.secrets import Secret

SOON = timedelta(days=30)


def read(pem: str) -> x509.Certificate:
    """The first certificate of a PEM text. Raises ValueError."""
    return x509.load_pem_x509_certificate(pem.encode())


def end_of(pem: str) -> datetime | None:
    """Until when a certificate is valid; None of what is no certificate."""
    try:
        return read(pem).not_valid_after_utc
    except ValueError:
        return None


def names_of(certificate: x509.Certificate) -> set[str]:
    """The host names and addresses that it is for."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    addresses = {str(address) for address in found.get_values_for_type(x509.IPAddress)}
    return addresses | set(found.get_values_for_type(x509.DNSName))


def is_for(certificate: x509.Certificate, name: str) -> bool:
    """Whether a client that connects to this name or address takes it."""
    try:
        return str(ipaddress.ip_address(name)) in names_of(certificate)
    except ValueError:
        wild = "*." + name.partition(".")[2]
        return bool({name.lower(), wild.lower()} & {found.lower() for found in names_of(certificate)})


def belongs(certificate: x509.Certificate, key: Secret) -> bool:
    """Whether a private key is the certificate's. Raises ValueError, TypeError for what is no key."""
    private = load_pem_private_key(key.reveal().encode(), password=None)
    return private.public_key() == certificate.public_key()


def signed_by(certificate: x509.Certificate, authorities: Sequence[x509.Certificate]) -> bool:
    """Whether one of them has signed it."""
    for authority in authorities:
        try:
            certificate.verify_directly_issued_by(authority)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return True
    return False


def due(pair: Pair, authority: Pair, names: Sequence[str], now: datetime) -> str:
    """Why one of our certificates is to be made anew; "" when it is good for a while."""
    try:
        found = read(pair.certificate)
        if not belongs(found, pair.key):
            return "it is of another key"
    except (ValueError, TypeError):
        return "there is none"
    if not signed_by(found, [read(authority.certificate)]):
        return "another authority has signed it"
    if not all(is_for(found, name) for name in names):
        return "it is for other names"
    begin, end = found.not_valid_before_utc, found.not_valid_after_utc
    if end - now < (end - begin) / 3:
        return f"it ends on {end:%Y-%m-%d}"
    return ""
