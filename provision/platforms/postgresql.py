"""A PostgreSQL server from packages: what to install on a release, and where it then is."""

from __future__ import annotations

from dataclasses import dataclass

from provision.errors import ProvisionError
from provision.inventory import Source
from provision.platforms.releases import Release

DEFAULT_PGDG = 16
OLDEST = 10
"""The oldest major version that the replicator works with."""


@dataclass(frozen=True, kw_only=True)
class Packaged:
    """A server from packages.

    stream: the stream of the module `postgresql` that they are in; "disabled": the module must not hide them; empty:
    they have to do with no module. defaults: the file that a SysV script of it reads. pgbench: the package that
    pgbench is in.
    """

    packages: tuple[str, ...]
    unit: str
    bin: str
    data: str
    account: str = "postgres"
    stream: str = ""
    defaults: str = ""
    pgbench: str = ""


def packaged(release: Release, source: Source, major: int | None) -> Packaged:
    """The server of a release. major: of PostgreSQL; None: the distribution's own. Raises ProvisionError."""
    if source is Source.PGDG:
        return _pgdg(release, major or DEFAULT_PGDG)
    return _distribution(release, major)


def _pgdg(release: Release, major: int) -> Packaged:
    """S: spec, service and setup files of 13 to 18, and the SysV script of 12."""
    if major not in release.pgdg:
        raise ProvisionError(
            f"PGDG has no PostgreSQL {major} for EL {release.major}, only {_listed(release.pgdg)}.",
            hint="Declare one of these as postgresql.version.",
        )
    names = tuple(f"postgresql{major}{part}" for part in ("", "-server", "-contrib", "-plperl"))
    unit = f"postgresql-{major}"
    return Packaged(
        packages=names,
        unit=unit,
        bin=f"/usr/pgsql-{major}/bin",
        data=f"/var/lib/pgsql/{major}/data",
        stream="disabled" if release.modular else "",  # S: else "filtered out by modular filtering"
        defaults=f"/etc/sysconfig/pgsql/{unit}",  # S: the script of 12 sources it
        pgbench=names[0],  # S: the client package, from PGDG
    )


def _distribution(release: Release, major: int | None) -> Packaged:
    """S, D: the same names on all releases; on 10, versions beside its default one have names of their own."""
    default = release.postgresql[0]
    if default < OLDEST:
        old = {8: "8.4", 9: "9.2"}[default]
        raise ProvisionError(
            f"EL {release.major} brings PostgreSQL {old}, which is older than {OLDEST}.",
            hint=f"Declare postgresql.source: pgdg and a version ({_listed(release.pgdg)}).",
        )
    if major not in (None, *release.postgresql):
        raise ProvisionError(
            f"EL {release.major} has no PostgreSQL {major} of its own, only {_listed(release.postgresql)}.",
            hint="Declare one of these as postgresql.version, or postgresql.source: pgdg.",
        )
    chosen = major or default
    infix = "" if release.modular or chosen == default else f"{chosen}"
    names = tuple(f"postgresql{infix}{part}" for part in ("", "-server", "-contrib", "-plperl"))
    return Packaged(
        packages=names,
        unit="postgresql",
        bin="/usr/bin",
        data="/var/lib/pgsql/data",
        stream=f"{major}" if major in release.streams else "",
        pgbench=names[2],  # S: contrib, in the distributions
    )


def _listed(versions: range | tuple[int, ...]) -> str:
    if isinstance(versions, range):
        return f"{versions[0]} to {versions[-1]}"
    return ", ".join(str(version) for version in versions)
