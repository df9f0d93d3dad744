"""Asking a host what it is, by a real shell; and how often a host is asked that is not what it was taken for."""

from __future__ import annotations

import secrets
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from provision.apply.hosts import HostWorker, Wants
from provision.change import Change
from provision.errors import HostFailed
from provision.facts import TRAITS, Facts, Probe, Traits, gather
from provision.plan import Impossible, Item
from provision.transport import Local
from provision.transport.base import OnLine, Result

ALMA = 'NAME="AlmaLinux"\nVERSION="9.4 (Seafoam Ocelot)"\nID="almalinux"\nVERSION_ID="9.4"\n'

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="these hosts have GNU's tools and Linux's /proc")


class Host(Local):
    """This machine with another /etc. Counts what it is sent."""

    def __init__(self, etc: Path) -> None:
        super().__init__()
        self.sent = 0
        self._etc = etc

    def run(
        self, script: str, *, as_user: str = "", timeout: float | None = None, on_line: OnLine | None = None
    ) -> Result:
        self.sent += 1
        return super().run(script.replace("/etc/", f"{self._etc}/"), as_user=as_user, timeout=timeout, on_line=on_line)


@pytest.fixture
def host(tmp_path: Path) -> Callable[..., Host]:
    def make(**files: str) -> Host:
        shutil.rmtree(tmp_path / "etc", ignore_errors=True)
        (tmp_path / "etc").mkdir()
        for name, text in files.items():
            (tmp_path / "etc" / name.replace("_", "-")).write_text(text)
        return Host(tmp_path / "etc")

    return make


@dataclass(frozen=True)
class Thing:
    """Wants what it is called, and asks the host to echo it. mark: as in here-documents, never twice the same."""

    name: str
    mark: str = field(default_factory=lambda: secrets.token_hex(4))

    @property
    def _echo(self) -> Probe[str]:
        return Probe(f"echo {self.name}", str.strip, "")

    def probes(self) -> Sequence[Probe[str]]:
        return (self._echo,)

    def plan(self, facts: Facts) -> list[Change]:
        return [Change(summary=f"make {facts[self._echo]}", script="true")]


def of(traits: Traits) -> list[Item]:
    if traits.release == 7:
        raise Impossible("one", "base", HostFailed("not on 7."))
    return [Item("base", Thing(f"for-{traits.release}"))]


def worker(host: Host, presumed: Traits) -> tuple[HostWorker, list[Traits]]:
    seen: list[Traits] = []
    return HostWorker("one", Wants(presumed, of, seen.append, ("base",)), host, local=False), seen


def test_a_shell_tells_what_the_host_is(host: Callable[..., Host]) -> None:
    found = gather(host(os_release=ALMA), [TRAITS])[TRAITS]
    assert (found.system, found.stream) == ("AlmaLinux 9", False)
    assert found.memory_mb % 64 == 0
    assert found.memory_mb > 0
    assert found.cpus >= 1
    assert found.architecture


def test_releases_without_os_release_tell_it_too(host: Callable[..., Host]) -> None:
    assert gather(host(redhat_release="CentOS release 6.10 (Final)\n"), [TRAITS])[TRAITS].system == "CentOS 6"
    both = host(oracle_release="Oracle Linux Server release 6.9\n", redhat_release="Red Hat Enterprise Linux 6.9\n")
    assert gather(both, [TRAITS])[TRAITS].system == "Oracle Linux 6"
    with pytest.raises(HostFailed, match=r"the host is Linux \S+, supported are"):
        gather(host(), [TRAITS])[TRAITS]


def test_a_host_that_is_what_it_was_taken_for_is_asked_once(host: Callable[..., Host]) -> None:
    there = host(os_release=ALMA)
    asked, seen = worker(there, Traits(memory_mb=1, cpus=1))
    assert [change.summary for change in asked.look().changes] == ["make for-9"]
    assert there.sent == 1, "another size, and nothing that depends on it"
    assert len(seen) == 1
    assert seen[0].memory_mb > 1


@pytest.mark.parametrize("presumed", [6, 7])
def test_another_host_is_asked_once_more(host: Callable[..., Host], presumed: int) -> None:
    there = host(os_release=ALMA)
    asked, _ = worker(there, Traits(release=presumed))
    assert [change.summary for change in asked.look().changes] == ["make for-9"]
    assert there.sent == 2
    asked.look()
    assert there.sent == 3, "now it is known"


def test_what_a_host_cannot_have_is_said_of_it_and_not_of_what_it_was_taken_for(host: Callable[..., Host]) -> None:
    there = host(os_release=ALMA.replace("9.4", "7.9"))
    asked, _ = worker(there, Traits(release=9))
    found = asked.look()
    assert found.failure
    assert (found.failure.task, found.failure.reason) == ("base", "not on 7.")
    assert there.sent == 1
