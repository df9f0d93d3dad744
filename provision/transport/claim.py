"""One run at a time on each host, whichever machine it comes from.

Every script holds a lock on the host while it runs (flock, descriptor 9 of the shell around it), and leaves the name of
its run beside the session of sshd that it came by. A run whose session lives on keeps others away; one whose session
has ended does not, but the next run waits for the step that it may have left running.
"""

from __future__ import annotations

import getpass
import os
import secrets
import socket
import time
from functools import cache

from provision.errors import Busy
from provision.transport.base import OnLine, OnSent, Result, Transport
from provision.transport.framing import quote

LEFT_OVER_SECONDS = 120.0
"""How long to wait for a step that a killed run has left running; steps that take longer are rare."""

ROUND_SECONDS = 10
"""How long a script waits for the lock before it comes back, so that somebody can be told."""

REFUSED = 75

GUARD = r"""
if command -v flock >/dev/null 2>&1; then
for d in /run/lock /var/lock /tmp; do [ -d $d ] && [ -w $d ] && break; done
l=$d/pgherd-$(id -u).lock
exec 9>>"$l"
(
  # of a process: its name, its parent, when it began
  look() {
    s=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    name=${s#*"("}; name=${name%")"*}
    set -- ${s##*") "}
    parent=$2; began=${20}
  }
  alive() { look "$1" && [ "$began" = "$2" ]; }
  # the first other run that lives
  other() {
    while read -r pid start run who; do
      [ "$run" != @RUN@ ] && [ "$pid" != "$session" ] && alive "$pid" "$start" && echo "$pid $who" && return 0
    done <"$l"
    return 1
  }
  session=; p=$$
  while [ "${p:-0}" -gt 1 ] && look "$p"; do
    case $name in sshd*|dropbear*) session=$p; since=$began; break ;; esac
    p=$parent
  done
  if ! flock -n 9; then
    if who=$(other); then echo "@MARK@ busy $who" >&2; exit 1; fi
    flock -w @SECONDS@ 9 || { echo "@MARK@ left $l" >&2; exit 1; }
  fi
  if who=$(other); then echo "@MARK@ busy $who" >&2; exit 1; fi
  kept=$(
    while read -r pid start run who; do
      [ "$pid" != "$session" ] && alive "$pid" "$start" && echo "$pid $start $run $who"
    done <"$l"
    [ -z "$session" ] || echo "$session $since @RUN@" @WHO@
  )
  printf '%s\n' "$kept" >"$l"
) || exit @REFUSED@
fi
"""


@cache
def run_id() -> str:
    """What this run, this process, is called on hosts."""
    return secrets.token_hex(8)


@cache
def who() -> str:
    """What people are told of this run."""
    name = os.environ.get("SUDO_USER") or getpass.getuser()
    began = time.strftime("%H:%M:%S UTC", time.gmtime())
    return f"{name}@{socket.gethostname()}, process {os.getpid()}, since {began}"


class Claimed:
    """A transport whose scripts run only while nobody else is at work on the host."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def run(
        self,
        script: str,
        *,
        as_user: str = "",
        timeout: float | None = None,
        on_line: OnLine | None = None,
        on_sent: OnSent | None = None,
    ) -> Result:
        """See `Transport.run`. Raises Busy."""
        mark = f"@{secrets.token_hex(8)}"
        # The lock stays with the shell around the script: what the script starts, daemons too, does not inherit it.
        # Something must follow, or that shell would become the script instead of waiting for it.
        sent = f"{_guard(mark)}(\n{script.rstrip()}\n) 9>&-\nexit $?\n"
        limit = timeout + ROUND_SECONDS if timeout else None
        deadline = time.monotonic() + LEFT_OVER_SECONDS
        while True:
            result = self._transport.run(sent, as_user=as_user, timeout=limit, on_line=on_line, on_sent=on_sent)
            if result.rc != REFUSED or mark not in result.err:
                return result
            _, _, said = result.err.partition(f"{mark} ")
            kind, _, about = said.splitlines()[0].partition(" ")
            if kind == "busy":
                raise _busy(about)
            if time.monotonic() > deadline:
                raise Busy(
                    f"a step of an earlier run still holds {about} there after {LEFT_OVER_SECONDS:g} s.",
                    hint=f"See which process it is (`fuser {about}`).",
                )

    def prepare(self) -> None:
        """See `Transport.prepare`."""
        self._transport.prepare()

    def join(self, peer: socket.socket, address: str, port: int, *, sure: bool = False) -> None:
        """See `Transport.join`."""
        self._transport.join(peer, address, port, sure=sure)

    def kill(self) -> None:
        """See `Transport.kill`."""
        self._transport.kill()

    def close(self) -> None:
        """See `Transport.close`."""
        self._transport.close()


def _guard(mark: str) -> str:
    words = {
        "@MARK@": mark,
        "@RUN@": run_id(),
        "@WHO@": quote(who()),
        "@SECONDS@": str(ROUND_SECONDS),
        "@REFUSED@": str(REFUSED),
    }
    text = GUARD
    for word, value in words.items():
        text = text.replace(word, value)
    return text


def _busy(about: str) -> Busy:
    session, _, name = about.partition(" ")
    return Busy(
        f"another provision run ({name}) is working on it.",
        hint=f"Wait until it has ended; if that machine is gone, end its session on the host: `kill {session}`.",
    )
