"""The replicator's daemon, wherever it runs: a service of a host, or a process of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from provision.change import Change, Note
from provision.errors import HostFailed
from provision.inventory import Host, runner
from provision.resources.daemons import begin
from provision.resources.steps import StepEvent, carry_out
from provision.tasks.node import Site
from provision.tasks.replication.settings import Settings
from provision.tasks.service import UNIT
from provision.transport import connect
from replicator import daemon
from replicator.errors import ReplicatorError

STOP = f"systemctl show -p FragmentPath {UNIT} | grep -q /{UNIT} || exit 0\nsystemctl stop {UNIT}\n"
"""Stops a service, if there is one."""


def stop_daemon(site: Site) -> None:
    """Stop it, if it runs; at the next boot, or deploy, it is there again. Raises ProvisionError."""
    host = runner(site.inventory)
    if host is None:
        stop_here(site)
        return
    _carry_out(site, host, Change(summary=f"stop {UNIT}", script=STOP), lambda _: None)


def start_there(site: Site, host: Host, summary: str, note: Note) -> None:
    """Start the service of a host, anew if it runs. Raises HostFailed with what it said last."""
    _carry_out(site, host, Change(summary=summary, script=begin(UNIT)), note)


def stop_here(site: Site) -> bool:
    """Stop the daemon of this machine; whether it ran. Raises ProvisionError."""
    config = Settings(site).config()
    with told_as_ours():
        return config is not None and daemon.stop(config) is not None


def pid_here(site: Site) -> int | None:
    """The process id of the daemon on this machine, if it runs."""
    config = Settings(site).config()
    with told_as_ours():
        return daemon.running(config) if config else None


def _carry_out(site: Site, host: Host, change: Change, note: Note) -> None:
    def watch(event: StepEvent) -> None:
        if event.kind == "says":
            note(event.text)

    with closing(connect(host, site.keeper)) as transport:
        carry_out(transport, [change], watch)


@contextmanager
def told_as_ours() -> Iterator[None]:
    """Let the replicator's errors out of the block as provisioning's, with their sentence and exit code."""
    try:
        yield
    except ReplicatorError as error:
        ours = HostFailed(str(error.args[0]), hint=error.hint)
        ours.exit_code = error.exit_code
        raise ours from error
