"""Merges the variables that hold for a host and resolves the references between them.

The nearer scope wins, whole values replace each other as in Ansible, except that pgherd's own sections are merged key
by key (a host that sets `postgresql: {port: 5433}` keeps its group's other settings). References are Jinja2
expressions, resolved when first needed; what is undefined or refers to itself is a fault in the line that says so.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import date
from typing import Literal

import jinja2
from jinja2 import meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from provision.inventory.draft import Scope
from provision.inventory.faults import Faults
from provision.inventory.marks import BROKEN, Mark, Node, Origin, SecretSource, Unread, wrap
from provision.inventory.wording import suggestion
from provision.inventory.yaml_file import WRITTEN

MERGED = ("postgresql", "pgbench", "ssh", "tls", "repositories", "pgdg", "ntp", "snmp")
ONCE = ("replication", "secrets_file", "serial", "state_dir")
"""Variables that speak of the inventory as a whole and so belong to `all`."""
OWN = (*MERGED, *ONCE, "address", "become", "connection", "fallback_port", "release", "tuning", "updates")
HINTS = dict.fromkeys(("query", "vault"), f"write {WRITTEN} instead.")
MAPPINGS = (*MERGED, "become", "replication")
"""Those of OWN that are sections."""

SECRET = re.compile(r"(?:^|_)(password|passwd|pass|secret|token)$")
"""Names whose values are secrets."""


def merge(scopes: list[Scope]) -> tuple[dict[str, Node], dict[str, tuple[Origin, ...]]]:
    """The variables that win, and for each every place that set it, the winner last."""
    values: dict[str, Node] = {}
    origins: dict[str, tuple[Origin, ...]] = {}
    for scope, node in scopes:
        for name, value in node.items.items():
            earlier = values.get(name)
            values[name] = _over(earlier, value) if earlier and name in MERGED else value
            origins[name] = (*origins.get(name, ()), Origin(scope, value.mark))
    return values, origins


def _over(under: Node, over: Node) -> Node:
    if not isinstance(under.value, dict) or not isinstance(over.value, dict):
        return over
    entries = dict(under.items)
    for name, value in over.items.items():
        entries[name] = _over(entries[name], value) if name in entries else value
    return Node(entries, over.mark)


def check_names(values: Mapping[str, Node], used: set[str], faults: Faults) -> None:
    """Report free variables that look like a misspelt one of pgherd's own and that nothing refers to."""
    for name, node in values.items():
        if name in OWN or name in used or name.startswith("ansible_"):
            continue
        guess = suggestion(name, OWN, cutoff=0.85)
        section = any(f"'{own}'" in guess for own in MAPPINGS)
        if guess and (isinstance(node.value, dict) or node.broken or not section):
            faults.add(node.mark, f"found the unknown variable {name!r}, expected one that pgherd reads; {guess}")


class Unresolvable(Exception):
    """A reference cannot be resolved; its fault has been noted."""


class Resolver:
    """Resolves the variables of one host (or of the inventory as a whole) on demand.

    magic: what Ansible gives besides (`inventory_hostname`, `groups`, `hostvars` ...). used: names referred to so far.
    """

    def __init__(self, values: Mapping[str, Node], magic: Mapping[str, object], faults: Faults) -> None:
        self.values = values
        self.magic = magic
        self.faults = faults
        self.used: set[str] = set()
        self._resolved: dict[str, Node] = {}
        self._open: list[str] = []

    def resolve(self, names: Collection[str]) -> None:
        """Resolve variables that matter; what they refer to is resolved with them."""
        for name in self.values:
            if name in names:
                self.variable(name)

    def all(self) -> dict[str, Node]:
        """Every variable, with BROKEN in the place of what does not resolve.

        Those that nothing has needed so far are others' (roles of Ansible know facts, vaults and lookups that are not
        here): what does not resolve in them is no fault.
        """
        judge, self.faults = self.faults, Faults()
        try:
            return {name: self.variable(name) for name in self.values}
        finally:
            self.faults = judge

    def variable(self, name: str) -> Node:
        """A variable, resolved. Raises Unresolvable when it is being resolved already."""
        if name not in self._resolved:
            self._check_circle(name)
            self._open.append(name)
            try:
                self._resolved[name] = self._resolve(self.values[name])
            finally:
                self._open.pop()
        return self._resolved[name]

    def plain(self, name: str) -> object:
        """A variable as an ordinary value, for expressions. Raises Unresolvable."""
        node = self.variable(name)
        if node.broken:
            raise Unresolvable
        return node.plain()

    def _check_circle(self, name: str) -> None:
        if name in self._open:
            way = " > ".join([*self._open[self._open.index(name) :], name])
            self.faults.add(self.values[name].mark, f"found variables that refer to each other in a circle ({way})")
            raise Unresolvable

    def _resolve(self, node: Node) -> Node:
        if isinstance(node.value, dict):
            return Node({name: self._resolve(child) for name, child in node.items.items()}, node.mark)
        if isinstance(node.value, tuple):
            return Node(tuple(self._resolve(child) for child in node.elements), node.mark)
        if isinstance(node.value, Unread):
            self.faults.add(node.mark, node.value.why)
            return Node(BROKEN, node.mark)
        if isinstance(node.value, str) and ("{{" in node.value or "{%" in node.value):
            return wrap(self._evaluate(node.value, node.mark), node.mark)
        return node

    def _evaluate(self, text: str, mark: Mark) -> object:
        try:
            return self._secret(_plain(_render(text, self._context(text))), mark)
        except Unresolvable:
            pass
        except jinja2.TemplateSyntaxError as error:
            self.faults.add(mark, f"found {text!r}, which is no valid expression: {error.message}")
        except jinja2.UndefinedError as error:
            self.faults.add(mark, f"found {text!r}, but {self._undefined(str(error.message))}")
        except Exception as error:  # whatever the user's expression does, it is a fault in his line
            self.faults.add(mark, f"found {text!r}, which cannot be evaluated: {error}")
        return BROKEN

    def _secret(self, value: object, mark: Mark) -> object:
        """A value that was looked up, in the place of a secret, as the source of one."""
        named = next((step for step in reversed(mark.path) if isinstance(step, str)), "")
        if isinstance(value, LookedUp) and SECRET.search(named):
            return SecretSource(value.kind, value.name, mark)
        return value

    def _context(self, text: str) -> dict[str, object]:
        names = meta.find_undeclared_variables(ENVIRONMENT.parse(text))
        self.used |= names
        if "lookup" in names and "lookup" not in self.values:
            return {**self._own_context(names), "lookup": lookup}
        return self._own_context(names)

    def _own_context(self, names: set[str]) -> dict[str, object]:
        context = {name: self.magic[name] for name in names & self.magic.keys()}
        return {**context, **{name: self.plain(name) for name in sorted(names & self.values.keys())}}

    def _undefined(self, message: str) -> str:
        name = message.split("'")[1] if message.startswith("'") and message.endswith("' is undefined") else ""
        if not name:
            return message
        hint = HINTS.get(name) or suggestion(name, {*self.values, *self.magic})
        return f"{name!r} is not defined" + (f"; {hint}" if hint else "")


