"""From what a host answers to findings. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from provision.doctor.asking import KEYS, PYTHONS, SEMANAGE, SERVERS, TIMES, identity, listener, repositories
from provision.doctor.findings import Finding, Verdict
from provision.errors import HostFailed
from provision.facts import TRAITS, AnyProbe, Facts, NotYet, Traits, free_space
from provision.inventory import Source, runner
from provision.tasks import Node

T = TypeVar("T")

CLOCK_SECONDS = 2.0
NEEDED_MB = 1024
"""Packages, a server's first files and its first WAL."""

MEMORY_MB = 512
"""Less than that, and a server with its replicator swaps."""


@dataclass(frozen=True)
class Answers:
    """What a host has answered. before, after: our own clock, when the question left and when the answer was there."""

    facts: Facts
    before: float
    after: float


def probes(node: Node) -> list[AnyProbe[Any]]:
    """What to ask a host."""
    asked: list[AnyProbe[Any]] = [
        listener(node.host.address, node.host.postgresql.port),
        free_space(node.server.data),
        SERVERS,
    ]
    if node.host.local:
        return asked
    own: list[AnyProbe[Any]] = [
        TRAITS,
        TIMES,
        SEMANAGE,
        PYTHONS,
        KEYS,
        identity(),
        repositories(node.release.installer),
    ]
    return [*own, *asked]


def findings(node: Node, answers: Answers) -> Iterator[Finding]:
    """Everything that can be said."""
    if not node.host.local:
        traits = _known(answers, TRAITS)
        yield _release(node, traits)
        yield _root(node, answers)
        yield _clock(node, answers)
        yield from _repositories(node, answers)
        if isinstance(traits, Traits):
            yield _selinux(node, traits, answers)
            yield _memory(node, traits)
        yield from _python(node, answers)
    yield _disk(node, answers)
    yield _port(node, answers)
    yield from _other_servers(node, answers)


def _known(answers: Answers, probe: AnyProbe[T]) -> T | str:
    """A fact, or why it is not known."""
    try:
        return answers.facts[probe]
    except (HostFailed, NotYet) as why:
        return str(why)


def _release(node: Node, traits: Traits | str) -> Finding:
    if isinstance(traits, str):
        return Finding(node.name, "release", Verdict.BAD, traits)
    try:
        traits.agreed(node.host.release)
    except HostFailed as error:
        return Finding(node.name, "release", Verdict.BAD, str(error.args[0]), error.hint)
    return Finding(node.name, "release", Verdict.OK, traits.system)


def _root(node: Node, answers: Answers) -> Finding:
    account = _known(answers, identity())
    if account == "root":
        return Finding(node.name, "root", Verdict.OK, "by sudo" if node.host.become else "by login")
    hint = "Add `become: yes` to the inventory, or log in as root."
    return Finding(node.name, "root", Verdict.BAD, f"scripts would run as {account}", hint)


def _clock(node: Node, answers: Answers) -> Finding:
    theirs = _known(answers, TIMES)
    if isinstance(theirs, str):
        return Finding(node.name, "clock", Verdict.BAD, theirs)
    # It was read at some moment between sending and receiving: what cannot be explained by that is the clock's fault.
    off = max(0.0, theirs - answers.after) + min(0.0, theirs - answers.before)
    if abs(off) <= CLOCK_SECONDS:
        return Finding(node.name, "clock", Verdict.OK, "agrees with this machine's")
    said = f"{abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} this machine's"
    hint = "Set it, there or here (`chronyc makestep`): signatures of packages and certificates depend on it."
    return Finding(node.name, "clock", Verdict.BAD, said, hint)


def _repositories(node: Node, answers: Answers) -> Iterator[Finding]:
    said = _known(answers, repositories(node.release.installer))
    if "[y/N]" in said:  # it would import the repository's key first, which is for deploy to do
        yield Finding(node.name, "packages", Verdict.OK, "the repositories answer; a key is yet to be imported")
    elif said:
        hint = "Mend the repository's address or the way there (proxy, name service), or disable it."
        yield Finding(node.name, "packages", Verdict.BAD, f"a repository does not answer: {said}", hint)
    else:
        yield Finding(node.name, "packages", Verdict.OK, "the repositories answer")
    missing = _known(answers, KEYS)
    for line in missing if isinstance(missing, tuple) else ():
        hint = "Install the package that brings it, or correct gpgkey in /etc/yum.repos.d."
        yield Finding(node.name, "packages", Verdict.BAD, f"the key of a repository is missing: {line}", hint)


