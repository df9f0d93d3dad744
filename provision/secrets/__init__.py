"""Secrets: a type that does not print itself, where they come from, where generated ones are kept, how they are proven.

A `Keeper` fetches what the inventory names (`!env`, `!command`, `!secret`), keeps what it generates in a file that only
its owner may read, and masks every value it has met in whatever text is about to leave the program.
"""

from provision.secrets.ansible_vault import unlocker
from provision.secrets.keeper import Keeper
from provision.secrets.passfile import PassEntry, passfile
from provision.secrets.passphrase import Passphrase
from provision.secrets.private import check_private, write_private
from provision.secrets.secret import MASK, Secret
from provision.secrets.vault import Vault
from provision.secrets.verifiers import md5_verifier, proves, scram_verifier

__all__ = [
    "MASK",
    "Keeper",
    "PassEntry",
    "Passphrase",
    "Secret",
    "Vault",
    "check_private",
    "md5_verifier",
    "passfile",
    "proves",
    "scram_verifier",
    "unlocker",
    "write_private",
]
