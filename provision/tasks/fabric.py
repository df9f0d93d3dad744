"""The stages as Fabric tasks: `fab -H HOST ... STAGE` brings that host of an inventory to the state of one stage.

One host, one stage, over the connection that Fabric opened; no lock, no report. `provision deploy` is the whole.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from fabric import Connection
from fabric import task as fabric_task
from invoke.collection import Collection
from invoke.exceptions import Exit

from provision.change import Change
from provision.errors import HostFailed, InputError, ProvisionError
from provision.facts import TRAITS, gather
from provision.inventory import load
from provision.resources import Resource
from provision.resources.steps import StepEvent, carry_out
from provision.secrets import Passphrase, unlocker
from provision.tasks.node import Site
from provision.tasks.stage import TASKS, Task
from provision.transport import Transport, connect
from provision.transport.login import login_to
from provision.transport.ssh import SSH

ROUNDS = 8


def collection() -> Collection:
    """All stages, by name."""
    found = Collection()
    passphrase = Passphrase()
    for name, function in TASKS.items():
        found.add_task(_fabric_task(name, function, passphrase))
    return found


def _fabric_task(name: str, function: Task, passphrase: Passphrase) -> Any:
    def body(connection: Connection, inventory: str = "inventories/lab.yml") -> None:
        try:
            _run(function, connection, inventory, passphrase)
        except ProvisionError as error:
            raise Exit(str(error), code=error.exit_code) from error

    body.__doc__ = function.__doc__
    return fabric_task(name=name, help={"inventory": "The inventory that the host is in."})(body)


def _run(function: Task, connection: Connection, inventory: str, passphrase: Passphrase) -> None:
    site = Site.of(load(inventory, unlock=unlocker(passphrase)), generate=True, passphrase=passphrase)
    address = connection.original_host
    for host in site.inventory.hosts:
        if address in (host.name, host.address, host.ssh_host):
            transport = connect(host, site.keeper) if host.local else SSH(login_to(host, site.keeper), connection)
            traits = None if host.local else gather(transport, [TRAITS])[TRAITS]
            if traits:
                site.learn(host, traits)
            settle(function(site.node(host, traits)), transport)
            return
    raise InputError(f"{inventory} has no host {address}: name one of its hosts with -H")


def settle(wanted: list[Resource], transport: Transport) -> None:
    """Look, act, and look again until nothing is left to do. Raises ProvisionError."""
    for _ in range(ROUNDS):
        facts = gather(transport, [probe for resource in wanted for probe in resource.probes()])
        changes = [change for resource in wanted for change in resource.plan(facts)]
        if not changes:
            return
        carry_out(transport, changes, partial(_show, changes))
    raise HostFailed(f"{changes[0].summary}: done {ROUNDS} times, and still found undone.")


def _show(changes: list[Change], event: StepEvent) -> None:
    if event.kind == "ends":
        print(f"{changes[event.number].summary} ({event.seconds:.1f} s)")