class LookedUp(str):
    """What `lookup` has found. kind, name: as a SecretSource has them."""

    kind: Literal["env", "command"]
    name: str


def lookup(plugin: str, name: str, *_: object, **__: object) -> LookedUp:
    """Ansible's lookup, of what there is here: `env`, and `pipe` where a secret belongs. Raises LookupError."""
    plugin = plugin.removeprefix("ansible.builtin.")
    if plugin not in ("env", "pipe"):
        raise LookupError(f"lookup({plugin!r}) is not known here; write {WRITTEN} instead")
    found = LookedUp(os.environ.get(name, "") if plugin == "env" else f"lookup('pipe', {name!r})")
    found.kind, found.name = ("env" if plugin == "env" else "command"), name
    return found


class HostVars(Mapping[str, Mapping[str, object]]):
    """`hostvars['master'].address`: the variables of other hosts, resolved when asked for."""

    def __init__(self, resolvers: Mapping[str, Resolver]) -> None:
        self._resolvers = resolvers

    def __getitem__(self, host: str) -> Mapping[str, object]:
        return _OneHost(self._resolvers[host])

    def __iter__(self) -> Iterator[str]:
        return iter(self._resolvers)

    def __len__(self) -> int:
        return len(self._resolvers)


class _OneHost(Mapping[str, object]):
    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    def __getitem__(self, name: str) -> object:
        if name in self._resolver.values:
            return self._resolver.plain(name)
        return self._resolver.magic[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._resolver.values)

    def __len__(self) -> int:
        return len(self._resolver.values)


def _plain(value: object) -> object:
    """What an expression gave, as values that a file could hold. Raises TypeError for what none could."""
    if value is None or isinstance(value, bool | int | float | str | date | SecretSource):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(value[name]) for name in value}
    if isinstance(value, Iterable):
        return [_plain(part) for part in value]
    raise TypeError(f"it gives {value!r}")


def _finalize(value: object) -> object:
    if isinstance(value, SecretSource):
        raise jinja2.TemplateRuntimeError(f"{value} is a secret, which cannot be a part of a text")
    return value


ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, finalize=_finalize)
ENVIRONMENT.filters["bool"] = lambda value: str(value).strip().lower() in ("1", "yes", "on", "true", "y", "t")


def _render(text: str, context: dict[str, object]) -> object:
    """A text that is one expression keeps the expression's type; any other becomes text."""
    body = ENVIRONMENT.parse(text).body
    sole = body[0].nodes if len(body) == 1 and isinstance(body[0], nodes.Output) else []
    if len(sole) != 1 or isinstance(sole[0], nodes.TemplateData):
        return ENVIRONMENT.from_string(text).render(context)
    inner = text.strip().removeprefix("{{").removesuffix("}}")
    inner = inner.removeprefix("-").removeprefix("+").removesuffix("-")
    value = ENVIRONMENT.compile_expression(inner, undefined_to_none=False)(**context)
    if isinstance(value, jinja2.Undefined):
        str(value)  # raises UndefinedError with the name
    return value
