"""A daemon of ours under systemd: enabled at boot, and running with what its files hold now. And timers.

Whether it is time to start it is somebody else's to say; one that runs is restarted when its files are newer than it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from provision.change import Change
from provision.facts import AnyProbe, Facts, Probe
from provision.transport import quote

PATIENCE = 60
"""Seconds for a daemon that failed at first (a server that it needs is being restarted) and is started anew."""

UP = ("active", "activating", "reloading")


@dataclass(frozen=True)
class DaemonFact:
    """enabled: at boot. active: as systemd says it. newer: the first file that has changed since the daemon began."""

    enabled: bool = False
    active: str = "inactive"
    newer: str = ""

    @classmethod
    def parse(cls, text: str) -> DaemonFact:
        """Read what the probe prints."""
        found = dict(line.partition("=")[::2] for line in text.splitlines())
        enabled = found.get("UnitFileState") == "enabled"
        return cls(enabled, found.get("ActiveState", "inactive"), found.get("newer", ""))


@dataclass(frozen=True, kw_only=True)
class Daemon:
    """began: a file that it writes when it begins. files: what it reads then; links count themselves."""

    unit: str
    began: str
    files: tuple[str, ...]

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"service {self.unit}"

    @property
    def state(self) -> Probe[DaemonFact]:
        """Asks for all of it."""
        files, began = " ".join(map(quote, self.files)), quote(self.began)
        script = (
            f"systemctl show -p UnitFileState -p ActiveState {quote(self.unit)} || exit 1\n"
            f"if [ -e {began} ]; then for f in {files}; do\n"
            f'  [ -z "$(find "$f" -prune -newer {began} 2>/dev/null)" ] || {{ echo "newer=$f"; break; }}\ndone; fi\n'
        )
        return Probe(script, DaemonFact.parse, DaemonFact())

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (self.state,)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        found = facts[self.state]
        changes = []
        if not found.enabled:
            script = f"systemctl daemon-reload && systemctl -q enable {quote(self.unit)}\n"
            changes.append(Change(summary=f"start {self.unit} at boot", script=script))
        if found.newer and found.active in UP:
            summary = f"restart {self.unit}: {found.newer} is newer than what runs"
            changes.append(Change(summary=summary, script=begin(self.unit)))
        return changes


@dataclass(frozen=True)
class NoDaemon:
    """A service that neither runs nor starts at boot. Its unit's file is somebody else's to remove, after this.

    systemd: else it is a SysV script, of which only the start at boot is looked at.
    """

    unit: str
    systemd: bool = True

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"no service {self.unit}"

    @property
    def _state(self) -> Probe[DaemonFact]:
        unit = quote(self.unit)
        script = f"systemctl show -p UnitFileState -p ActiveState {unit}\n"
        if not self.systemd:
            script = f"if chkconfig {unit} 2>/dev/null; then echo UnitFileState=enabled; fi\n"
        return Probe(script, DaemonFact.parse, DaemonFact())

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (self._state,)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        found = facts[self._state]
        if not found.enabled and found.active in ("inactive", "failed"):
            return []
        unit = quote(self.unit)
        if not self.systemd:
            return [Change(summary=f"do not start {self.unit} at boot", script=f"chkconfig {unit} off\n")]
        script = f"systemctl -q disable --now {unit} || exit 1\nsystemctl reset-failed {unit} 2>/dev/null; true\n"
        return [Change(summary=f"stop {self.unit}, now and at boot", script=script)]


@dataclass(frozen=True)
class TimerFact:
    """enabled: at boot. active: it will go off. outdated: its files are newer than what systemd knows of them."""

    enabled: bool = False
    active: bool = False
    outdated: bool = False

    @classmethod
    def parse(cls, text: str) -> TimerFact:
        """Read what the probe prints."""
        lines = text.split()
        return cls("UnitFileState=enabled" in lines, "ActiveState=active" in lines, "NeedDaemonReload=yes" in lines)


@dataclass(frozen=True)
class Timer:
    """A timer of ours under systemd, with the service of its name: it goes off as their files say."""

    unit: str

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"timer {self.unit}"

    @property
    def state(self) -> Probe[TimerFact]:
        """Asks for all of it."""
        timer, service = quote(f"{self.unit}.timer"), quote(f"{self.unit}.service")
        script = (
            f"systemctl show -p UnitFileState -p ActiveState -p NeedDaemonReload {timer} || exit 1\n"
            f"systemctl show -p NeedDaemonReload {service}\n"
        )
        return Probe(script, TimerFact.parse, TimerFact())

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (self.state,)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        found = facts[self.state]
        if found == TimerFact(enabled=True, active=True):
            return []
        timer = quote(f"{self.unit}.timer")
        script = f"systemctl daemon-reload && systemctl -q enable {timer} && systemctl restart {timer}\n"
        told = "by its new files" if found.enabled and found.active else "now and at boot"
        return [Change(summary=f"start the timer {self.unit} {told}", script=script)]


def begin(unit: str) -> str:
    """A fragment that starts a service, or starts it anew, and waits until it says that it is ready."""
    name = quote(unit)
    return (
        f"systemctl daemon-reload || exit 1\n"
        f"systemctl reset-failed {name} 2>/dev/null\n"
        f"systemctl restart {name} 2>/dev/null && exit 0\n"
        f"n=0; while [ $n -lt {PATIENCE} ]; do\n"
        f"  case $(systemctl is-active {name}) in active) exit 0 ;; failed|inactive) break ;; esac\n"
        "  sleep 1; n=$((n + 1))\ndone\n"
        f"echo 'its last messages:'; journalctl -q --no-pager -n 5 -o cat -u {name}; exit 1\n"
    )
