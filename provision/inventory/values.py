"""What single values of an inventory may look like: names, tables, durations, sizes, paths; and what a section is.

Each type here reads one value, and says what was expected where it cannot. The sections that are made of them are in
`settings`, `replication`, `system`, `reach` and `tls`.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, InstanceOf
from pydantic_core import PydanticCustomError

from provision.inventory.marks import SecretSource

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
TABLE = re.compile(r'(?:(?:"(?:[^"]|"")+"|[^".]+)\.)?(?:"(?:[^"]|"")+"|[^".]+)')
DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|min|h|d)?")
SIZE = re.compile(r"\d{1,6} ?(kB|MB|GB|TB)")
UNITS = {"ms": 0.001, None: 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
YEAR = 366 * UNITS["d"]


def expected(what: str) -> PydanticCustomError:
    """The error for a value that is something else."""
    return PydanticCustomError("expected", "{expected}", {"expected": what})


def _whole(value: object) -> object:
    if isinstance(value, bool):
        raise expected("a whole number")
    return value


def _name(value: object) -> object:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise expected("a name: a letter, then letters, digits or underscores, 63 at most")
    return value


def _table(value: object) -> object:
    if not isinstance(value, str) or not TABLE.fullmatch(value.strip()):
        raise expected("a table name: name or schema.name, odd names in double quotes")
    return value.strip()


def many(value: object) -> object:
    """One text as a list of one."""
    return (value,) if isinstance(value, str) else value


def empty(value: object) -> object:
    """A key without a value as an empty mapping."""
    return {} if value is None else value


def _duration(value: object) -> object:
    if value is None or isinstance(value, timedelta):
        return value
    found = DURATION.fullmatch(str(value)) if isinstance(value, str | int | float) else None
    seconds = float(found[1]) * UNITS[found[2]] if found else 0
    if not 0 < seconds < YEAR:
        raise expected("a duration such as 30s, 5m or 1h")
    return timedelta(seconds=seconds)


def _size(value: object) -> object:
    if not isinstance(value, str) or not SIZE.fullmatch(value):
        raise expected("a size such as 500MB or 10GB")
    return value


def _host_path(value: object) -> object:
    if not isinstance(value, str) or not value.startswith("/"):
        raise expected("an absolute path")
    return value


def _socket_dir(value: object) -> object:
    return value if value == "" else _host_path(value)


Whole = Annotated[int, BeforeValidator(_whole)]
Word = Annotated[str, Field(min_length=1)]
Port = Annotated[Whole, Field(ge=1, le=65535)]
Name = Annotated[str, BeforeValidator(_name)]
Names = Annotated[tuple[Name, ...], BeforeValidator(many)]
Table = Annotated[str, BeforeValidator(_table)]
TableNames = Annotated[tuple[Table, ...], BeforeValidator(many)]
Texts = Annotated[tuple[Word, ...], BeforeValidator(many)]
HostPath = Annotated[PurePosixPath, BeforeValidator(_host_path)]
SocketDir = Annotated[str, BeforeValidator(_socket_dir)]
Duration = Annotated[timedelta, BeforeValidator(_duration)]
Size = Annotated[str, BeforeValidator(_size)]
Secretly = InstanceOf[SecretSource]


class Section(BaseModel):
    """A part of the inventory that takes only the keys that it knows."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, populate_by_name=False)
