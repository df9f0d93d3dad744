"""How the daemon's processes begin and hang together: away from the terminal, and never without their parent.

A controller whose master dies, however it dies, is gone at once, which is safe because each batch is one transaction.
The master keeps the controller's standard input open; all that it ever writes to it is which sync one in reserve is to
serve. The starter keeps a pipe open until the master has said how its start went. Starting and restarting is left to
`daemon` and `master`.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import sys
import threading
from dataclasses import asdict, dataclass

from replicator.errors import AlreadyRunning, ReplicatorError

PR_SET_PDEATHSIG = 1
ORPHANED = 3
"""The exit code of a process whose parent has died."""


def tie_to_parent(parent: int) -> None:
    """Die when the process `parent`, which started this one, dies. Call it first of all."""
    tie_by_signal(parent)
    threading.Thread(target=_leave_at_end_of_input, name="lifeline", daemon=True).start()


def tie_by_signal(parent: int) -> None:
    """The same where Linux sees to it; for a process that reads its standard input itself, and so hears elsewhere too.

    There it is the thread that counts: it dies with the one that started it.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the kernel was asked
        os._exit(ORPHANED)


def _leave_at_end_of_input() -> None:
    while os.read(0, 4096):
        pass
    os._exit(ORPHANED)


def await_word() -> str:
    """What the parent writes to the standard input of this process, up to a zero byte. Ends with the parent."""
    heard = b""
    while not heard.endswith(b"\0"):
        part = os.read(0, 4096)
        if not part:
            os._exit(ORPHANED)
        heard += part
    return heard[:-1].decode()


def detach() -> None:
    """Go on in the background: nobody's child but init's, in a session of its own. Call it before threads start."""
    if os.fork():
        os._exit(0)
    os.setsid()
    os.chdir("/")
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def tell_system() -> None:
    """Tell the service manager that this process is ready, if it is the one that started it (sd_notify)."""
    where = os.environ.get("NOTIFY_SOCKET", "")
    if not where:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as messenger:
        messenger.connect("\0" + where[1:] if where.startswith("@") else where)
        messenger.send(b"READY=1")


@dataclass(frozen=True)
class Word:
    """What a starting process says to its starter. error: why it did not start; empty when it did.

    outrun: another one was there first.
    """

    pid: int
    error: str = ""
    exit_code: int = 0
    outrun: bool = False


def tell_starter(fd: int, error: ReplicatorError | None = None) -> None:
    """Say how the start went. A starter that has lost patience and gone is no reason to fail."""
    word = Word(os.getpid(), str(error or ""), error.exit_code if error else 0, isinstance(error, AlreadyRunning))
    with contextlib.suppress(OSError), os.fdopen(fd, "w") as pipe:
        pipe.write(json.dumps(asdict(word)) + "\n")


def hear_from_started(fd: int, seconds: float) -> Word | None:
    """What the started process says within that time; None when it ends, or goes on, without a word."""
    heard = b""
    while not heard.endswith(b"\n"):
        if not select.select([fd], [], [], seconds)[0]:
            return None
        part = os.read(fd, 65536)
        if not part:
            return None
        heard += part
    return Word(**json.loads(heard))
