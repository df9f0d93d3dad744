"""The server of a host: programs, data directory, configuration, running with what its files say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from provision.facts import Server
from provision.platforms import Packaged
from provision.resources import (
    Account,
    Applied,
    DataDirectory,
    DataLabel,
    Directory,
    File,
    Packages,
    Programs,
    Resource,
    Room,
    Running,
    Unit,
    UnitOptions,
    WholePackages,
)
from provision.resources.roles import known_password
from provision.resources.service import hba_errors
from provision.tasks import tls, tuning
from provision.tasks.base import USUAL_PORT
from provision.tasks.node import Node
from provision.tasks.stage import task
from provision.templating import MANAGED
from provision.transport import quote

CONFIGURATION = ("postgresql.conf", "pg_hba.conf")
"""The server's files that come from templates."""

NEW_SERVER_MB = 250
MB_PER_SCALE = 40
"""pgbench's rows, their indexes and the WAL that writing them leaves."""


@task
def postgresql(node: Node) -> list[Resource]:
    """A PostgreSQL server that runs as configured."""
    return [*_place(node), *_server(node)]


def shared(nodes: Sequence[Node]) -> list[Resource]:
    """What the local hosts of a site have in common: this machine's part, which comes before theirs."""
    local = [node for node in nodes if node.host.local]
    found: list[Resource] = [Account(name) for name in dict.fromkeys(node.account for node in local) if name]
    found += [Directory(path=str(node.site.inventory.state_dir)) for node in local[:1]]
    return [*found, *dict.fromkeys(_copy(node) for node in local if node.wheel)]


def _copy(node: Node) -> Resource:
    wheel = node.wheel
    assert wheel is not None
    return Programs(source=wheel.source, parts=wheel.parts, destination=node.programs, label=wheel.label)


def _place(node: Node) -> list[Resource]:
    if not node.host.local:
        return _installed(node)
    elsewhere = node.host.postgresql.data_dir
    parents = [Directory(path=str(elsewhere.parent), owner=node.account, ours=False)] if elsewhere else []
    return [
        Directory(path=str(node.home), mode=0o700, owner=node.account),
        *parents,
        Room(server=node.server, megabytes=_megabytes(node)),
    ]


def _installed(node: Node) -> list[Resource]:
    """The packages of a host of its own, told where its data is if that is not where they have it."""
    packaged, release, server = node.packaged, node.release, node.server
    found: list[Resource] = []
    if packaged:
        found.append(WholePackages(release.installer))
        found.append(Packages(packages=packaged.packages, installer=release.installer))
    if packaged and server.data != packaged.data:
        found.append(Directory(path=str(PurePosixPath(server.data).parent), ours=False))
    if packaged:
        found += _told(packaged, server, systemd=node.systemd)
    if packaged and server.data != packaged.data and node.traits.selinux != "disabled":
        found.append(DataLabel(path=server.data, installer=release.installer, package=release.semanage))
    return [*found, Room(server=server, megabytes=_megabytes(node))]


def _told(packaged: Packaged, server: Server, *, systemd: bool) -> list[Resource]:
    """What the service of the packages has to know. Under systemd the port stands in postgresql.conf alone."""
    moved = server.data != packaged.data
    if systemd:
        text = f'# {MANAGED}\n[Service]\nEnvironment="PGDATA={server.data}"\n' if moved else ""
        return [UnitOptions(unit=packaged.unit, text=text)]
    if moved or server.port != USUAL_PORT:
        text = f"# {MANAGED}\nPGDATA={quote(server.data)}\nPGPORT={server.port}\n"
        return [Directory(path=str(PurePosixPath(packaged.defaults).parent)), File(path=packaged.defaults, text=text)]
    return []


def _megabytes(node: Node) -> int:
    filled = [name for name, _ in node.databases.values() if node.filled(name)]
    scale = node.host.pgbench.scale if node.host.pgbench else 0
    return NEW_SERVER_MB + MB_PER_SCALE * scale * len(filled)


def _server(node: Node) -> list[Resource]:
    server, settings = node.server, node.host.postgresql
    password: list[Resource] = []
    if server.passfile:
        check = known_password(server, node.superuser_password)
        password = [File(path=server.passfile, text=node.passfile, mode=0o600, secret=True, check=check)]
    return [
        *password,
        DataDirectory(
            server=server,
            locale=settings.initdb.locale,
            encoding=settings.initdb.encoding,
            checksums=settings.initdb.data_checksums,
            password=node.superuser_password,
        ),
        *tls.files(node),
        _configuration(node, "postgresql.conf", check=_judge(server)),
        _configuration(node, "pg_hba.conf", confirm=hba_errors(server)),
        Running(server),
        *([Unit(unit=server.unit, systemd=server.systemd, running=False)] if server.unit else []),
        Applied(server),
    ]


def rendered(node: Node, name: str) -> str:
    """One of the server's files of configuration. Raises InputError."""
    return node.site.templates.render(f"{name}.j2", node.host, tuned=tuning.rows(node))


def _configuration(node: Node, name: str, *, check: str = "", confirm: str = "") -> File:
    return File(
        path=f"{node.server.data}/{name}",
        text=rendered(node, name),
        mode=0o600,
        owner=node.account,
        check=check,
        confirm=confirm,
        follows="reload, or restart where a setting wants it",
    )


def _judge(server: Server) -> str:
    """Let the server read the candidate: it names a misspelt setting, a bad unit, a value out of range."""
    command = f'{server.program("postgres")} -D {quote(server.data)} -c config_file="$t" -C shared_buffers'
    return server.under_account(f"{command} 2>&1 >/dev/null")
