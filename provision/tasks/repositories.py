"""Where a host's packages come from."""

from __future__ import annotations

from collections.abc import Iterator

from provision import platforms
from provision.inventory import PgdgSettings, RepositorySettings, Source
from provision.platforms.postgresql import DEFAULT_PGDG
from provision.resources import File, Module, RepositoryOptions, Resource, TrustedKey
from provision.resources.repositories import FOLDER
from provision.tasks.node import Node
from provision.tasks.stage import task

DEAD = r"mirrorlist\.centos\.org|mirror\.centos\.org"
"""What the repositories of an ended CentOS still point at."""

KEPT_OPTIONS = ("enabled", "includepkgs", "exclude")
"""What may be said of a repository that the host has."""


@task
def repositories(node: Node) -> list[Resource]:
    """Repositories that answer: the system's own, the declared ones, PGDG's where PostgreSQL is to come from there."""
    if node.host.local:
        return []
    found: list[Resource] = list(_vault(node))
    for name, settings in node.host.system.repositories.items():
        found += _kept(name, settings) if settings.there else _declared(node, name, settings)
    if node.host.postgresql.source is Source.PGDG:
        found += _pgdg(node, node.host.system.pgdg)
    if node.packaged and node.packaged.stream:
        found.append(Module(module="postgresql", stream=node.packaged.stream))
    return found


def _vault(node: Node) -> Iterator[Resource]:
    for name, (address, key) in platforms.vault(node.traits).items():
        options = {"mirrorlist": None, "metalink": None, "baseurl": address, "gpgcheck": "1", "gpgkey": key}
        yield RepositoryOptions(repository=name, options=options, only_if=DEAD)


def _kept(name: str, settings: RepositorySettings) -> list[Resource]:
    given = [option for option in KEPT_OPTIONS if option in settings.model_fields_set]
    return [RepositoryOptions(repository=name, options={option: _value(settings, option) for option in given})]


def _value(settings: RepositorySettings, option: str) -> str | None:
    value = getattr(settings, option)
    return f"{int(value)}" if isinstance(value, bool) else " ".join(value) or None


def _declared(node: Node, name: str, settings: RepositorySettings) -> list[Resource]:
    key, address = _key(node, name, settings.gpgkey, settings.fingerprint)
    section: dict[str, object] = {
        "name": settings.name or name,
        "baseurl": " ".join(settings.baseurl),
        "mirrorlist": settings.mirrorlist,
        "metalink": settings.metalink,
        "enabled": int(settings.enabled),
        "gpgcheck": int(settings.gpgcheck),
        "repo_gpgcheck": int(settings.repo_gpgcheck),
        "gpgkey": address,
        "includepkgs": " ".join(settings.includepkgs),
        "exclude": " ".join(settings.exclude),
        "module_hotfixes": int(settings.module_hotfixes) or None,
    }
    return [*key, _file(node, name, {name: section})]


def _pgdg(node: Node, settings: PgdgSettings) -> list[Resource]:
    """Just the declared version's repository, and what all versions need: PGDG's own file turns on all of them."""
    major = node.host.postgresql.version or DEFAULT_PGDG
    urls = platforms.pgdg_urls(node.traits, major)
    if settings.baseurl:
        urls = {f"pgdg{major}": settings.baseurl.replace("{version}", str(major))}
    source, fingerprint = settings.gpgkey, settings.fingerprint
    if source is None:
        usual = platforms.pgdg_key(node.traits, major)
        source, fingerprint = usual.url, fingerprint or usual.fingerprint
    key, address = _key(node, "PGDG", source, fingerprint)
    # PGDG signs the lists of packages too, of the releases that are alive.
    signed = node.traits.release > 7 and not settings.baseurl
    checked = signed if settings.repo_gpgcheck is None else settings.repo_gpgcheck
    sections: dict[str, dict[str, object]] = {
        name: {
            "name": "PostgreSQL, common packages" if name == "pgdg-common" else f"PostgreSQL {major}",
            "baseurl": url,
            "enabled": 1,
            "gpgcheck": 1,
            "repo_gpgcheck": int(checked),
            "gpgkey": address,
        }
        for name, url in urls.items()
    }
    return [*key, _file(node, "pgdg", sections)]


def _key(node: Node, label: str, source: str | None, fingerprint: str | None) -> tuple[list[Resource], str]:
    """What makes a key trusted, and where it then is."""
    if not source or not fingerprint:
        return [], source or ""  # none, or a file that the host has already
    key = TrustedKey(label=label, source=source, fingerprint=fingerprint, installer=node.release.installer)
    return [key], f"file://{key.path}"


def _file(node: Node, name: str, sections: dict[str, dict[str, object]]) -> Resource:
    text = node.site.templates.render("repository.j2", node.host, sections=sections)
    return File(path=f"{FOLDER}/{name}.repo", text=text)
