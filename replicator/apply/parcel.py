"""A small table's part of a batch, carried in memory: read from the source, given to the target as arrays.

Few rows come as a question's answer (`answered`), more by COPY (`read`). COPY into the target takes round trips of its
own; arrays are parameters of one statement, which goes with the batch's others. Every value travels in its text form,
as its type's own functions write and read it. What is too much to hold in memory is given back as far as it has come,
and what cannot travel so (`fits`) never gets here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import psycopg
from psycopg.pq.abc import PGresult

from replicator.relations import Relation

MOST = 128 * 1024
"""Bytes of a parcel: what is more goes by COPY, so that memory stays flat."""

FEW = 32
"""Rows that come as an answer, which is in memory before it can be looked at."""

LITTLE = 16 * 1024
"""Bytes of a parcel that is given to each statement that writes it, rather than staged once."""

BY_SERVER = frozenset({"money", '"char"', "xml"})
"""Types whose text depends on a server's version or settings."""

SEMICOLON = "box"
"""The one type whose arrays are not separated by commas."""

ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
MEANT = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
"""What COPY's text form escapes by a letter; any other character after a backslash is meant as it is."""


@dataclass(frozen=True)
class Parcel:
    """arrays: a text form of an array for each column of the COPY, of equally many elements; none without rows.

    size: in bytes. rows: how many.
    """

    arrays: tuple[str, ...]
    size: int
    rows: int

    @property
    def gone(self) -> bool:
        """Whether the first column says of a row that it is gone."""
        return bool(self.arrays) and '"t"' in self.arrays[0]

    @property
    def kept(self) -> bool:
        """Whether it says of a row that it is not."""
        return bool(self.arrays) and '"f"' in self.arrays[0]


def fits(relation: Relation) -> bool:
    """Whether a table's values mean the same as text on every server."""
    return relation.binary and all(c.stage_type.removesuffix("[]") not in BY_SERVER for c in relation.written)


def array_type(type_: str) -> str:
    """The type of array that carries values of a type."""
    # An array of arrays would lose where one ends: they travel as text, and so does what has no comma between.
    return "text[]" if type_.endswith("[]") or type_ == SEMICOLON else f"{type_}[]"


def read(stream: psycopg.Copy) -> Parcel | bytes:
    """What COPY sends in its text form, if it is little enough; else what has come of it so far."""
    begun = bytearray()
    while data := stream.read():
        begun += data
        if len(begun) > MOST:
            return bytes(begun)
    return pack(bytes(begun))


def answered(rows: PGresult) -> Parcel:
    """A parcel of the rows that a question was answered with, in text form."""
    columns = [[rows.get_value(row, column) for row in range(rows.ntuples)] for column in range(rows.nfields)]
    size = sum(len(value) for column in columns for value in column if value is not None)
    return Parcel(
        tuple(_array([_quoted(value) for value in column]) for column in columns if column), size, rows.ntuples
    )


def pack(rows: bytes) -> Parcel:
    """A parcel of rows in COPY's text form."""
    fields = [line.split(b"\t") for line in rows.split(b"\n")[:-1]]
    columns = zip(*fields, strict=True)
    return Parcel(
        tuple(_array([_quoted(_value(field)) for field in column]) for column in columns), len(rows), len(fields)
    )


def _array(elements: Iterable[bytes]) -> str:
    return (b"{" + b",".join(elements) + b"}").decode()


def _value(field: bytes) -> bytes | None:
    """What a field of COPY's text form means."""
    if field == rb"\N":
        return None
    return ESCAPED.sub(lambda found: MEANT.get(found[1], found[1]), field) if b"\\" in field else field


def _quoted(value: bytes | None) -> bytes:
    """A value as an element of an array's text form."""
    if value is None:
        return b"NULL"
    return b'"' + value.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