def _selinux(node: Node, traits: Traits, answers: Answers) -> Finding:
    moved = node.host.postgresql.data_dir is not None or node.host.postgresql.port != 5432
    if traits.selinux == "enforcing" and moved and _known(answers, SEMANAGE) is not True:
        said = "enforcing, and there is no semanage for another data directory or port"
        return Finding(node.name, "selinux", Verdict.NOTE, said, "deploy installs it (policycoreutils-python-utils).")
    return Finding(node.name, "selinux", Verdict.OK, traits.selinux)


def _memory(node: Node, traits: Traits) -> Finding:
    said = f"{traits.memory_mb} MB"
    if traits.memory_mb < MEMORY_MB:
        hint = f"Give it {MEMORY_MB} MB or more."
        return Finding(node.name, "memory", Verdict.NOTE, said, hint)
    return Finding(node.name, "memory", Verdict.OK, said)


def _python(node: Node, answers: Answers) -> Iterator[Finding]:
    if runner(node.site.inventory) != node.host:
        return
    found = _known(answers, PYTHONS)
    if found:
        yield Finding(node.name, "python", Verdict.OK, f"{found}, for the replicator")
    else:
        said = "no Python 3.11 or later yet, for the replicator"
        hint = "deploy installs it, if a repository has it; or let the replicator run elsewhere (replication.runs_on)."
        yield Finding(node.name, "python", Verdict.NOTE, said, hint)


def _disk(node: Node, answers: Answers) -> Finding:
    free = _known(answers, free_space(node.server.data))
    if isinstance(free, str):
        return Finding(node.name, "disk", Verdict.BAD, free)
    if free < NEEDED_MB and not _ours(node, answers):
        hint = "Free some, or choose another place (postgresql.data_dir)."
        said = f"{free} MB are free where {node.server.data} is to be, {NEEDED_MB} MB are wanted"
        return Finding(node.name, "disk", Verdict.BAD, said, hint)
    return Finding(node.name, "disk", Verdict.OK, f"{free} MB free where {node.server.data} is")


def _ours(node: Node, answers: Answers) -> bool:
    running = _known(answers, SERVERS)
    return isinstance(running, tuple) and node.server.data in running


def _port(node: Node, answers: Answers) -> Finding:
    where = f"{node.host.address}:{node.host.postgresql.port}"
    found = _known(answers, listener(node.host.address, node.host.postgresql.port))
    if isinstance(found, str):
        return Finding(node.name, "port", Verdict.BAD, found)
    if not found.pid:
        return Finding(node.name, "port", Verdict.OK, f"{where} is free")
    if found.folder == node.server.data:
        return Finding(node.name, "port", Verdict.OK, f"{where} is our server's")
    said = f"{where} is in use by {found.name} (process {found.pid}{f' in {found.folder}' if found.folder else ''})"
    return Finding(node.name, "port", Verdict.BAD, said, "Stop that, or choose another postgresql.port.")


def _other_servers(node: Node, answers: Answers) -> Iterator[Finding]:
    running = _known(answers, SERVERS)
    known: Callable[[str], bool] = _place_of_ours(node)
    for data in running if isinstance(running, tuple) else ():
        if not known(data):
            said = f"another PostgreSQL runs there, in {data}"
            yield Finding(node.name, "servers", Verdict.NOTE, said, "deploy leaves it alone; the two share the memory.")


def _place_of_ours(node: Node) -> Callable[[str], bool]:
    """Whether a data directory belongs to the inventory; other local hosts' servers run on the same machine."""
    hosts = node.site.inventory.hosts if node.host.local else (node.host,)
    ours = {node.site.node(host).server.data for host in hosts}
    embedded = node.host.postgresql.source is Source.EMBEDDED
    return lambda data: data in ours or (embedded and node.host.local)
