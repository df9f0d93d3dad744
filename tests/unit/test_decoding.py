"""The messages of pgoutput that describe others, and the parts of the stream for which they do."""

from __future__ import annotations

import struct

from replicator.capture.decoding.keys import Stretch, stretches
from replicator.capture.decoding.messages import Layout, layout, truncated


def relation(relid: int, *columns: str) -> bytes:
    named = b"".join(b"\1" + name.encode() + b"\0" + struct.pack(">Ii", 25, -1) for name in columns)
    return b"R" + struct.pack(">I", relid) + b"public\0\xc3\xbc t\0d" + struct.pack(">H", len(columns)) + named


def test_a_relation_message_has_the_columns_in_order() -> None:
    found = layout(relation(4_000_000_000, "id", "ü x", ""))
    assert found == Layout(4_000_000_000, ("id", "ü x", ""))
    assert found.places(("ü x", "id")) == (1, 0)
    assert found.places(("id", "gone")) is None
    assert layout(relation(1)).columns == ()


def test_a_truncate_message_has_the_tables() -> None:
    assert truncated(b"T" + struct.pack(">IBII", 2, 3, 16384, 4_000_000_000)) == (16384, 4_000_000_000)


def test_a_layout_holds_until_the_next_one_of_its_table() -> None:
    first, other, second, third = Layout(1, ("id",)), Layout(2, ("id",)), Layout(1, ("id", "b")), Layout(1, ("b",))
    assert stretches([(1, first), (3, other), (5, second), (8, third)]) == {
        1: [Stretch(first, 1, 5), Stretch(second, 5, 8), Stretch(third, 8)],
        2: [Stretch(other, 3)],
    }
