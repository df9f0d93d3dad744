"""What the doctor asks hosts: probes beside those that deploying has, all of them in one round trip."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from provision.facts import Probe

REPOSITORY_SECONDS = 40


@dataclass(frozen=True)
class Listener:
    """What listens at a port. name, folder: of its process, as far as they can be seen; a free port has no pid."""

    pid: int = 0
    name: str = ""
    folder: str = ""


TIMES = Probe("date +%s.%N", float, 0.0)
"""When the host thinks that it is, in seconds."""

SEMANAGE = Probe("command -v semanage >/dev/null 2>&1 && echo yes || echo no", lambda text: text == "yes", True)
"""Whether SELinux can be told of other places and ports."""

PYTHONS = Probe(
    'for n in 14 13 12 11; do if command -v python3.$n >/dev/null 2>&1; then echo "3.$n"; exit 0; fi; done; echo none',
    lambda text: "" if text == "none" else text,
    "",
)
"""The newest Python that the replicator can run under."""

SERVERS: Probe[tuple[str, ...]] = Probe(
    r"""for p in /proc/[0-9]*; do
  exe=$(readlink "$p/exe" 2>/dev/null) || continue
  case ${exe##*/} in postgres|postmaster) ;; *) continue ;; esac
  cwd=$(readlink "$p/cwd" 2>/dev/null) || continue
  [ ! -e "$cwd/postmaster.pid" ] || [ "$(head -n 1 "$cwd/postmaster.pid")" != "${p##*/}" ] || echo "$cwd"
done""",
    lambda text: tuple(text.split("\n")) if text else (),
    (),
)
"""The data directories of the servers that run there."""

KEYS: Probe[tuple[str, ...]] = Probe(
    r"""for f in /etc/yum.repos.d/*.repo; do
  [ -e "$f" ] || continue
  awk -F= -v file="$f" '
    /^\[/ { section = $0; on = 1 }
    /^[ \t]*enabled[ \t]*=/ { on = $2 + 0 }
    /^[ \t]*gpgkey[ \t]*=/ { keys[section] = $2; order[section] = on }
    { last[section] = on }
    END { for (s in keys) if (last[s]) print s " " keys[s] }' "$f"
done | while read -r section urls; do
  for url in $urls; do
    case $url in file://*) [ -e "${url#file://}" ] || echo "$section ${url#file://}" ;; esac
  done
done""",
    lambda text: tuple(text.split("\n")) if text else (),
    (),
)
"""The keys that repositories in use name and that are not there, with the repository before each."""


def repositories(installer: str) -> Probe[str]:
    """Asks whether the package repositories answer: nothing if so, else what the installer said."""
    command = "dnf -q makecache" if installer == "dnf" else "yum -q repolist"
    script = (
        f"command -v {installer} >/dev/null 2>&1 || {{ echo 'there is no {installer}'; exit 0; }}\n"
        f'if ! said=$(timeout {REPOSITORY_SECONDS} {command} 2>&1); then printf "%s\\n" "${{said:-no answer}}"; fi\n'
    )
    return Probe(script, lambda text: text.strip().rpartition("\n")[2], "")


def listener(address: str, port: int) -> Probe[Listener]:
    """Asks what listens at an address and port, or at all addresses and that port."""
    patterns = "|".join(f"{place}:{port:04X}" for place in _places(address))
    script = f"""\
inode=$(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk '$4 == "0A" && $2 ~ /^({patterns})$/ {{ print $10; exit }}')
[ -n "$inode" ] || {{ echo free; exit 0; }}
for f in /proc/[0-9]*/fd/*; do
  [ "$(readlink "$f" 2>/dev/null)" = "socket:[$inode]" ] || continue
  p=${{f#/proc/}}; p=${{p%%/*}}
  exe=$(readlink "/proc/$p/exe")
  echo "$p ${{exe##*/}} $(readlink "/proc/$p/cwd")"
  exit 0
done
echo "1 unknown"
"""
    return Probe(script, _listener, Listener())


def _places(address: str) -> Sequence[str]:
    """The addresses that conflict with one, as the kernel writes them."""
    everywhere = ["00000000", "0" * 32]
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return ["[0-9A-F]+"]
    if found.version == 6:
        return everywhere
    own = "".join(f"{part:02X}" for part in reversed(found.packed))
    return [own, *everywhere, f"0000000000000000FFFF0000{own}"]


def _listener(text: str) -> Listener:
    if text == "free":
        return Listener()
    pid, name, *folder = text.split(" ", 2)
    return Listener(int(pid), name, folder[0] if folder else "")


def identity() -> Probe[str]:
    """Asks under which account scripts run."""
    return Probe("id -un", str.strip, "root")
