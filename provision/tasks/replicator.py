"""The replicator on the host that runs it: programs, settings, service. The hand-over starts it, once it has work.

A timer sees to what the daemon does not: old runs leave the history every day. Hosts with SysV scripts (EL 6) have no
Python that runs the replicator, so there is always a systemd.
"""

from __future__ import annotations

from collections.abc import Iterator

from provision.inventory import CONTROL, ReplicationSettings, runner
from provision.resources import (
    Account,
    AccountGone,
    Daemon,
    Directory,
    Environment,
    File,
    Former,
    Gone,
    Interpreter,
    NoDaemon,
    OnlyCurrent,
    Resource,
    Timer,
)
from provision.tasks import tls
from provision.tasks.node import Node
from provision.tasks.service import (
    ACCOUNT,
    COMMANDS,
    CONFIG,
    HISTORY_DAYS,
    HOME,
    LOGS,
    PASSFILE,
    PROGRAM,
    PROGRAMS,
    PURGE,
    PURGE_FILES,
    RULE,
    SETTINGS,
    SUDOERS,
    UNIT,
    UNIT_FILE,
    Service,
    wrapper,
)
from provision.tasks.stage import task
from provision.wheelhouse import Bundle, Target


@task
def replicator(node: Node) -> list[Resource]:
    """The replicator's service, on the host that runs it."""
    declared = node.site.inventory.replication
    if declared is None or node.host.local:
        return []
    if runner(node.site.inventory) != node.host:
        return [Former(CONFIG, Service(node.site, declared).identity, tuple(_gone()))]
    return [*_programs(node, declared), *_settings(node, declared), *_service(node, declared)]


def _programs(node: Node, declared: ReplicationSettings) -> Iterator[Resource]:
    index = "" if declared.install_from == CONTROL else declared.install_from
    folder = node.site.inventory.state_dir / "wheelhouse"

    def source(target: Target) -> Bundle:
        return Bundle(target, folder, index)

    release = node.release
    yield Interpreter(release.python, release.installer, f"EL {release.major}")
    yield Account(ACCOUNT, HOME)
    yield Environment(folder=PROGRAMS, program="replicator", source=source)
    for command in COMMANDS:
        yield File(path=command, text=wrapper(command), mode=0o755)
    yield File(path=SUDOERS, text=RULE, mode=0o440, check='visudo -cqf "$t"')


def _settings(node: Node, declared: ReplicationSettings) -> Iterator[Resource]:
    service = Service(node.site, declared)
    yield Directory(path=SETTINGS, mode=0o750, owner="root", group=ACCOUNT)
    yield File(path=CONFIG, text=service.config, mode=0o640, owner="root", group=ACCOUNT, follows="restart")
    if roots := tls.roots(node.site):
        yield File(path=tls.ROOT_OF_RUNNER, text=roots, mode=0o644, owner="root", group=ACCOUNT)
    yield File(path=PASSFILE, text=service.passfile, mode=0o600, owner=ACCOUNT, group=ACCOUNT, secret=True)


def _service(node: Node, declared: ReplicationSettings) -> Iterator[Resource]:
    unit = _unit(node, "pgherd-replicator.service.j2")
    yield File(path=UNIT_FILE, text=unit, follows="restart")
    files = (CONFIG, UNIT_FILE, f"{PROGRAMS}/current")
    yield Daemon(unit=UNIT, began=Service(node.site, declared).began, files=files)
    yield OnlyCurrent(PROGRAMS)
    for path in PURGE_FILES:
        yield File(path=path, text=_unit(node, f"{path.rpartition('/')[2]}.j2"))
    yield Timer(PURGE)


def _unit(node: Node, template: str) -> str:
    return node.site.templates.render(
        template,
        node.host,
        account=ACCOUNT,
        program=PROGRAM,
        config=CONFIG,
        days=HISTORY_DAYS,
        after=f"{node.server.unit}.service" if node.server.unit else "",
    )


def removed(node: Node) -> Iterator[Resource]:
    """What it takes for a host to have nothing of this site's replicator."""
    declared = node.site.inventory.replication
    if declared and runner(node.site.inventory) == node.host:
        yield from _gone()
        yield AccountGone(ACCOUNT)
    elif declared:
        yield Former(CONFIG, Service(node.site, declared).identity, tuple(_gone()))


def _gone() -> Iterator[Resource]:
    """The settings go last: they say whose all this is."""
    yield NoDaemon(UNIT)
    yield NoDaemon(f"{PURGE}.timer")
    for path in (UNIT_FILE, *PURGE_FILES, *COMMANDS, SUDOERS, PROGRAMS, HOME, LOGS, SETTINGS):
        yield Gone(path)
