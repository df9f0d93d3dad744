"""How far the way to a host leads: its name, its port, its key, the login, sudo; told from where it stopped."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from provision.doctor.findings import Finding, Verdict
from provision.errors import HostKeyTrouble, LoginRefused, ProvisionError, SudoRefused
from provision.inventory import Host
from provision.transport.login import Login
from provision.transport.openssh import effective

STAGES = ("name", "port", "host key", "login", "sudo")
CONNECT_SECONDS = 5.0


def stages(host: Host) -> tuple[str, ...]:
    """What there is to reach on the way to a host."""
    return STAGES if host.become else STAGES[:-1]


def reached(host: Host) -> Iterator[Finding]:
    """The findings of a way that led to its end."""
    for stage in stages(host):
        yield Finding(host.name, stage, Verdict.OK, "works" if stage in ("login", "sudo") else "fine")


def stopped(host: Host, login: Login, error: ProvisionError) -> Iterator[Finding]:
    """The findings of a way that led nowhere: what was passed, and where it ended."""
    stage = _stage(login, error)
    for passed in STAGES[: STAGES.index(stage)]:
        yield Finding(host.name, passed, Verdict.OK, "works" if passed == "login" else "fine")
    verdict = Verdict.BAD if stage == "sudo" else Verdict.AWAY
    yield Finding(host.name, stage, verdict, str(error.args[0]), error.hint)


def _stage(login: Login, error: ProvisionError) -> str:
    for kind, stage in ((SudoRefused, "sudo"), (LoginRefused, "login"), (HostKeyTrouble, "host key")):
        if isinstance(error, kind):
            return stage
    return "name" if not _resolves(login) else "port"


def _resolves(login: Login) -> bool:
    """Whether the host's name stands for an address. Behind a jump host that is not ours to ask."""
    settings = effective(login)
    if settings.get("proxyjump", ["none"])[0] != "none" or "proxycommand" in settings:
        return True
    try:
        socket.getaddrinfo(settings.get("hostname", [login.host])[0], None)
    except OSError:
        return False
    return True
