"""Packages of the operating system: installed ones, and ones as new as the repositories have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from provision.change import Change
from provision.facts import AnyProbe, Facts, Probe
from provision.transport import quote

LOCK_SECONDS = 60
CUT = "/var/lib/rpm/.pgherd-installing"
"""There while the package manager works for us. After a power cut rpm counts packages as installed whose files are
empty, and only this says that there may be some."""

UNLOCKED = f"""\
# Wait until nobody else installs packages; say who does when that takes too long.
n=0
while :; do
  holder=
  for f in /var/lib/dnf/rpmdb_lock.pid /var/cache/dnf/metadata_lock.pid /var/cache/dnf/download_lock.pid \\
           /var/run/yum.pid; do
    [ ! -s $f ] || p=$(cat $f 2>/dev/null) || p=
    if [ -s $f ] && [ -n "$p" ] && kill -0 "$p" 2>/dev/null; then holder=$p; fi
  done
  [ -n "$holder" ] || break
  n=$((n + 1))
  [ $n -le {LOCK_SECONDS} ] || {{
    echo "another program has held the package manager for {LOCK_SECONDS} s: process $holder," \\
         "$(ps -o args= -p "$holder" | head -n 1). Let it end, then run this again."
    exit 1
  }}
  sleep 1
done
"""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def missing_of(names: Sequence[str]) -> str:
    """A fragment that prints those of some packages that are not installed, under their own names or another's."""
    words = " ".join(quote(name) for name in names)
    one = f'for p in {words}; do rpm -q --whatprovides "$p" >/dev/null 2>&1 || echo "$p"; done'
    return f"rpm -q --whatprovides {words} >/dev/null 2>&1 || {one}\n"  # mostly all are there: one question for all


def transaction(command: str) -> str:
    """A fragment that lets the package manager work, alone, and leaves a trace if it is cut short."""
    return f"{UNLOCKED}: >{CUT} && sync {CUT}\n{command}; c=$?\nsync; rm -f {CUT}\n[ $c = 0 ] || exit 1\n"


def install(installer: str, names: Sequence[str]) -> str:
    """A fragment that installs packages. yum is content when only some of several are to be had; this is not."""
    words = " ".join(quote(name) for name in names)
    return (
        f"{transaction(f'{installer} -y -q install {words}')}"
        f"left=$(\n{missing_of(names)})\n"
        '[ -z "$left" ] || { echo "Unable to find a match:" $left; exit 1; }\n'
    )


@dataclass(frozen=True, kw_only=True)
class Packages:
    """Installed packages."""

    packages: tuple[str, ...]
    installer: str = "dnf"

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"packages {', '.join(self.packages)}"

    @property
    def _missing(self) -> Probe[tuple[str, ...]]:
        return Probe(missing_of(self.packages), _words, self.packages)

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (self._missing,)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        missing = facts[self._missing]
        if not missing:
            return []
        script = install(self.installer, missing)
        return [Change(summary=f"install {', '.join(missing)}", script=script, after="\n".join(missing))]


@dataclass(frozen=True, kw_only=True)
class NoPackages:
    """Packages that are not installed. What they needed, and what others need too, stays."""

    packages: tuple[str, ...]
    installer: str = "dnf"

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return f"no packages {', '.join(self.packages)}"

    @property
    def _there(self) -> Probe[tuple[str, ...]]:
        names = " ".join(quote(package) for package in self.packages)
        return Probe(f'for p in {names}; do if rpm -q "$p" >/dev/null 2>&1; then echo "$p"; fi; done\n', _words, ())

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (self._there,)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        there = facts[self._there]
        if not there:
            return []
        script = f"{UNLOCKED}{self.installer} -y -q remove {' '.join(quote(package) for package in there)}\n"
        return [Change(summary=f"remove {', '.join(there)}", script=script, before="\n".join(there))]


