"""Whatever stands in an inventory, the answer is an Inventory or faults, each in a line: never anything else."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from provision.errors import InputError
from provision.inventory import load
from provision.templating import Templates

GOOD = Path(__file__).parents[2] / "inventories" / "local.yml"
TEXT = GOOD.read_text()
TREE = yaml.safe_load(TEXT)

EXPRESSIONS = [
    "{{ connection }}",
    "{{ groups }}",
    "{{ hostvars }}",
    "{{ range(3) }}",
    "{{ self }}",
    "{{ x }}",
    "{% for %}",
]
WORDS = ["", "master", "test1_slave", "alpha", "all", "yes", "a b", "127.0.0.1", "[1:3]", "m[1:3]", "é", *EXPRESSIONS]
KEYS = ["hosts", "vars", "children", "postgresql", "replication", "pgbench", "ssh", "become", "connection", "address"]
KEYS += ["state_dir", "databases", "syncs", "targets", "access", "from", "settings", "ansible_port", "a:1", "~", ""]

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(WORDS)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS + WORDS), inner, max_size=2),
    max_leaves=4,
)


def places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every container with every key or index that it has."""
    entries = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in entries:
        yield tree, key
        yield from places(value)


@st.composite
def changed_trees(draw: st.DrawFn) -> str:
    """The shipped inventory with some values replaced and some keys added."""
    tree = copy.deepcopy(TREE)
    for _ in range(draw(st.integers(1, 3))):
        container, key = draw(st.sampled_from(list(places(tree))))
        if isinstance(container, dict) and draw(st.booleans()):
            key = draw(st.sampled_from(KEYS))
        container[key] = draw(values)
    return yaml.safe_dump(tree, allow_unicode=True)


@st.composite
def changed_texts(draw: st.DrawFn) -> str:
    """The shipped inventory as a careless editor leaves it."""
    text = TEXT
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 10)))
        text = text[:start] + draw(st.text("{}[]:,\"'\t\n #&*!|>%@`-?=~x\x00\x85\u2028", max_size=3)) + text[end:]
    return text


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("inventory")


@settings(max_examples=200, deadline=None)
@given(text=changed_trees() | changed_texts())
def test_any_input_gets_an_answer(folder: Path, text: str) -> None:
    path = folder / "hosts.yml"
    path.write_text(text, newline="")
    try:
        found = load(path, listens=lambda address: True)
    except InputError as error:
        assert error.faults
        assert all(fault.file == str(path) for fault in error.faults)
        assert all(fault.line or fault.message.startswith("found no hosts") for fault in error.faults)
        return
    templates = Templates(found)
    for host in found.hosts:
        assert templates.render("postgresql.conf.j2", host)
        assert templates.render("pg_hba.conf.j2", host)
