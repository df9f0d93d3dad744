"""Names and paths by release: the one place that knows them. Nothing else in the code asks which release a host is on.

`releases` has the operating system's, `postgresql` the server's, `repositories` where packages come from. Behind each
fact stands where it is from: S: the packages' spec, service and setup files, or code that installs them; D: the
distributions' or projects' documentation; K: common knowledge, which nothing here has proved.
"""

from provision.platforms.postgresql import Packaged, packaged
from provision.platforms.programs import WHEEL, Wheel, system_programs, wheel
from provision.platforms.releases import RELEASES, Release
from provision.platforms.repositories import PGDG_KEYS, Key, pgdg_key, pgdg_urls, vault

__all__ = [
    "PGDG_KEYS",
    "RELEASES",
    "WHEEL",
    "Key",
    "Packaged",
    "Release",
    "Wheel",
    "packaged",
    "pgdg_key",
    "pgdg_urls",
    "system_programs",
    "vault",
    "wheel",
]
