"""How the master starts a controller: `python -m replicator.controller --config FILE --sync NAME --parent PID`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from setproctitle import setproctitle

from replicator import config, controller, failpoint, lifeline, logs
from replicator.errors import ReplicatorError
from replicator.postgres import Connector
from replicator.signals import Stop, install_handlers
from replicator.syncrun import LinkRunner


def main() -> int:
    """Be the controller of a sync. Returns the exit code."""
    try:
        return _start()
    except ReplicatorError as error:  # the configuration, most likely; stderr goes to the log
        print(error, file=sys.stderr)
        return error.exit_code


def _start() -> int:
    parser = argparse.ArgumentParser(prog="replicator.controller")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--sync", required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--echo", action="store_true")
    options = parser.parse_args()
    lifeline.tie_to_parent(options.parent)
    stop = Stop()
    install_handlers(stop)
    setproctitle(f'pgherd controller: sync "{options.sync}"')
    failpoint.arm()
    settings = config.load(options.config)
    logs.set_up(settings.log_file, options.sync, master=False, echo=options.echo)
    return controller.run(Connector(settings), options.sync, stop, LinkRunner)


if __name__ == "__main__":
    sys.exit(main())
