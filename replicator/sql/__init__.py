"""Statements that are fixed text live in files beside this one, where a DBA can open them in psql.

A file holds one script (`catalog/schema.sql`), or named queries, each under a line `-- name --`. Identifiers that vary
are written `{schema}` and filled in by the caller through `psycopg.sql`; a literal brace is then doubled.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from importlib import resources
from typing import LiteralString

from psycopg.sql import SQL, Identifier


@cache
def text(path: str) -> LiteralString:
    """The text of a file, by its path below this folder. It ships with the program: as good as literal."""
    return resources.files(__name__).joinpath(path).read_text(encoding="utf-8")


@cache
def queries(path: str) -> dict[str, LiteralString]:
    """The named queries of a file, by name."""
    parts = re.split(r"^-- (\w+) --$", text(path), flags=re.MULTILINE)
    return {name: body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}


@lru_cache(maxsize=256)
def in_schema(query: LiteralString, schema: str) -> str:
    """A query with a schema in place of each `{0}`; composed once, which takes longer than many a query."""
    return SQL(query).format(Identifier(schema)).as_string()


def names(folder: str) -> list[str]:
    """The paths of a folder's SQL files, sorted by name."""
    found = resources.files(__name__).joinpath(folder).iterdir()
    return sorted(f"{folder}/{file.name}" for file in found if file.name.endswith(".sql"))
