"""The process in which a Python function decides conflicts: questions come as lines of JSON, answers go back so.

`python -m replicator.apply.judge MODULE|FILE.py FUNCTION SECONDS`; with 0 seconds it only loads the function.
`resolver` starts it, and ends it when it is silent. Numbers with a fraction are Decimals on both ways.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any, TextIO
from uuid import UUID

Function = Callable[[Any, Any, Any], object]

ORPHANED = 3
"""After so many times its seconds a function ends its process, if nobody else did."""


def load(place: str, function: str) -> Callable[..., object]:
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


def _judge(place: str, function: str) -> Function:
    """The function, which can be asked. Raises as `load`, and ValueError when it takes something else."""
    found = load(place, function)
    signature = inspect.signature(found)
    try:
        signature.bind(None, None, None)
    except TypeError as error:
        raise ValueError(f"{function}{signature} cannot be called with (incoming, local, info)") from error
    return found


def written(answer: object) -> str | None:
    """An answer as JSON text. Raises TypeError for what is neither a word nor a row."""
    if answer is None or isinstance(answer, str):
        return None if answer is None else json.dumps(answer)
    if not isinstance(answer, Mapping):
        raise TypeError(f"it answered {answer!r}, expected 'incoming', 'local', a mapping of columns, or None")
    return json.dumps({str(column): _value(column, value) for column, value in answer.items()})


def _value(column: object, value: object) -> object:
    """A column's value as JSON can hold it: exactly, so numbers with a fraction go as text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Decimal | float | date | time | UUID):  # a datetime is a date
        return str(value)
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    if isinstance(value, Mapping | Sequence):
        return json.loads(json.dumps(value, default=_inner))
    raise TypeError(f"it answered {value!r} for column {column}, which is no value of JSON")


def _inner(value: object) -> object:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"{value!r} is no value of JSON")


def main() -> None:
    """Say whether the function is there, then answer until nobody asks any more."""
    place, name, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    if not seconds:
        _judge(place, name)
        return
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the function prints is not an answer
    try:
        function = _judge(place, name)
    except Exception as error:
        _say(answers, None, f"{type(error).__name__}: {error}")
        return
    _say(answers, None, "")
    for line in sys.stdin:
        # Whoever asked may have died meanwhile. The signal's own action is to end the process, whatever it does.
        signal.setitimer(signal.ITIMER_REAL, ORPHANED * seconds)
        try:
            answer, problem = written(function(*json.loads(line, parse_float=Decimal))), ""
        except Exception as error:
            answer, problem = None, f"{type(error).__name__}: {error}"
        signal.setitimer(signal.ITIMER_REAL, 0)
        _say(answers, answer, problem)


def _say(answers: TextIO, answer: str | None, problem: str) -> None:
    answers.write(json.dumps([answer, problem]) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
