"""Outlives the process that a lab is for by a moment, and takes the lab down: it may have been killed.

    python -m tests.lab.reaper LAB

Started with a pipe on its standard input, which closes when that process ends, however it ends.
"""

from __future__ import annotations

import signal
import sys

from tests.lab.lab import remove


def main(lab: str) -> None:
    """Wait for the end, then remove what is left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    print("watching", flush=True)
    sys.stdin.read()
    remove(lab)


if __name__ == "__main__":
    main(*sys.argv[1:])
