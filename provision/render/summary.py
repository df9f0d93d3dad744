"""What came of a run as one JSON object, for whoever reads it later. `schema` changes when a field does."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from provision.apply.events import PlaceEnded
from provision.errors import InputError
from provision.render.report import Report, conclusion

SCHEMA = 1


def summary(report: Report, **about: object) -> dict[str, Any]:
    """The report as plain data. about: what else is known of the run."""
    proved = report.proved
    return {
        "schema": SCHEMA,
        **about,
        "exit_code": report.code,
        "changes": report.changes,
        "text": conclusion(report),
        "hosts": [_host(place) for place in report.places],
        "proof": [asdict(table) for table in proved.proof.tables] if proved else None,
    }


def _host(place: PlaceEnded) -> dict[str, Any]:
    tasks = [
        {
            "task": result.task,
            "result": str(result.outcome),
            "changes": result.changes,
            "seconds": round(result.seconds, 3),
            "message": result.message,
        }
        for result in place.results
    ]
    return {"host": place.place, "code": place.code, "seconds": round(place.seconds, 3), "tasks": tasks}


def write(path: Path, value: dict[str, Any], mask: Callable[[str], str]) -> None:
    """Write it to a file, whole or not at all. Raises InputError."""
    new = path.with_name(path.name + ".new")
    try:
        new.write_text(mask(json.dumps(value, indent=2, default=str, ensure_ascii=False)) + "\n", encoding="utf-8")
        new.replace(path)
    except OSError as error:
        raise InputError(f"--report {path}: {error.strerror}") from error
