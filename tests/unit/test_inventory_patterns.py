"""Ranges of host names, and patterns that choose among hosts."""

from __future__ import annotations

import pytest

from provision.errors import InputError
from provision.inventory.patterns import select
from provision.inventory.ranges import expand, split_port


@pytest.mark.parametrize(
    ("entry", "names"),
    [
        ("pg", ["pg"]),
        ("pg[1:3]", ["pg1", "pg2", "pg3"]),
        ("pg[08:11]", ["pg08", "pg09", "pg10", "pg11"]),
        ("pg[0:2]", ["pg0", "pg1", "pg2"]),
        ("pg[1:9:4].example", ["pg1.example", "pg5.example", "pg9.example"]),
        ("[a:c]", ["a", "b", "c"]),
        ("[Y:b]", []),
        ("[a:b][1:2]", ["a1", "a2", "b1", "b2"]),
        ("[5:5]", ["5"]),
    ],
)
def test_expand(entry: str, names: list[str]) -> None:
    if names:
        assert expand(entry) == names
    else:
        with pytest.raises(ValueError, match="runs backwards"):
            expand(entry)


@pytest.mark.parametrize(
    "entry", ["pg[1]", "pg[:3]", "pg[1:]", "pg[a:3]", "pg[aa:bb]", "pg[3:1]", "pg[01:3]", "pg[1:3:0]", "pg[1", "[é:z]"]
)
def test_ranges_that_are_none(entry: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        expand(entry)


@pytest.mark.parametrize(
    ("entry", "name", "port"),
    [
        ("pg", "pg", None),
        ("pg:2222", "pg", 2222),
        ("pg[1:3]:2222", "pg[1:3]", 2222),
        ("pg[1:3]", "pg[1:3]", None),
        ("fe80::1", "fe80::1", None),
    ],
)
def test_split_port(entry: str, name: str, port: int | None) -> None:
    assert split_port(entry) == (name, port)


HOSTS = ["web1", "web2", "db1", "db2", "lone"]
GROUPS = {
    "all": HOSTS,
    "ungrouped": ["lone"],
    "web": ["web1", "web2"],
    "db": ["db1", "db2"],
    "old": ["web2", "db2"],
    "empty": [],
}


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("all", "web1 web2 db1 db2 lone"),
        ("*", "web1 web2 db1 db2 lone"),
        ("db1", "db1"),
        ("lone,web", "web1 web2 lone"),
        ("db:web", "web1 web2 db1 db2"),
        ("web:&old", "web2"),
        ("web:db:!old", "web1 db1"),
        ("!old", "web1 db1 lone"),
        ("&old", "web2 db2"),
        ("!old:web:db", "web1 db1"),
        ("*1", "web1 db1"),
        ("w*:lone", "web1 web2 lone"),
        ("~(web|db)1", "web1 db1"),
        ("web[0]", "web1"),
        ("web[-1]", "web2"),
        ("all[1:2]", "web2 db1"),
        ("all[3:]", "db2 lone"),
        ("ungrouped", "lone"),
        ("web , db1", "web1 web2 db1"),
        ("empty:db1", "db1"),
    ],
)
def test_select(pattern: str, names: str) -> None:
    assert select(pattern, HOSTS, GROUPS) == tuple(names.split())


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("wbe", "no host or group is called 'wbe'; did you mean 'web'?"),
        ("web:nowhere", "no host or group is called 'nowhere'; the inventory has web1, web2, db1, db2, lone."),
        ("web:!web", "'web:!web' leaves no host to work on; the inventory has web1, web2, db1, db2, lone."),
        ("empty", "'empty' leaves no host to work on; the inventory has web1, web2, db1, db2, lone."),
        ("~(", "'~(' is no regular expression: missing ), unterminated subpattern at position 0."),
    ],
)
def test_patterns_that_choose_nothing(pattern: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        select(pattern, HOSTS, GROUPS)
    assert str(caught.value) == message
