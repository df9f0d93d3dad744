"""Examines hosts, all at once, and this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from provision.doctor import reaching
from provision.doctor.findings import Finding, Verdict
from provision.doctor.here import here
from provision.doctor.judging import Answers, findings, probes
from provision.errors import ProvisionError, SudoRefused, Unreachable
from provision.facts import gather
from provision.inventory import Host
from provision.tasks import Site
from provision.transport import connect
from provision.transport.login import login_to

SECONDS = 90.0
"""How long a host may take to answer: its repositories are asked meanwhile."""


def examine(site: Site, hosts: Sequence[Host], forks: int) -> list[Finding]:
    """Everything that can be said of hosts and of this machine; nothing is raised because something is wrong."""
    with ThreadPoolExecutor(max(1, min(forks, len(hosts)))) as pool:
        asked = [pool.submit(_host, site, host) for host in hosts]
        return [*here(site, hosts), *(finding for one in asked for finding in one.result())]


def _host(site: Site, host: Host) -> list[Finding]:
    try:
        node = site.node(host)
        wanted = probes(node)
    except ProvisionError as error:
        return [Finding(host.name, "inventory", Verdict.BAD, str(error.args[0]), error.hint)]
    try:
        transport = connect(host, site.keeper)
    except ProvisionError as error:
        return [Finding(host.name, "login", Verdict.BAD, str(error.args[0]), error.hint)]
    try:
        before = time.time()
        facts = gather(transport, wanted, SECONDS)
        answers = Answers(facts, before, time.time())
    except (Unreachable, SudoRefused) as error:
        return list(reaching.stopped(host, login_to(host, site.keeper), error))
    except ProvisionError as error:
        return [Finding(host.name, "shell", Verdict.BAD, str(error.args[0]), error.hint)]
    finally:
        transport.close()
    way = [] if host.local else reaching.reached(host)
    return [*way, *findings(node, answers)]
