"""The messages of pgoutput (protocol 1) that describe others: which columns a table's rows have, what was truncated.

Rows themselves are read by the server, in SQL. (Formats: PostgreSQL's manual, "Logical Replication Message Formats".)
Composes and reads; asks nobody.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from psycopg import sql


@dataclass(frozen=True)
class Layout:
    """A table's columns in the order in which the rows that follow in the stream have them."""

    relid: int
    columns: tuple[str, ...]

    def places(self, names: tuple[str, ...]) -> tuple[int, ...] | None:
        """Where those columns are, from 0; None where one is not there."""
        if not set(names) <= set(self.columns):
            return None
        return tuple(self.columns.index(name) for name in names)


def number(message: str, place: str) -> sql.SQL:
    """The query of the four bytes from there on (from 0) as a bigint.

    In SQL no operator on bits goes before another: each shift has its parentheses.
    """
    bytes_ = [f"get_byte({message}, {place} + {i})::bigint << {8 * (3 - i)}" for i in range(4)]
    return sql.SQL("({})".format(" | ".join(f"({byte})" for byte in bytes_)))


def layout(message: bytes) -> Layout:
    """Read a Relation message: R, oid, schema, name, identity, then of each column flags, name, type, modifier."""
    (relid,) = struct.unpack_from(">I", message, 1)
    at = message.index(b"\0", message.index(b"\0", 5) + 1) + 2
    (count,) = struct.unpack_from(">H", message, at)
    at, columns = at + 2, []
    for _ in range(count):
        end = message.index(b"\0", at + 1)
        columns.append(message[at + 1 : end].decode())
        at = end + 9
    return Layout(relid, tuple(columns))


def truncated(message: bytes) -> tuple[int, ...]:
    """The tables of a Truncate message: T, how many, options, the oid of each."""
    count, _ = struct.unpack_from(">IB", message, 1)
    return struct.unpack_from(f">{count}I", message, 6)
