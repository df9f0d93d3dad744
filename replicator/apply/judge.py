"""The process in which a Python function decides conflicts: questions come as lines of JSON, answers go back so.

`python -m replicator.apply.judge MODULE|FILE.py FUNCTION`. `resolver` starts it, and ends it when it is silent.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Function = Callable[[Any, Any, Any], object]


def load(place: str, function: str) -> Function:
    """The function. Raises whatever importing raises, and ValueError when it is not there."""
    if place.endswith(".py"):
        spec = importlib.util.spec_from_file_location(Path(place).stem, place)
        if spec is None or spec.loader is None:
            raise ValueError(f"{place} cannot be read as Python")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    else:
        module = importlib.import_module(place)
    found = getattr(module, function, None)
    if not callable(found):
        raise ValueError(f"{place} has no function {function}")
    return found  # type: ignore[no-any-return]


def main() -> None:
    """Answer until nobody asks any more; with a third argument only load the function."""
    if len(sys.argv) > 3:
        load(sys.argv[1], sys.argv[2])
        return
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the function prints is not an answer
    function: Function | None = None
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
