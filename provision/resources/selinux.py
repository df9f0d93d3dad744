"""What SELinux has to know where something of PostgreSQL's is not in its usual place: a port, a data directory.

Known from the policy's own files: asking `semanage` takes seconds. It is only called, and its package only installed,
when there is something to tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from provision.change import Change
from provision.facts import AnyProbe, Facts, Probe
from provision.resources.packages import install
from provision.transport import quote

PORTS = (
    "/var/lib/selinux/*/active/ports.local /etc/selinux/*/active/ports.local /etc/selinux/*/modules/active/ports.local"
)
CONTEXTS = "/etc/selinux/*/contexts/files/file_contexts.local"
PORT_TYPE = "postgresql_port_t"
DATA_TYPE = "postgresql_db_t"


def _yes(text: str) -> bool:
    return text.strip() == "yes"


def _semanage(installer: str, package: str) -> str:
    """A fragment that sees to it that semanage is there."""
    return f"if ! command -v semanage >/dev/null 2>&1; then\n{install(installer, [package])}fi\n"


@dataclass(frozen=True, kw_only=True)
class PortLabel:
    """A port that PostgreSQL may listen at. package: what semanage comes in."""

    port: int
    installer: str
    package: str

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"SELinux label of port {self.port}"

    @property
    def _labelled(self) -> Probe[bool]:
        ask = f"cat {PORTS} 2>/dev/null | grep -q '^portcon tcp {self.port} .*:{PORT_TYPE}:'"
        return Probe(f"if {ask}; then echo yes; else echo no; fi", _yes, False)

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (self._labelled,)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        if facts[self._labelled]:
            return []
        add = f"semanage port -a -t {PORT_TYPE} -p tcp {self.port} 2>/dev/null"
        modify = f"semanage port -m -t {PORT_TYPE} -p tcp {self.port}"  # another type has it in the policy
        script = f"{_semanage(self.installer, self.package)}{add} || {modify}\n"
        return [Change(summary=f"let PostgreSQL use port {self.port} under SELinux", script=script, after=PORT_TYPE)]


@dataclass(frozen=True, kw_only=True)
class DataLabel:
    """A data directory that PostgreSQL may use, where the policy does not expect one."""

    path: str
    installer: str
    package: str

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"SELinux label of {self.path}"

    @property
    def _pattern(self) -> str:
        return f"{self.path}(/.*)?"

    @property
    def _labelled(self) -> Probe[bool]:
        path = quote(self.path)
        rule = f"cat {CONTEXTS} 2>/dev/null | grep -F {quote(self._pattern)} | grep -q ':{DATA_TYPE}:'"
        actual = f"[ ! -d {path} ] || ls -dZ {path} | grep -q ':{DATA_TYPE}:'"
        return Probe(f"if {rule} && {{ {actual}; }}; then echo yes; else echo no; fi", _yes, False)

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (self._labelled,)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        if facts[self._labelled]:
            return []
        path, pattern = quote(self.path), quote(self._pattern)
        script = (
            f"{_semanage(self.installer, self.package)}"
            f"semanage fcontext -a -t {DATA_TYPE} {pattern} 2>/dev/null || "
            f"semanage fcontext -m -t {DATA_TYPE} {pattern} || exit 1\n"
            f"[ ! -d {path} ] || restorecon -R {path}\n"
        )
        return [Change(summary=f"label {self.path} for PostgreSQL under SELinux", script=script, after=DATA_TYPE)]
