"""The server of a host: programs, data directory, configuration, running with what its files say."""

from __future__ import annotations

from collections.abc import Sequence

from provision.facts import Server
from provision.resources import (
    Account,
    Applied,
    DataDirectory,
    Directory,
    File,
    Packages,
    Programs,
    Resource,
    Room,
    Running,
)
from provision.resources.roles import known_password
from provision.resources.service import hba_errors
from provision.tasks import tls
from provision.tasks.node import Node
from provision.tasks.stage import task
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
        return [Packages(packages=node.packaged.packages, installer=node.release.installer)] if node.packaged else []
    elsewhere = node.host.postgresql.data_dir
    parents = [Directory(path=str(elsewhere.parent), owner=node.account, ours=False)] if elsewhere else []
    return [
        Directory(path=str(node.home), mode=0o700, owner=node.account),
        *parents,
        Room(server=node.server, megabytes=_megabytes(node)),
    ]


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
        Applied(server),
    ]


def _configuration(node: Node, name: str, *, check: str = "", confirm: str = "") -> File:
    return File(
        path=f"{node.server.data}/{name}",
        text=node.site.templates.render(f"{name}.j2", node.host),
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
