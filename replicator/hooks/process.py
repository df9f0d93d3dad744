"""The process in which a hook's Python function runs: calls come as lines of JSON, answers go back so.

`python -m replicator.hooks.process MODULE|FILE.py FUNCTION --parent=PID`; with another third argument it only loads the
function. `caller` starts it, and ends it when it is silent; it dies with its controller, though a function be stuck.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable

from replicator import lifeline
from replicator.apply.judge import load


def main() -> None:
    """Answer until nobody calls any more."""
    tie = sys.argv[3] if len(sys.argv) > 3 else ""
    if tie.startswith("--parent="):
        lifeline.tie_by_signal(int(tie.removeprefix("--parent=")))
    elif tie:
        load(sys.argv[1], sys.argv[2])
        return
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the function prints is not an answer
    function: Callable[..., object] | None = None
    for line in sys.stdin:
        try:
            function = function or load(sys.argv[1], sys.argv[2])
            answer, error = function(*json.loads(line)), ""
        except Exception as problem:
            answer, error = None, f"{type(problem).__name__}: {problem}"
        answers.write(json.dumps([answer, error], default=str) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