@dataclass(frozen=True)
class WholePackages:
    """No packages that an installation of ours has left in pieces, because it was cut short."""

    installer: str = "dnf"

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return "whole packages"

    @property
    def _cut(self) -> Probe[bool]:
        return Probe(f"if [ -e {CUT} ]; then echo yes; else echo no; fi", lambda text: text.strip() == "yes", False)

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (self._cut,)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        if not facts[self._cut]:
            return []
        script = (
            f"[ -e {CUT} ] || exit 0\n{UNLOCKED}since=$(stat -c %Y {CUT}) || exit 1\n"
            "again=$(rpm -qa --qf '%{INSTALLTIME} %{NAME}\\n' |"
            ' awk -v s="$since" \'$1 >= s - 5 && $2 != "gpg-pubkey" { print $2 }\')\n'
            f'[ -z "$again" ] || {self.installer} -y -q reinstall $again || exit 1\nsync; rm -f {CUT}\n'
        )
        return [Change(summary="install again what a cut installation left", script=script)]


@dataclass(frozen=True)
class UpdateFact:
    """packages: those that are to be had newer. reboot: the kernel that waits for one; empty: none."""

    packages: tuple[str, ...] = ()
    reboot: str = ""


@dataclass(frozen=True, kw_only=True)
class Updates:
    """Packages as new as the repositories have them: all, or those with security notices. Nothing is rebooted.

    plugin: the package that teaches the installer about security notices, where it needs one.
    """

    kind: Literal["security", "all"]
    installer: str = "dnf"
    plugin: str = ""

    @property
    def name(self) -> str:
        """See `Resource.name`."""
        return "updates" if self.kind == "all" else "security updates"

    @property
    def _option(self) -> str:
        return " --security" if self.kind == "security" else ""

    @property
    def _available(self) -> Probe[UpdateFact]:
        need = f"rpm -q {quote(self.plugin)} >/dev/null 2>&1 || {{ echo {quote(self.plugin)}; exit 0; }}\n"
        script = (
            f"{need if self.plugin else ''}"
            f"said=$({self.installer} -q{self._option} check-update 2>&1); c=$?\n"
            'case $c in 0|100) ;; *) printf "%s\\n" "$said" >&2; exit 1 ;; esac\n'
            "newest=$(rpm -q --last kernel-core kernel 2>/dev/null"
            " | awk '/^kernel/ { sub(/^kernel-(core-)?/, \"\", $1); print $1; exit }')\n"
            'if [ -n "$newest" ] && [ "$newest" != "$(uname -r)" ]; then echo "reboot $newest"; fi\n'
            # A name too long for its column has a line of its own.
            "[ $c = 0 ] || printf '%s\\n' \"$said\" |"
            " awk '/^Obsoleting/ { exit } (NF == 3 || NF == 1) && $1 ~ /\\./ { print $1 }'\n"
        )
        return Probe(script, _updates, UpdateFact())

    def probes(self) -> Sequence[AnyProbe[Any]]:
        """See `Resource.probes`."""
        return (self._available,)

    def plan(self, facts: Facts) -> list[Change]:
        """See `Resource.plan`."""
        found = facts[self._available]
        if not found.packages:
            return []
        if found.packages == (self.plugin,):
            return [Change(summary=f"install {self.plugin}", script=install(self.installer, found.packages))]
        number = f"{len(found.packages)} package{'' if len(found.packages) == 1 else 's'}"
        script = f"{transaction(f'{self.installer} -y -q{self._option} update')}{REBOOT}"
        return [Change(summary=f"update {number}", script=script, after="\n".join(found.packages))]


REBOOT = """\
newest=$(rpm -q --last kernel-core kernel 2>/dev/null | awk '/^kernel/ { print $1; exit }')
case $newest in
  ''|*"$(uname -r)"*) ;;
  *) echo "reboot the host when it suits: $newest is installed, $(uname -r) runs" ;;
esac
"""


def _updates(text: str) -> UpdateFact:
    lines = text.splitlines()
    reboot = [line.partition(" ")[2] for line in lines if line.startswith("reboot ")]
    return UpdateFact(tuple(line for line in lines if not line.startswith("reboot ")), "".join(reboot))
