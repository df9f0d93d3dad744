"""How `daemon` starts a master in the background: `python -m replicator.master --config FILE --ready-fd N`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from replicator import config, failpoint, lifeline, master
from replicator.errors import ReplicatorError


def main() -> int:
    """Detach, and be the master. How the start went goes to the pipe. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="replicator.master")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--ready-fd", type=int, required=True)
    options = parser.parse_args()
    lifeline.detach()
    try:
        failpoint.arm()
        settings = config.load(options.config)
        return master.run(settings, echo=False, ready=lambda: lifeline.tell_starter(options.ready_fd))
    except ReplicatorError as error:
        lifeline.tell_starter(options.ready_fd, error)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
