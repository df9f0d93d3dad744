"""Services of the system: running now and after every boot, with the configuration that their files hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from provision.change import Change
from provision.facts import AnyProbe, Facts, Probe, text_of
from provision.resources.files import File
from provision.transport import quote


@dataclass(frozen=True)
class UnitFact:
    """A service. stale: a file of its configuration is newer than its start."""

    enabled: bool = False
    active: bool = False
    stale: bool = False


def _parse(text: str) -> UnitFact:
    words = text.split()
    return UnitFact("enabled" in words, "active" in words, "stale" in words)


SYSTEMD = r"""
case $(systemctl is-enabled $u 2>/dev/null) in enabled*|static|generated|alias|indirect) echo enabled ;; esac
if systemctl -q is-active $u; then
  echo active
  # The link is made anew at every start; before systemd 240 there is only the time, in seconds.
  started=/run/systemd/units/invocation:$u.service
  if [ -L "$started" ]; then set -- -newer "$started"
  else set -- -newermt "$(systemctl show -p ActiveEnterTimestamp $u | cut -d= -f2)"; fi
fi
"""
SYSV = r"""
if chkconfig --list $u 2>/dev/null | grep -q '3:on'; then echo enabled; fi
if service $u status >/dev/null 2>&1; then
  echo active
  if [ -e /var/lock/subsys/$u ]; then set -- -newer /var/lock/subsys/$u; fi
fi
"""


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A service that runs now and after every boot. config: the files that it reads when it starts.

    systemd: else it is a SysV script. running: whether it is to be started; one that another resource starts is only
    enabled.
    """

    unit: str
    config: tuple[str, ...] = ()
    systemd: bool = True
    running: bool = True

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"service {self.unit}" if self.running else f"service {self.unit} at boot"

    @property
    def _state(self) -> Probe[UnitFact]:
        files = " ".join(quote(path) for path in self.config)
        newer = (
            f"if [ $# -gt 0 ]; then for f in {files}; do\n"
            '  if [ -e "$f" ] && [ -n "$(find "$f" "$@")" ]; then echo stale; fi\ndone; fi\n'
        )
        asks = SYSTEMD if self.systemd else SYSV
        script = f"u={quote(self.unit)}\nset --\n{asks}{newer if self.config else ''}true\n"
        return Probe(script, _parse, UnitFact())

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (self._state,)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        found = facts[self._state]
        if not found.enabled:
            summary = f"start {self.unit} {'now and ' if self.running and not found.active else ''}at boot"
            start = self._control("start") if self.running and not found.active else ""
            return [Change(summary=summary, script=self._enable() + start), *self._restart(found)]
        if self.running and not found.active:
            return [Change(summary=f"start {self.unit}", script=self._control("start"))]
        return self._restart(found)

    def _restart(self, found: UnitFact) -> list[Change]:
        if not (self.running and found.active and found.stale):
            return []
        return [Change(summary=f"restart {self.unit} with its new configuration", script=self._control("restart"))]

    def _enable(self) -> str:
        command = f"systemctl -q enable {quote(self.unit)}" if self.systemd else f"chkconfig {quote(self.unit)} on"
        return f"{command} || exit 1\n"

    def _control(self, verb: str) -> str:
        unit = quote(self.unit)
        if not self.systemd:
            return f"service {unit} {verb} || exit 1\n"
        last = f"journalctl -q --no-pager -n 5 -o cat -u {unit}"
        return f"systemctl {verb} {unit} || {{ echo 'its last messages:'; {last}; exit 1; }}\n"


@dataclass(frozen=True, kw_only=True)
class UnitOptions:
    """Settings of a systemd service beside those of its package, known to systemd; text "": there are none."""

    unit: str
    text: str

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"settings of service {self.unit}"

    @property
    def _file(self) -> File:
        return File(path=f"/etc/systemd/system/{self.unit}.service.d/pgherd.conf", text=self.text)

    @property
    def _outdated(self) -> Probe[bool]:
        ask = f"systemctl show -p NeedDaemonReload {quote(self.unit)}"
        return Probe(ask, lambda text: text.strip().endswith("=yes"), False)

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (*self._file.probes(), self._outdated)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        if not self.text:
            return self._none(facts)
        folder = f"mkdir -p -m 755 {quote(self._file.path.rpartition('/')[0])} || exit 1\n"
        reload = "systemctl daemon-reload\n"
        changes = [
            Change(
                summary=change.summary,
                script=f"{folder}(\n{change.script.rstrip()}\n) || exit 1\n{reload}",
                before=change.before,
                after=change.after,
            )
            for change in self._file.plan(facts)
        ]
        if changes or not facts[self._outdated]:
            return changes
        return [Change(summary="let systemd read its files again", script=reload)]

    def _none(self, facts: Facts) -> list[Change]:
        path = self._file.path
        found = facts[text_of(path)]
        if found.kind == "absent":
            return []
        script = f"rm -f {quote(path)} && systemctl daemon-reload\n"
        return [Change(summary=f"remove {path}", script=script, before=found.text)]
