"""A certificate with its private key; making them. Pure but for random numbers: the time is given."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from provision.secrets import Secret

AUTHORITY_LIFE = timedelta(days=3652)
NODE_LIFE = timedelta(days=730)
HEAD_START = timedelta(days=1)
"""Certificates begin this long before they are made: the clock of a node may be behind."""
LONGEST_NAME = 64


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A certificate as PEM, after lines that say whose it is, and its private key."""

    certificate: str
    key: Secret


def new_key() -> Secret:
    """A private key, as PEM."""
    return Secret(
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )


def new_authority(name: str, now: datetime) -> Pair:
    """An authority that signs itself."""
    key = new_key()
    private = private_key(key)
    public = private.public_key()
    subject = _name(f"pgherd {name}", f"authority of {now:%Y-%m-%d}")
    made = (
        _builder(subject, subject, public, now, now + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(private, hashes.SHA256())
    )
    return Pair(certificate=_text(made, f"The authority of the inventory {name}"), key=key)


def new_certificate(authority: Pair, names: Sequence[str], key: Secret, now: datetime) -> Pair:
    """A node's certificate for a key that it has. names: host names and addresses, the host's own first."""
    signer = x509.load_pem_x509_certificate(authority.certificate.encode())
    public = private_key(key).public_key()
    end = min(now + NODE_LIFE, signer.not_valid_after_utc)
    made = (
        _builder(_name(names[0]), signer.subject, public, now, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(_issuer_key(signer), critical=False)
        .sign(private_key(authority.key), hashes.SHA256())
    )
    return Pair(certificate=_text(made, ", ".join(names)), key=key)


def private_key(key: Secret) -> ec.EllipticCurvePrivateKey:
    """A key of ours as the library has it. Raises ValueError, TypeError."""
    found = serialization.load_pem_private_key(key.reveal().encode(), password=None)
    if not isinstance(found, ec.EllipticCurvePrivateKey):
        raise TypeError
    return found


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, begin: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin - HEAD_START)
        .not_valid_after(end)
    )


def _name(common: str, unit: str = "") -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common[:LONGEST_NAME])]
    if unit:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit[:LONGEST_NAME]))
    return x509.Name(parts)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _issuer_key(signer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    found = signer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(found.value)


def _text(made: x509.Certificate, whose: str) -> str:
    """PEM, after a line for people: readers of PEM pass over what stands before it."""
    pem = made.public_bytes(serialization.Encoding.PEM).decode()
    return f"# {whose}: valid until {made.not_valid_after_utc:%Y-%m-%d}\n{pem}"
