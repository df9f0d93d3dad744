"""What keeps a login from coming about, as errors with a sentence that says what to do; for `SSH` and `OpenSSH`."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from provision.errors import HostKeyTrouble, LoginRefused, Unreachable

TRUST = "Look at it and accept it with `provision trust INVENTORY`."
KEYGEN_SECONDS = 10


def unknown_key(host: str, shown: str = "") -> Unreachable:
    """A host whose key is in no file. shown: the key's fingerprint."""
    return HostKeyTrouble(f"the key of {host}{f' ({shown})' if shown else ''} is not in known_hosts.", hint=TRUST)


def changed_key(host: str, place: str) -> Unreachable:
    """A host whose key is not the one that is known. place: `file:line` of that."""
    file = place.rpartition(":")[0] or "known_hosts"
    return HostKeyTrouble(
        f"the key of {host} is not the one in known_hosts ({place}): another machine answers, or it was made anew.",
        hint=f"If it was made anew: remove that line (`ssh-keygen -R '{host}' -f {file}`), then `provision trust`.",
    )


def refused(host: str, user: str, keys: Sequence[Path], *, password: bool) -> Unreachable:
    """A login that is refused. keys: the key files that were offered; password: whether one was."""
    locked = [str(key) for key in keys if needs_passphrase(key)]
    if locked:
        hint = f"The key {locked[0]} has a passphrase: give it to the agent first (`ssh-add {locked[0]}`)."
    elif password:
        hint = "Check the password, and ssh.user."
    else:
        hint = "Check ssh.user, ssh.key_file and the agent (`ssh-add -l`), or give a password by --ask-pass."
    return LoginRefused(f"{host} refuses the login{f' of {user}' if user else ''}.", hint=hint)


def needs_passphrase(key: Path) -> bool:
    """Whether a private key's file cannot be read without its passphrase."""
    if not key.is_file():
        return False
    command = ["ssh-keygen", "-y", "-P", "", "-f", str(key)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=KEYGEN_SECONDS, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode != 0 and "passphrase" in done.stderr


def said_by_ssh(
    host: str, said: str, user: str, keys: Sequence[Path], *, password: bool, jump: str = ""
) -> Unreachable:
    """What the ssh program said before it gave up. jump: the hosts that it went through."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    last = lines[-1].rstrip(".") if lines else "it gave no reason"
    if "IDENTIFICATION HAS CHANGED" in said:
        place = re.search(r"Offending .*key in (\S+:\d+)", said)
        about = re.search(r"[Hh]ost key for (\S+) has changed", said)
        return changed_key(about[1] if about else host, place[1] if place else "known_hosts")
    if "Host key verification failed" in said:
        about = re.search(r"No .* host key is known for (\S+)", said)
        return unknown_key(about[1] if about else f"{host}, or of its jump host {jump}," if jump else host)
    if "Permission denied" in said or "Too many authentication failures" in said:
        about = re.search(r"(?:(\S+)@)?(\S+): Permission denied", said)
        return refused(about[2] if about else host, (about and about[1]) or user, keys, password=password)
    if "Could not resolve" in said or "Name or service not known" in said:
        return Unreachable(f"ssh cannot reach {host}: {last}.", hint="Correct the address, or the name service.")
    if "stdio forwarding failed" in said or "UNKNOWN port 65535" in said:
        why = next((line for line in lines if "open failed" in line or "Connection" in line), last).rstrip(".")
        return Unreachable(f"{host} cannot be reached by way of its jump host: {why}.", hint=AWAY)
    return Unreachable(f"ssh cannot reach {host}: {last}.", hint=AWAY)


AWAY = "Is it up, and the address right?"
