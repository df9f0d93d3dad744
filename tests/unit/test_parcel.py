"""Rows in COPY's text form become arrays: what stands for what."""

from __future__ import annotations

import pytest

from replicator.apply import parcel


@pytest.mark.parametrize(
    ("field", "element"),
    [
        (rb"\N", "NULL"),
        (b"NULL", '"NULL"'),
        (b"", '""'),
        (b"a,b {c}", '"a,b {c}"'),
        (b'say "x"', '"say \\"x\\""'),
        (rb"back\\slash", '"back\\\\slash"'),
        (rb"\\N", '"\\\\N"'),
        (rb"tab\tline\nend\r", '"tab\tline\nend\r"'),
        (rb"\\t", '"\\\\t"'),
        ("é".encode(), '"é"'),
    ],
)
def test_a_field_becomes_an_element(field: bytes, element: str) -> None:
    assert parcel.pack(b"f\t" + field + b"\n").arrays == ('{"f"}', "{" + element + "}")


def test_rows_become_columns() -> None:
    assert parcel.pack(b"f\t1\tx\nt\t2\t\\N\n").arrays == ('{"f","t"}', '{"1","2"}', '{"x",NULL}')
    assert parcel.pack(b"").arrays == ()


@pytest.mark.parametrize(
    ("rows", "gone", "kept"),
    [(b"", False, False), (b"f\tt\n", False, True), (b"t\tf\n", True, False), (b"t\t1\nf\t2\n", True, True)],
)
def test_a_parcel_says_what_it_holds(rows: bytes, gone: bool, kept: bool) -> None:
    packed = parcel.pack(rows)
    assert (packed.gone, packed.kept) == (gone, kept)


@pytest.mark.parametrize(("type_", "array"), [("integer", "integer[]"), ("integer[]", "text[]"), ("box", "text[]")])
def test_types_travel_in_arrays(type_: str, array: str) -> None:
    assert parcel.array_type(type_) == array
