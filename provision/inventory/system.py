"""What an inventory says of the operating system: package repositories, updates, time, the SNMP agent.

One section per variable; together they are the `system` of a host.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from provision.inventory.marks import Mark, Node
from provision.inventory.values import Secretly, Section, Texts, Word

FINGERPRINT = re.compile(r"(?:[0-9A-F]{40})")
REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]*")
PLACES = ("baseurl", "mirrorlist", "metalink")


def expected(what: str) -> PydanticCustomError:
    """What is wrong with a value, told by what would be right."""
    return PydanticCustomError("expected", "{expected}", {"expected": what})


def _fingerprint(value: object) -> object:
    found = re.sub(r"[\s:]", "", str(value)).upper()
    if not FINGERPRINT.fullmatch(found):
        raise expected("a fingerprint: 40 digits and letters A to F, in quotes")
    return found


def _repository_name(value: object) -> object:
    if not isinstance(value, str) or not REPOSITORY.fullmatch(value):
        raise expected("the name of a repository: letters, digits and . _ - :")
    return value


def _line(value: object) -> object:
    if isinstance(value, str) and ("\n" in value or "\r" in value):
        raise expected("one line")
    return value


def _origins(value: object) -> object:
    given = value if isinstance(value, list | tuple) else (value,)
    try:
        return tuple(str(ipaddress.ip_network(str(origin), strict=False)) for origin in given)
    except ValueError as error:
        raise expected("addresses and networks") from error


def _many(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _sections(value: object) -> object:
    """A section that is there but empty stands for all of its defaults."""
    return {} if value is None else value


def _updates(value: object) -> object:
    return "none" if value is False else value


Line = Annotated[Word, BeforeValidator(_line)]
Lines = Annotated[tuple[Line, ...], BeforeValidator(_many)]
Fingerprint = Annotated[str, BeforeValidator(_fingerprint)]
Origins = Annotated[tuple[str, ...], BeforeValidator(_origins)]


class RepositorySettings(Section):
    """A package repository. Without an address: one that the host has, of which some settings are changed.

    gpgkey: an address; or a path here, or the key itself: of those, `keys` puts the key's text here, and its
    fingerprint.
    """

    name: Line | None = None
    baseurl: Lines = ()
    mirrorlist: Line | None = None
    metalink: Line | None = None
    gpgkey: Word | None = None
    fingerprint: Fingerprint | None = None
    enabled: bool = True
    includepkgs: Texts = ()
    exclude: Texts = ()
    gpgcheck: bool = True
    repo_gpgcheck: bool = False
    module_hotfixes: bool = False

    @property
    def there(self) -> bool:
        """Whether it is one that the host has."""
        return not (self.baseurl or self.mirrorlist or self.metalink)

    @model_validator(mode="after")
    def _agree(self) -> RepositorySettings:
        if self.there:
            return self
        if sum(bool(getattr(self, place)) for place in PLACES) > 1:
            raise expected("one of baseurl, mirrorlist and metalink")
        if self.gpgcheck and not self.gpgkey:
            raise expected("a gpgkey for it (or gpgcheck: no)")
        return self


class PgdgSettings(Section):
    """Where PGDG's packages come from. baseurl: a mirror; {version} in it stands for PostgreSQL's major version.

    gpgkey: as of a repository. repo_gpgcheck: None: as PGDG does.
    """

    baseurl: Line | None = None
    gpgkey: Word | None = None
    fingerprint: Fingerprint | None = None
    repo_gpgcheck: bool | None = None


class NtpSettings(Section):
    """Time servers. pools: names that stand for many; what is used while no servers are given."""

    servers: Lines = ()
    pools: Lines = ("pool.ntp.org",)


class SnmpSettings(Section):
    """The SNMP agent. community: for reading; without one, only the host itself may ask. allow_from: who else may."""

    community: Secretly | None = None
    allow_from: Origins = ()
    location: Annotated[str, BeforeValidator(_line)] = ""
    contact: Annotated[str, BeforeValidator(_line)] = ""

    @model_validator(mode="after")
    def _agree(self) -> SnmpSettings:
        if self.allow_from and not self.community:
            raise expected("a community beside allow_from")
        return self


class SystemSettings(Section):
    """The variables of the operating system. snmp: None: no agent."""

    repositories: Annotated[
        dict[Annotated[str, BeforeValidator(_repository_name)], RepositorySettings], BeforeValidator(_sections)
    ] = Field(default_factory=dict)
    pgdg: Annotated[PgdgSettings, BeforeValidator(_sections)] = PgdgSettings()
    ntp: Annotated[NtpSettings, BeforeValidator(_sections)] = NtpSettings()
    snmp: Annotated[SnmpSettings | None, BeforeValidator(_sections)] = None
    updates: Annotated[Literal["none", "security", "all"], BeforeValidator(_updates)] = "none"


VARIABLES = tuple(SystemSettings.model_fields)


def system_node(values: Mapping[str, Node], mark: Mark) -> Node:
    """The variables of the operating system as one mapping."""
    return Node({name: values[name] for name in VARIABLES if name in values}, mark)
