"""Opens what Ansible Vault has encrypted (formats 1.1 and 1.2, AES256): values and files. Nothing is written in it.

The text is hexadecimal twice over: salt, HMAC and ciphertext, a line each. PBKDF2 makes three things of passphrase and
salt: the key and the initial counter of AES-CTR, and the key of the HMAC.
"""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Callable

from provision.errors import Fault, InputError
from provision.secrets.passphrase import Passphrase
from provision.secrets.sealed import Damaged, WrongPassphrase
from provision.secrets.secret import Secret

MAGIC = "$ANSIBLE_VAULT"
VERSIONS = ("1.1", "1.2")
ROUNDS = 10_000
KEY, COUNTER = 32, 16


class Unknown(Exception):
    """The text is in a format that is not read; the text of this says in which."""


def open_vault(text: str, passphrase: Secret) -> str:
    """What a vaulted text holds. Raises Unknown, Damaged, WrongPassphrase."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - loads slowly, and few inventories need it
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
    from cryptography.hazmat.primitives.hmac import HMAC  # noqa: PLC0415
    from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC  # noqa: PLC0415
    from cryptography.hazmat.primitives.padding import PKCS7  # noqa: PLC0415

    salt, signature, ciphertext = _parts(text)
    derived = PBKDF2HMAC(SHA256(), 2 * KEY + COUNTER, salt, ROUNDS).derive(passphrase.reveal().encode())
    seal = HMAC(derived[KEY : 2 * KEY], SHA256())
    seal.update(ciphertext)
    try:
        seal.verify(signature)
    except InvalidSignature:
        raise WrongPassphrase from None
    decryptor = Cipher(algorithms.AES(derived[:KEY]), modes.CTR(derived[2 * KEY :])).decryptor()
    unpadder = PKCS7(algorithms.AES.block_size).unpadder()
    try:
        return (unpadder.update(decryptor.update(ciphertext)) + unpadder.finalize()).decode()
    except ValueError:
        raise Damaged from None


def unlocker(passphrase: Passphrase) -> Callable[[str, str], str]:
    """What opens a text, given the name of the file that it is: as the inventory's `load` wants it."""

    def unlock(text: str, file: str) -> str:
        try:
            return open_vault(text, passphrase.for_ansible(file))
        except WrongPassphrase:
            raise InputError([Fault(file, 1, "", "the passphrase is wrong")]) from None
        except Damaged:
            raise InputError([Fault(file, 1, "", "what Ansible Vault has encrypted is damaged")]) from None
        except Unknown as error:
            message = f"found {str(error)[:40]!r}, expected $ANSIBLE_VAULT;1.1;AES256 or 1.2"
            raise InputError([Fault(file, 1, "", message)]) from None

    return unlock


def _parts(text: str) -> tuple[bytes, bytes, bytes]:
    header, *body = text.split()
    magic, *rest = header.split(";")
    if magic != MAGIC or len(rest) < 2 or rest[0] not in VERSIONS or rest[1] != "AES256":
        raise Unknown(header)
    try:
        salt, signature, ciphertext = (unhexlify(part) for part in unhexlify("".join(body)).split(b"\n"))
    except ValueError:
        raise Damaged from None
    return salt, signature, ciphertext
