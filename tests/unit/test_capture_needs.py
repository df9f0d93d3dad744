"""What must be logged where: most of all, whether what arrives from another master must be noted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from replicator.capture import Kind, Need, needs
from replicator.model import Database, DbGroup, Herd, Role, Sync, SyncType, TableName, Topology

T = TableName("public", "t")
SWAP = Sync(name="swap", type=SyncType.SWAP, herd="h", targets=("b",))
OTHER = Sync(name="other", type=SyncType.PUSHDELTA, herd="h", targets=("d",))


def declared(*syncs: Sync) -> Topology:
    group = DbGroup(name="group", members=("b", "c"), roles={"c": Role.TARGET})
    return Topology(
        databases={name: Database(name=name, dbname=name) for name in "abcd"},
        dbgroups={"group": group, "masters": replace(group, name="masters", roles={})},
        herds={"h": Herd(name="h", database="a", tables=(T,))},
        syncs={sync.name: sync for sync in syncs},
    )


def test_two_masters_by_themselves_need_no_note_of_what_they_send_each_other() -> None:
    for name in ("a", "b"):
        assert needs(declared(SWAP), name) == {T: Need(frozenset({Kind.ROWS}), versions=True)}


@pytest.mark.parametrize(
    "syncs",
    [
        (replace(SWAP, targets=("masters",)),),
        (replace(SWAP, targets=("group",)),),
        (replace(SWAP, makedelta=True),),
        (replace(SWAP, counters=("n",)),),
        (SWAP, OTHER),
        (SWAP, replace(SWAP, name="another", targets=("d",))),
    ],
    ids=["three masters", "a slave", "makedelta", "counters", "another reader", "another swap"],
)
def test_whoever_else_is_to_know_of_it_needs_it_noted(syncs: tuple[Sync, ...]) -> None:
    assert needs(declared(*syncs), "a")[T].notes


def test_a_slave_of_two_masters_concerns_both() -> None:
    assert needs(declared(replace(SWAP, targets=("group",))), "b")[T].notes
