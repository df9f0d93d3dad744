"""Where packages come from: PGDG's addresses and keys, and the vault of releases that have ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from provision.errors import ProvisionError
from provision.facts import Traits

LIVE = "https://download.postgresql.org/pub/repos/yum"  # S
ARCHIVE = "https://yum-archive.postgresql.org"  # S: only by version, `common` is not there
KEYS = f"{LIVE}/keys"  # S
OLDEST_LIVE = 13
"""S: the oldest version that PGDG's own repository file names for EL 8 to 10; those before are in the archive."""


@dataclass(frozen=True)
class Key:
    """A key that signs packages: where it is to be had, and what it must be."""

    url: str
    fingerprint: str


PGDG_KEYS: Mapping[str, Key] = {
    # S: three installers that check it, and an issue of pgdg-rpms
    "x86_64": Key(f"{KEYS}/PGDG-RPM-GPG-KEY-RHEL", "D4BF08AE67A0B4C7A1DBCCD240BCA2B408B40D20"),
    # S: three installers that check it
    "aarch64": Key(f"{KEYS}/PGDG-RPM-GPG-KEY-AARCH64-RHEL", "B031F89FC983E98262906B6E177B343BB9738825"),
    # S: an installer that checks it, and what yum printed when it took it
    "7": Key(f"{KEYS}/PGDG-RPM-GPG-KEY-RHEL7", "F245F0BF96AC182744CAFF2E64FACE1173E3B907"),
    # D: versions up to 10 everywhere; K: all that was built for EL 6, which ended before the keys were changed
    "old": Key(f"{KEYS}/RPM-GPG-KEY-PGDG", "68C9E2B91A37D136FE74D1761F16D2E1442DF0F8"),
}


def pgdg_urls(traits: Traits, major: int) -> dict[str, str]:
    """PGDG's repositories for a version of PostgreSQL, by name: just that version, and what all of them need."""
    place = f"redhat/rhel-{traits.release}-{traits.architecture}"
    version, common = f"pgdg{major}", "pgdg-common"
    if traits.release < 8:
        return {version: f"{ARCHIVE}/{major}/{place}"}
    base = LIVE if major >= OLDEST_LIVE else ARCHIVE
    return {version: f"{base}/{major}/{place}", common: f"{LIVE}/common/{place}"}


def pgdg_key(traits: Traits, major: int) -> Key:
    """The key of those. Raises ProvisionError for an architecture that PGDG's key is not known of."""
    if traits.release == 6 or major <= 10:
        return PGDG_KEYS["old"]
    if traits.release == 7 and traits.architecture == "x86_64":
        return PGDG_KEYS["7"]
    if traits.release > 7 and traits.architecture in PGDG_KEYS:
        return PGDG_KEYS[traits.architecture]
    raise ProvisionError(
        f"the key of PGDG's packages for EL {traits.release} on {traits.architecture} is not known here.",
        hint="Give it as pgdg: {gpgkey: URL, fingerprint: ...}.",
    )


VAULT = "vault.centos.org"


def vault(traits: Traits) -> dict[str, tuple[str, str]]:
    """The base addresses and keys of a CentOS that has ended, by the names its own repository files use; else empty.

    By http: programs and certificates of EL 6 are too old for today's TLS (K); the packages' signatures are checked.
    """
    if traits.distribution != "centos":
        return {}
    keys = "file:///etc/pki/rpm-gpg/RPM-GPG-KEY"
    if traits.release in (6, 7):
        point = {6: "6.10", 7: "7.9.2009"}[traits.release]  # D: 6.10; K: 7.9.2009
        names = {"base": "os", "updates": "updates", "extras": "extras"}
        key = f"{keys}-CentOS-{traits.release}"
        return {name: (f"http://{VAULT}/{point}/{part}/$basearch/", key) for name, part in names.items()}
    if traits.release == 8:
        point = "8-stream" if traits.stream else "8.5.2111"  # D: 8-stream; S: 8.5.2111
        names = {"baseos": "BaseOS", "appstream": "AppStream", "extras": "extras"}
        key = f"{keys}-centosofficial"  # S
        return {name: (f"http://{VAULT}/{point}/{part}/$basearch/os/", key) for name, part in names.items()}
    return {}
