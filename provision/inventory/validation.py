"""Runs a section of the tree through its pydantic model and turns each complaint into a fault with its line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import pydantic
from pydantic_core import ErrorDetails

from provision.inventory.faults import Faults
from provision.inventory.marks import Broken, Node
from provision.inventory.values import Section
from provision.inventory.wording import nearest, shown, suggestion
from provision.inventory.yaml_file import WRITTEN

S = TypeVar("S", bound=Section)

EXPECTED = {
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "finite_number": "a whole number",
    "bool_parsing": "yes or no",
    "bool_type": "yes or no",
    "string_type": "text (put it in quotes)",
    "string_too_short": "text that is not empty",
    "path_type": "a path",
    "dict_type": "a mapping (`key: value` lines)",
    "model_type": "a mapping (`key: value` lines)",
    "tuple_type": "a list",
    "greater_than_equal": "{ge} or more",
    "less_than_equal": "{le} or less",
    "enum": "{expected}",
    "literal_error": "{expected}",
    "expected": "{expected}",
}
"""What was expected, by pydantic's name of the complaint."""

IN_CLEAR = f"found a secret in clear, expected {WRITTEN} that gives it"
Step = str | int
TAGS = ("~all", "~list")
"""Steps that pydantic adds where a value may have two shapes (see `replication.Tables`); they are in no file."""


def validate(model: type[S], node: Node, faults: Faults) -> S | None:
    """The section as a value, or None with all of its faults."""
    try:
        return model.model_validate(node.plain())
    except pydantic.ValidationError as error:
        details = error.errors(include_url=False)
        meant = _report_unknown(model, node, details, faults)
        for detail in details:
            path = _path(detail)
            at = node.find(*path)
            if detail["type"] != "extra_forbidden" and path not in meant and not (at and isinstance(at.value, Broken)):
                _report(node, path, detail, faults)
        return None


def _path(detail: ErrorDetails) -> tuple[Step, ...]:
    return tuple(step for step in detail["loc"] if step != "[key]" and step not in TAGS)


def _report_unknown(
    model: type[Section], node: Node, details: list[ErrorDetails], faults: Faults
) -> set[tuple[Step, ...]]:
    """Report unknown keys; the paths that were meant instead, which so are not missing."""
    meant: set[tuple[Step, ...]] = set()
    for path in (_path(detail) for detail in details if detail["type"] == "extra_forbidden"):
        keys = _keys(model, path[:-1])
        guess = nearest(str(path[-1]), keys)
        expected = f"a known one; did you mean {guess!r}?" if guess else "one of " + ", ".join(keys)
        faults.add(node.place(*path), f"found the unknown key {path[-1]!r}, expected {expected}")
        meant.add((*path[:-1], guess))
    return meant


def _report(node: Node, path: tuple[Step, ...], detail: ErrorDetails, faults: Faults) -> None:
    in_key = detail["loc"][-1:] == ("[key]",)
    mark = node.place(*path)
    kind = detail["type"]
    if kind == "missing":
        faults.add(mark, f"found nothing, expected {path[-1]!r} here")
    elif kind == "is_instance_of":
        faults.add(mark, IN_CLEAR)
    else:
        found = repr(path[-1]) if in_key else shown(_value(node, path))
        faults.add(mark, f"found {found}, expected {_expectation(detail, found)}")


def _value(node: Node, path: tuple[Step, ...]) -> object:
    found = node.find(*path)
    return found.plain() if found else None


def _expectation(detail: ErrorDetails, found: str) -> str:
    context: Mapping[str, Any] = detail.get("ctx") or {}
    pattern = EXPECTED.get(detail["type"])
    if pattern is None:
        return f"another value ({detail['msg'][:1].lower()}{detail['msg'][1:]})"
    text = pattern.format(**context)
    if detail["type"] not in ("enum", "literal_error"):
        return text
    guess = suggestion(found.strip("'"), text.replace("'", "").replace(" or ", ", ").split(", "))
    return text.replace("'", "") + (f"; {guess}" if guess else "")


def _keys(model: type[Section], path: tuple[Step, ...]) -> list[str]:
    """The keys of the section that a path leads to within a model."""
    current: Any = model
    for step in path:
        if not (isinstance(current, type) and issubclass(current, Section)):
            current = _element(current)
            continue
        fields = {field.alias or name: field.annotation for name, field in current.model_fields.items()}
        current = fields.get(str(step))
    current = _section(current)
    return [field.alias or name for name, field in current.model_fields.items()] if current else []


def _element(annotation: Any) -> Any:
    """What a dict or tuple holds."""
    arguments = getattr(annotation, "__args__", ())
    return arguments[1 if getattr(annotation, "__origin__", None) is dict else 0] if arguments else None


def _section(annotation: Any) -> type[Section] | None:
    for choice in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(choice, type) and issubclass(choice, Section):
            return choice
    return None
