"""Looks at the keys of hosts and of the jump hosts on the way, and writes down those that somebody has accepted.

The ssh program is what looks, for both ways of connecting: they read the same files. A jump host comes first, since
what is behind it can only be seen through it.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from provision.inventory import Host
from provision.tasks import Site
from provision.transport import hostkeys
from provision.transport.login import Login, login_to
from provision.transport.openssh import CONNECT_SECONDS, effective, whereto


class State(StrEnum):
    """How a key stands."""

    KNOWN = "known"
    NEW = "new"
    CHANGED = "changed"
    AWAY = "away"

    @property
    def code(self) -> int:
        """What it adds to the exit code."""
        return {State.CHANGED: 1, State.AWAY: 4}.get(self, 0)


@dataclass(frozen=True)
class Shown:
    """The key that a host shows. name: what known_hosts calls it; lines: what to write there; file: where."""

    host: str
    name: str
    state: State
    said: str
    fingerprint: str = ""
    file: str = ""
    lines: tuple[str, ...] = ()


def look(site: Site, hosts: Sequence[Host], forks: int) -> list[Shown]:
    """The keys of hosts, and before them those of their jump hosts. Asks for no login."""
    logins = {host.name: login_to(host, site.keeper) for host in hosts if not host.local}
    jumps: dict[str, Login] = {}
    with tempfile.TemporaryDirectory(prefix="pgherd-keys-") as folder:
        accepted = Path(folder) / "jumps"
        for login in logins.values():
            for jump in _jumps(login):
                jumps.setdefault(jump.host, jump)
        found = [_look(name, login, Path(folder), accepted) for name, login in jumps.items()]
        # Only to look further: what the jump hosts show now is written down when somebody has said so.
        accepted.write_text("".join(f"{line}\n" for shown in found for line in shown.lines))
        with ThreadPoolExecutor(forks) as pool:
            return [*found, *(pool.map(lambda item: _look(item[0], item[1], Path(folder), accepted), logins.items()))]


def accept(new: Sequence[Shown]) -> None:
    """Write keys down."""
    for shown in new:
        hostkeys.append(Path(shown.file), shown.lines)


def _jumps(login: Login) -> list[Login]:
    """The jump hosts before a host, outermost first."""
    way = effective(login).get("proxyjump", ["none"])[0]
    found: list[Login] = []
    for hop in way.split(",") if way != "none" else ():
        user, _, rest = hop.removeprefix("ssh://").rpartition("@")
        name, _, port = rest.partition(":") if rest.count(":") == 1 else (rest, "", "")
        jump = Login(host=name, user=user or None, port=int(port) if port else None, config=login.config)
        found += [*(_jumps(jump) if not found else []), replace(jump, jump=",".join(one.host for one in found))]
    return found


def _look(host: str, login: Login, folder: Path, accepted: Path) -> Shown:
    settings = effective(login)
    files = [Path(name).expanduser() for name in settings.get("userknownhostsfile", [""])[0].split()]
    name = settings.get("hostkeyalias", [""])[0]
    name = name or hostkeys.named(settings["hostname"][0], int(settings["port"][0]))
    seen = folder / f"{host}.seen"
    said = _knock(login, seen, [*files, accepted])
    lines = seen.read_text().splitlines() if seen.exists() else []
    shown = [key for _, key in hostkeys.known([seen], name)]
    if not shown:
        return Shown(host, name, State.AWAY, f"shows no key: {said}")
    prints = ", ".join(hostkeys.fingerprint(key) for key in shown)
    places = dict(hostkeys.known([*files, *_system(settings)], name))
    if any(key == one for key in places.values() for one in shown):
        return Shown(host, name, State.KNOWN, "known", prints)
    other = [place for place, key in places.items() if key.get_name() in {one.get_name() for one in shown}]
    if other:
        hint = f"remove it if the host was made anew: ssh-keygen -R '{name}' -f {other[0].rpartition(':')[0]}"
        return Shown(host, name, State.CHANGED, f"CHANGED, {other[0]} has another ({hint})", prints)
    return Shown(host, name, State.NEW, "new", prints, str(files[0]), tuple(lines))


def _system(settings: dict[str, list[str]]) -> list[Path]:
    return [Path(name) for name in settings.get("globalknownhostsfile", [""])[0].split()]


def _knock(login: Login, seen: Path, known: Sequence[Path]) -> str:
    """Let ssh write down the key that a host shows, in a file of its own; what it complained of last.

    The way there is ssh's own, with the jump hosts' keys as they are known or were shown before.
    """
    keyfiles = " ".join(str(path) for path in known)
    options = {
        "UserKnownHostsFile": str(seen),
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "accept-new",
        "HashKnownHosts": "no",
        "UpdateHostKeys": "no",
        "CheckHostIP": "no",
        "PreferredAuthentications": "none",
        "BatchMode": "yes",
        "ControlMaster": "no",
        "ControlPath": "none",
        "ConnectTimeout": str(CONNECT_SECONDS),
        "LogLevel": "ERROR",
    }
    way = effective(login).get("proxyjump", ["none"])[0]
    if way != "none":
        options |= {"ProxyJump": "none", "ProxyCommand": _through(login, way, keyfiles)}
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    command = ["ssh", *words, *whereto(replace(login, jump="", proxy="" if way != "none" else login.proxy))]
    try:
        done = subprocess.run(
            [*command, "--", login.host, "true"],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            timeout=3 * CONNECT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {3 * CONNECT_SECONDS} s"
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return lines[-1] if lines else "it gave no reason"


def _through(login: Login, way: str, keyfiles: str) -> str:
    """The command that goes by way of the jump hosts, with the keys of those that were just shown."""
    *before, last = way.split(",")
    user, _, rest = last.removeprefix("ssh://").rpartition("@")
    name, _, port = rest.partition(":")
    words = ["ssh", "-o", f"UserKnownHostsFile='{keyfiles}'", "-o", "BatchMode=yes", "-W", "'[%h]:%p'"]
    words += ["-F", str(login.config)] if login.config else []
    words += ["-J", ",".join(before)] if before else []
    words += ["-l", user] if user else []
    words += ["-p", port] if port else []
    return " ".join([*words, name])
