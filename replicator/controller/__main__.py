"""How the master starts a controller: `python -m replicator.controller --config FILE --sync NAME --parent PID`.

Without a sync it is one in reserve, which is told its sync when it is needed (`master.launcher`).
"""

from __future__ import annotations

import argparse
import signal
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
    parser.add_argument("--sync")
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--echo", action="store_true")
    options = parser.parse_args()
    name = options.sync or _stand_by(options.parent)
    lifeline.tie_to_parent(options.parent)
    stop = Stop()
    install_handlers(stop)
    setproctitle(f'pgherd controller: sync "{name}"')
    failpoint.arm()
    settings = config.load(options.config)
    logs.set_up(settings.log_file, name, master=False, echo=options.echo)
    return controller.run(Connector(settings), name, stop, LinkRunner)


def _stand_by(parent: int) -> str:
    """Be in reserve; the sync, once it is known."""
    lifeline.tie_by_signal(parent)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # there is nothing to be ended in good order
    setproctitle("pgherd controller: in reserve")
    return lifeline.await_word()


if __name__ == "__main__":
    sys.exit(main())
