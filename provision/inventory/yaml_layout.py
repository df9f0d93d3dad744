"""The YAML inventory: groups with `hosts`, `children` and `vars`, nested as Ansible has them, into a draft."""

from __future__ import annotations

from provision.inventory.draft import Draft
from provision.inventory.faults import Faults
from provision.inventory.marks import Node
from provision.inventory.wording import nearest, shown

PARTS = ("hosts", "children", "vars")


def fill(draft: Draft, root: Node, faults: Faults) -> None:
    """Add what an inventory file says."""
    if not isinstance(root.value, dict):
        faults.add(root.mark, f"found {shown(root.plain())}, expected groups, beginning with `all:`")
        return
    for name, node in root.items.items():
        if name in PARTS:
            faults.add(node.mark, f"found {name!r} at the top, expected a group such as `all:` above it")
        else:
            _group(draft, name, node, faults)


def _group(draft: Draft, name: str, node: Node, faults: Faults) -> None:
    draft.group(name, node.mark)
    if node.value is None:
        return
    if not isinstance(node.value, dict):
        faults.add(node.mark, f"found {shown(node.plain())}, expected a group: hosts, children or vars")
        return
    for part, child in node.items.items():
        known = part if part in PARTS else _unknown_part(part, child, faults)
        if known and child.value is not None:
            _part(draft, name, known, _as_mapping(known, child, faults), faults)


def _unknown_part(part: str, node: Node, faults: Faults) -> str:
    """Report a key that no group has; the one that was meant, so that what is under it is judged too."""
    meant = nearest(part, PARTS)
    hint = f"did you mean {meant!r}?" if meant else "a variable goes under vars, a host under hosts."
    faults.add(node.mark, f"found the unknown key {part!r}, expected hosts, children or vars; {hint}")
    return meant


def _as_mapping(part: str, node: Node, faults: Faults) -> Node:
    """A part's mapping; of a list of names, the mapping that was meant."""
    if isinstance(node.value, dict):
        return node
    shape = "`name: value` lines" if part == "vars" else "`name:` lines"
    faults.add(node.mark, f"found {shown(node.plain())}, expected a mapping ({shape})")
    meant = {text: Node(None, mark) for text, mark in node.texts} if part != "vars" else {}
    return Node(meant, node.mark)


def _part(draft: Draft, group: str, part: str, node: Node, faults: Faults) -> None:
    if part == "vars":
        draft.groups[group].vars.append(node)
    for name, child in node.items.items():
        if part == "children":
            draft.add_child(group, name, child.mark)
            _group(draft, name, child, faults)
        elif part == "hosts":
            _host(draft, group, name, child, faults)


def _host(draft: Draft, group: str, name: str, node: Node, faults: Faults) -> None:
    if node.value is not None and not isinstance(node.value, dict):
        faults.add(node.mark, f"found {shown(node.plain())}, expected the host's variables (or nothing)")
        return
    draft.add_hosts(group, name, node if node.value is not None else None, node.mark)
